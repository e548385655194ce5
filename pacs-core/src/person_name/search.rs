//! What a name is found by: keys for an index that answers "begins with", and the same for what is asked.
//!
//! A key is the name from the beginning of one of its words on, folded and without separators, so that `zhangsan`,
//! `zhang san` and `san` find Zhang^San. Every Chinese character begins a word. Chinese names have the same keys in
//! pinyin, and their initials. The inside of words of letters is found by [`INNER`] keys of three letters each.

use super::fold;
use super::pinyin::{readings, syllables};
use std::collections::BTreeSet;

/// Leads the keys of three (at the end of a word two) letters from the inside of a word. No name key begins so.
const INNER: char = '*';
/// The key of names that have more keys than are kept. Whatever is asked, such a name has to be looked at.
const UNFINISHED: &str = "+";

/// A component group is 64 characters at most (PS3.5 §6.2); of what is longer the rest is not searched.
const GROUP: usize = 64;
const KEYS: usize = 32;
const KEY_BYTES: usize = 32;
const TERMS: usize = 8;
const INITIALS: usize = 8;
const WINDOW: usize = 3;

/// The keys by which an index finds a person name with all its component groups: sorted, distinct, none that another
/// one begins with. At most 34 of at most 32 bytes.
pub fn search_keys(name: &str) -> Vec<String> {
    let mut keys = Vec::new();
    let groups: Vec<_> = name.split('=').collect();
    let is_long = groups.iter().any(|group| group.chars().nth(GROUP).is_some());
    for group in groups.iter().take(3) {
        let words = Words::of(&group.chars().take(GROUP).collect::<String>());
        keys.extend(words.beginnings());
        keys.extend(words.initials());
        keys.extend(words.pinyin());
        keys.extend(words.words.iter().flat_map(|word| inner(word)));
    }
    let mut kept = BTreeSet::new();
    let is_unfinished = keys.into_iter().any(|key| {
        kept.insert(cut(&key).to_owned());
        kept.len() > KEYS
    });
    if is_unfinished || is_long || groups.len() > 3 {
        kept.insert(UNFINISHED.to_owned());
    }
    without_prefixes(kept)
}

/// What someone types to find a name: each term has to be the begin of a search key. Empty: everything.
pub fn search_terms(typed: &str) -> Vec<String> {
    let typed: String = typed.chars().take(GROUP * 3).collect();
    typed.split('=').flat_map(|group| Words::of(group).runs()).take(TERMS).map(|term| cut(&term).to_owned()).collect()
}

/// Begins of search keys, one of which every name has that matches a pattern or a part of it.
pub type Piece = Vec<String>;

/// What an index can tell of the names that match a pattern with `*` and `?` (PS3.4 C.2.2.2.4): they have every one of
/// these pieces. The other way round is not so: each name found has yet to be matched. Empty: any name may match.
pub fn pattern_pieces(pattern: &str) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = pattern.split('=').flat_map(group_pieces).collect();
    pieces.sort_by_key(|piece| std::cmp::Reverse(piece.iter().map(String::len).min()));
    pieces.truncate(TERMS);
    for piece in &mut pieces {
        piece.push(UNFINISHED.to_owned());
    }
    pieces
}

fn group_pieces(group: &str) -> Vec<Piece> {
    let group = fold(group.trim_end_matches([' ', '^']));
    let mut pieces = Vec::new();
    let mut is_begin = true;
    for literal in group.split(['*', '?']) {
        let is_whole = is_begin || literal.starts_with(is_separator);
        pieces.extend(literal_pieces(literal, is_whole));
        is_begin = false;
    }
    pieces
}

/// `is_whole`: the first word begins here.
fn literal_pieces(literal: &str, is_whole: bool) -> Vec<Piece> {
    let words = Words::of(literal);
    let mut beginnings = words.beginnings();
    let Some(all) = beginnings.next() else { return Vec::new() };
    if is_whole || all.starts_with(is_ideograph) {
        return vec![vec![cut(&all).to_owned()]];
    }
    // The first letters may be the begin of a word or its inside; a single one could also be its end.
    let first = words.words.first().map(String::as_str).unwrap_or_default();
    let begin_or_inside = window(first).map(|inner| vec![cut(first).to_owned(), inner]);
    // Where the word goes on in the name, its last letters are fewer here than there.
    let inside = inner(first).filter(|inner| inner.chars().count() > WINDOW).map(|inner| vec![inner]);
    let second = beginnings.next().map(|second| vec![cut(&second).to_owned()]);
    begin_or_inside.into_iter().chain(inside).chain(second).collect()
}

/// The words of a text: runs of letters, and single ideographs.
struct Words {
    words: Vec<String>,
    /// Whether a separator stands before the word.
    separate: Vec<bool>,
}

