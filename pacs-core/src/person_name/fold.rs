//! The form in which names are compared.

use std::sync::LazyLock;
use unicode_normalization::UnicodeNormalization;

/// Pairs in order of the traditional character.
static TRADITIONAL: LazyLock<Vec<(char, char)>> = LazyLock::new(|| {
    let lines = include_str!("traditional.txt").lines().filter(|line| !line.starts_with('#'));
    let pair = |line: &str| {
        let mut characters = line.chars();
        characters.next().zip(characters.next())
    };
    lines.filter_map(pair).collect()
});

/// Folds what writers of one name differ in: case, width, accents, simplified and traditional Chinese, the two kana.
///
/// Full- and half-width forms become one (NFKC), Latin, Greek and Cyrillic letters lose their marks (`ü` is `u`, `ß` is
/// `ss`), traditional characters become simplified ones, hiragana becomes katakana. Folding twice changes nothing more.
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let lower: String = text.nfkd().flat_map(char::to_lowercase).collect();
    let unmarked = lower.nfkd().filter(|c| !matches!(c, '\u{300}'..='\u{36F}'));
    let mut folded = String::with_capacity(text.len());
    for character in unmarked.nfc() {
        match letters(character) {
            Some(letters) => folded.push_str(letters),
            None => folded.push(one_script(character)),
        }
    }
    folded
}

/// Letters that no decomposition takes apart.
const fn letters(character: char) -> Option<&'static str> {
    Some(match character {
        'ß' => "ss",
        'æ' => "ae",
        'œ' => "oe",
        'þ' => "th",
        'ø' => "o",
        'ł' => "l",
        'đ' | 'ð' => "d",
        'ı' => "i",
        'ς' => "σ",
        _ => return None,
    })
}

fn one_script(character: char) -> char {
    match character {
        'ぁ'..='ゖ' | 'ゝ' | 'ゞ' => char::from_u32(u32::from(character) + 0x60).unwrap_or(character),
        '\u{3400}'.. => {
            let found = TRADITIONAL.binary_search_by_key(&character, |(traditional, _)| *traditional);
            found.ok().and_then(|at| TRADITIONAL.get(at)).map_or(character, |(_, simplified)| *simplified)
        }
        _ => character,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spellings_of_one_name_fold_to_one() {
        for (spellings, folded) in [
            (&["Zhang^San", "ZHANG^SAN", "ＺＨＡＮＧ＾ｓａｎ"][..], "zhang^san"),
            (&["張^三", "张^三"], "张^三"),
            (&["陳^大文", "陈^大文"], "陈^大文"),
            (&["Müller", "MULLER", "Mu\u{308}ller"], "muller"),
            (&["Groß", "GROSS"], "gross"),
            (&["Søren Łukasz Æbelø", "soren lukasz aebelo"], "soren lukasz aebelo"),
            (&["やまだ", "ヤマダ", "ﾔﾏﾀﾞ"], "ヤマダ"),
            (&["ΔΙΟΝΥΣΙΟΣ", "Διονύσιος"], "διονυσιοσ"),
            (&["홍길동", "홍길동"], "홍길동"),
            (&["İstanbul", "ıstanbul"], "istanbul"),
            (&["𠮷", "\u{20bb7}"], "𠮷"),
        ] {
            for spelling in spellings {
                assert_eq!(fold(spelling), folded, "{spelling}");
            }
        }
    }

    #[test]
    fn the_table_is_in_order_and_maps_each_character_once() {
        assert!(TRADITIONAL.len() > 4000);
        assert!(TRADITIONAL.is_sorted_by(|a, b| a.0 < b.0));
        for (traditional, simplified) in TRADITIONAL.iter() {
            assert_eq!(one_script(*simplified), *simplified, "{traditional}");
        }
    }

    proptest! {
        #[test]
        fn folding_twice_changes_nothing(text in any::<String>(), name in "[a-zà-ÿ張張ｱ-ﾝぁ-ん가-힣A-Z^=]{0,20}") {
            for text in [text, name] {
                let folded = fold(&text);
                prop_assert_eq!(fold(&folded), folded.clone());
                prop_assert!(folded.len() <= 40 * text.len());
            }
        }
    }
}
