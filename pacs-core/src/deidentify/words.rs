//! What may stay of descriptions: words of radiology that tell nothing of anybody.

use std::{collections::HashSet, sync::LazyLock};

/// English, with what scanners write in short.
const WORDS: &str = include_str!("words.txt");
/// A longer number could be an identifier.
const LONGEST_NUMBER: usize = 4;

/// The words that may stay, in their order; `None` if none is left.
///
/// Names are words too (`Cotton`, `Hand`), so this cannot be perfect; but a word that is not in the list is never left.
pub(super) fn clean(text: &str) -> Option<String> {
    static KNOWN: LazyLock<HashSet<&str>> = LazyLock::new(|| {
        let lines = WORDS.lines().filter(|line| !line.starts_with('#'));
        lines.flat_map(str::split_whitespace).collect()
    });
    let is_separator = |c: char| !c.is_alphanumeric() && !matches!(c, '.' | '+');
    let words = text.split(is_separator).map(|word| word.trim_matches('.'));
    let stays = |word: &&str| !word.is_empty() && (is_measure(word) || KNOWN.contains(word.to_lowercase().as_str()));
    let left: Vec<_> = words.filter(stays).collect();
    // Numbers alone describe nothing.
    let says_something = left.iter().any(|word| word.chars().any(char::is_alphabetic));
    says_something.then(|| left.join(" "))
}

/// A short number, perhaps with a unit: `5`, `1.5`, `5mm`, `120kV`.
fn is_measure(word: &str) -> bool {
    let number = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = word.get(number.len()..).unwrap_or_default().to_ascii_lowercase();
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    is_number
        && number.len() <= LONGEST_NUMBER
        && matches!(
            unit.as_str(),
            "" | "mm" | "cm" | "kv" | "kvp" | "ma" | "mas" | "t" | "s" | "sec" | "min" | "ml" | "d"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_words_and_short_numbers_stay() {
        for (text, expected) in [
            ("CT Thorax/Abdomen mit KM", Some("CT Thorax Abdomen KM")),
            ("Chest 1.5mm LUNG, Zhang 19700101", Some("Chest 1.5mm LUNG")),
            ("T2_FLAIR_AX +C", Some("T2 FLAIR AX +C")),
            ("Zhang San 4711", None),
            ("123456", None),
            ("12", None),
            ("", None),
        ] {
            assert_eq!(clean(text).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn the_list_is_in_lower_case_and_names_no_word_twice() {
        let words: Vec<_> =
            WORDS.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace).collect();
        assert!(words.iter().all(|word| **word == word.to_lowercase()));
        assert_eq!(words.iter().collect::<HashSet<_>>().len(), words.len());
    }
}