impl Words {
    fn of(text: &str) -> Self {
        let mut words = Self { words: Vec::new(), separate: Vec::new() };
        // What stood before: a separator or the begin, an ideograph, a letter.
        let mut before = None;
        for character in fold(text).chars() {
            if is_separator(character) {
                before = None;
                continue;
            }
            let is_ideograph = is_ideograph(character);
            match words.words.last_mut() {
                Some(word) if before == Some(false) && !is_ideograph => word.push(character),
                _ => {
                    words.words.push(character.into());
                    words.separate.push(before.is_none());
                }
            }
            before = Some(is_ideograph);
        }
        words
    }

    fn beginnings(&self) -> impl Iterator<Item = String> {
        (0..self.words.len()).map(|at| self.words.get(at..).unwrap_or_default().concat())
    }

    /// Ideographs that stand together make one run, letters another.
    fn runs(&self) -> Vec<String> {
        let mut runs: Vec<String> = Vec::new();
        for (word, separate) in self.words.iter().zip(&self.separate) {
            match runs.last_mut() {
                Some(run) if !separate && run.ends_with(is_ideograph) && word.starts_with(is_ideograph) => {
                    run.push_str(word);
                }
                _ => runs.push(word.clone()),
            }
        }
        runs
    }

    /// First letters of words, and those of syllables where all words are pinyin.
    fn initials(&self) -> Vec<String> {
        if self.words.len() < 2 || self.words.iter().any(|word| word.starts_with(is_ideograph)) {
            return Vec::new();
        }
        let of_words = initials(self.words.iter().map(String::as_str));
        let pinyin: Option<Vec<_>> = self.words.iter().map(|word| syllables(word)).collect();
        let of_syllables = pinyin.map(|words| initials(words.into_iter().flatten()));
        std::iter::once(of_words).chain(of_syllables).collect()
    }

    /// Keys of each reading, its initials, and those of the given name behind the surname.
    fn pinyin(&self) -> Vec<String> {
        if !self.words.iter().all(|word| word.starts_with(is_ideograph)) {
            return Vec::new();
        }
        let mut keys = Vec::new();
        for syllables in readings(&self.words.concat()) {
            keys.extend((0..syllables.len()).map(|at| syllables.get(at..).unwrap_or_default().concat()));
            let parts: Vec<_> = syllables.iter().map(String::as_str).collect();
            if let [surname, given @ ..] = parts.as_slice()
                && !given.is_empty()
            {
                keys.push(initials(parts.iter().copied()));
                keys.push(format!("{surname}{}", initials(given.iter().copied())));
            }
        }
        keys
    }
}

/// Keys for the inside of a word.
fn inner(word: &str) -> impl Iterator<Item = String> {
    word.char_indices().skip(1).filter_map(|(at, _)| window(word.get(at..)?))
}

/// The inner key of a word's rest; `None` for a single letter.
fn window(rest: &str) -> Option<String> {
    let letters: String = rest.chars().take(WINDOW).collect();
    letters.chars().nth(1).map(|_| format!("{INNER}{letters}"))
}

fn initials<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.filter_map(|word| word.chars().next()).take(INITIALS).collect()
}

/// Characters that are words by themselves: Chinese ones and the syllables of Korean.
fn is_ideograph(character: char) -> bool {
    matches!(character, '\u{3400}'..='\u{9FFF}' | '\u{AC00}'..='\u{D7A3}' | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{3FFFF}')
}

/// Between words. The marks of other scripts belong to their letters.
fn is_separator(character: char) -> bool {
    character.is_whitespace()
        || character.is_control()
        || character.is_ascii_punctuation()
        || matches!(character, '·' | '・' | '‧' | '’' | '‐' | '–' | '、' | '，' | '。')
}

/// The first bytes of a key, to a whole character.
fn cut(key: &str) -> &str {
    key.get(..key.floor_char_boundary(KEY_BYTES)).unwrap_or(key)
}

/// A search for the begin of a key finds the longer one as well.
fn without_prefixes(keys: BTreeSet<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for key in keys {
        if kept.last().is_some_and(|last| key.starts_with(last)) {
            kept.pop();
        }
        kept.push(key);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Condition;
    use dicom_core::VR;
    use proptest::prelude::*;

    fn begins(keys: &[String], piece: &str) -> bool {
        keys.iter().any(|key| key.starts_with(piece))
    }

    #[track_caller]
    fn check(name: &str, finding: &[&str], others: &[&str]) {
        let keys = search_keys(name);
        let finds = |typed: &str| search_terms(typed).iter().all(|term| begins(&keys, term));
        for typed in finding {
            assert!(finds(typed), "{typed} should find {name} {keys:?}");
        }
        for typed in others {
            assert!(!finds(typed), "{typed} should not find {name} {keys:?}");
        }
    }

    #[test]
    fn chinese_names_are_found_by_characters_pinyin_and_initials() {
        let typed =
            ["zhangsan", "zhang san", "zs", "zhang^san", "ZHANG", "ＺＨＡＮＧ", "San Zhang", "张三", "張三", "三"];
        for name in ["张^三", "Zhang^San=张^三", "張^三", "张三", "=張三="] {
            check(name, &typed, &["hang", "sz", "李", "zhangsi", "三张"]);
        }
        check(
            "Wang^XiaoDong=王^小东",
            &["wxd", "wangxd", "xiaod", "dong", "小東", "小 王", "王xiao"],
            &["oud", "xd王"],
        );
        check("曾^晟", &["zengsheng", "zengcheng", "zs", "zc"], &["cengsheng"]);
        check("尉迟^恭", &["yuchigong", "ycg"], &["weichi"]);
        check("吕^布", &["lvbu", "lubu", "lyubu", "lb", "Lübu"], &[]);
    }

    #[test]
    fn names_in_letters_are_found_by_words_syllables_and_initials() {
        check("WANG^XIAODONG", &["wangx", "wxd", "wx", "xiaodong wang"], &["wd", "dong"]);
        check(
            "Adams^John Robert Quincy^^Rev.",
            &["adamsj", "john adams", "robert", "ajrq", "rev"],
            &["jadams", "obert"],
        );
        check("Müller^Jürgen", &["muller", "MÜLLER", "jurgen müller", "mj"], &["ueller"]);
        check("O'Brien^Mary-Ann", &["obrien", "o'brien", "mary", "ann", "obma"], &["rien"]);
    }

    #[test]
    fn japanese_and_korean_names_are_found_in_their_scripts() {
        let yamada = "Yamada^Tarou=山田^太郎=やまだ^たろう";
        check(yamada, &["yamada", "山田", "太郎", "ヤマダ", "やまだたろう", "ﾔﾏﾀﾞ", "たろう"], &["マダ"]);
        check("Hong^Gildong=洪^吉洞=홍^길동", &["홍길동", "길동", "hong", "吉洞", "hg"], &["동홍"]);
    }

    #[test]
    fn nothing_typed_finds_everything() {
        for typed in ["", "*", " ^=", "**?"] {
            assert_eq!(search_terms(typed), Vec::<String>::new());
            assert_eq!(pattern_pieces(typed), Vec::<Piece>::new());
        }
    }

    #[test]
    fn keys_are_few() {
        for (name, expected) in [
            ("Zhang^San=张^三", &["*ang", "*han", "*ng", "san", "zhangsan", "zs", "三", "张三"][..]),
            ("", &[]),
            ("=^=", &[]),
        ] {
            assert_eq!(search_keys(name), expected);
        }
        let bytes = |name| search_keys(name).iter().map(String::len).sum::<usize>();
        assert!(bytes("Wang^XiaoDong=王^小东") < 110, "{}", bytes("Wang^XiaoDong=王^小东"));
    }

    #[test]
    fn a_pattern_tells_what_names_must_have() {
        for (pattern, expected) in [
            ("zhang*", &[&["zhang"][..]][..]),
            ("*hang*", &[&["*ang"], &["hang", "*han"]]),
            ("*ang*", &[&["ang", "*ang"]]),
            ("*三*", &[&["三"]]),
            ("*ang^sa*", &[&["ang", "*ang"], &["sa"]]),
            ("?h", &[]),
            ("zh*=張*", &[&["zh"], &["张"]]),
        ] {
            let mut pieces = pattern_pieces(pattern);
            for piece in &mut pieces {
                assert_eq!(piece.pop().as_deref(), Some(UNFINISHED));
            }
            pieces.sort();
            let mut expected: Vec<Vec<&str>> = expected.iter().map(|piece| piece.to_vec()).collect();
            expected.sort();
            assert_eq!(pieces, expected, "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn a_name_that_matches_has_every_piece(
            name in "[a-cA-Cà-ã張张三ｱｶあか홍 ^='\\-.]{0,16}",
            pattern in "[a-cà張三かア홍 ^=*?]{0,8}",
            (from, to) in (0..16usize, 0..16usize),
        ) {
            let part: String = name.chars().skip(from).take(to).collect();
            for pattern in [pattern, format!("*{part}*"), format!("{part}*"), format!("*?{part}")] {
                if Condition::Wildcard(pattern.clone()).matches(VR::PN, &name) {
                    let keys = search_keys(&name);
                    for piece in pattern_pieces(&pattern) {
                        prop_assert!(piece.iter().any(|begin| begins(&keys, begin)), "{pattern} {piece:?} {keys:?}");
                    }
                }
            }
        }

        #[test]
        fn any_text_has_few_short_keys(name in any::<String>(), long in "[a-z張三 ^=]{0,300}") {
            for name in [name, long] {
                let keys = search_keys(&name);
                prop_assert!(keys.len() <= KEYS + 2 && keys.iter().all(|key| key.len() <= KEY_BYTES));
                prop_assert!(keys.is_sorted() && keys == search_keys(&name));
                prop_assert!(search_terms(&name).len() <= TERMS);
                prop_assert!(pattern_pieces(&name).len() <= TERMS);
                if Condition::Exact(name.clone()).matches(VR::PN, &name) {
                    for piece in pattern_pieces(&name.replace(['*', '?'], " ")) {
                        prop_assert!(piece.iter().any(|begin| begins(&keys, begin)), "{piece:?} {keys:?}");
                    }
                }
            }
        }
    }
}
