//! How Chinese names are read aloud, as Latin letters are typed for them.

use pinyin::ToPinyin;

/// Surnames of two characters that are read in a way of their own; characters as [`super::fold`] leaves them.
const COMPOUND_SURNAMES: &[(&str, [&str; 2])] = &[
    ("尉迟", ["yu", "chi"]),
    ("万俟", ["mo", "qi"]),
    ("长孙", ["zhang", "sun"]),
    ("单于", ["chan", "yu"]),
    ("澹台", ["tan", "tai"]),
    ("乐正", ["yue", "zheng"]),
    ("子车", ["zi", "ju"]),
    ("谷梁", ["gu", "liang"]),
    ("宰父", ["zai", "fu"]),
];

/// Characters that are read otherwise as a surname than in other words; the usual reading first.
const SURNAMES: &[(char, &[&str])] = &[
    ('曾', &["zeng"]),
    ('单', &["shan"]),
    ('解', &["xie"]),
    ('仇', &["qiu"]),
    ('区', &["ou"]),
    ('查', &["zha"]),
    ('盖', &["ge", "gai"]),
    ('翟', &["zhai", "di"]),
    ('缪', &["miao"]),
    ('覃', &["qin", "tan"]),
    ('朴', &["piao", "pu"]),
    ('乐', &["yue", "le"]),
    ('尉', &["wei", "yu"]),
    ('种', &["chong"]),
    ('繁', &["po", "fan"]),
    ('折', &["she", "zhe"]),
    ('黑', &["he", "hei"]),
    ('秘', &["bi", "mi"]),
    ('员', &["yun", "yuan"]),
    ('召', &["shao", "zhao"]),
    ('洗', &["xian", "xi"]),
    ('炅', &["gui", "jiong"]),
    ('句', &["gou", "ju"]),
    ('佴', &["nai", "er"]),
    ('乜', &["nie"]),
    ('隗', &["wei", "kui"]),
    ('郗', &["xi", "chi"]),
    ('郇', &["xun", "huan"]),
    ('谌', &["chen", "shen"]),
    ('牟', &["mu", "mou"]),
    ('么', &["yao", "me"]),
    ('幺', &["yao"]),
    ('贲', &["ben", "bi"]),
    ('祭', &["zhai", "ji"]),
    ('藏', &["zang"]),
];

/// Characters with more than one reading in given names; the usual one first.
const GIVEN: &[(char, &[&str])] = &[
    ('乐', &["le", "yue"]),
    ('行', &["xing", "hang"]),
    ('长', &["chang", "zhang"]),
    ('重', &["chong", "zhong"]),
    ('朝', &["chao", "zhao"]),
    ('晟', &["sheng", "cheng"]),
    ('盛', &["sheng", "cheng"]),
    ('茜', &["qian", "xi"]),
    ('莘', &["xin", "shen"]),
    ('单', &["dan", "shan"]),
    ('曾', &["zeng", "ceng"]),
    ('仔', &["zai", "zi"]),
    ('娜', &["na", "nuo"]),
    ('藏', &["cang", "zang"]),
    ('传', &["chuan", "zhuan"]),
    ('参', &["can", "shen"]),
    ('度', &["du", "duo"]),
    ('觉', &["jue", "jiao"]),
    ('柏', &["bai", "bo"]),
    ('伯', &["bo", "bai"]),
    ('薄', &["bo", "bao"]),
    ('禅', &["chan", "shan"]),
    ('澄', &["cheng", "deng"]),
    ('琢', &["zhuo", "zuo"]),
    ('降', &["xiang", "jiang"]),
    ('见', &["jian", "xian"]),
    ('模', &["mo", "mu"]),
    ('露', &["lu", "lou"]),
    ('纶', &["lun", "guan"]),
    ('屏', &["ping", "bing"]),
    ('厦', &["xia", "sha"]),
    ('杉', &["shan", "sha"]),
    ('校', &["xiao", "jiao"]),
    ('种', &["zhong", "chong"]),
    ('筠', &["yun", "jun"]),
    ('鋆', &["yun", "jun"]),
    ('莞', &["wan", "guan"]),
    ('颉', &["jie", "xie"]),
    ('栎', &["li", "yue"]),
    ('贲', &["ben", "bi"]),
    ('炅', &["jiong", "gui"]),
    ('艾', &["ai", "yi"]),
    ('佛', &["fo", "fu"]),
    ('隽', &["juan", "jun"]),
    ('蕃', &["fan", "bo"]),
    ('什', &["shi", "shen"]),
    ('朴', &["pu", "piao"]),
    ('率', &["shuai", "lü"]),
    ('嬛', &["huan", "xuan"]),
];

/// At most this many readings of one name are told apart.
const READINGS: usize = 4;

/// The readings of a name in Chinese characters, the likeliest first, each a list of syllables, one a character.
///
/// `name`: folded, the surname first. Empty if a character has no reading.
pub(super) fn readings(name: &str) -> Vec<Vec<String>> {
    let Some(options) = options(name) else { return Vec::new() };
    let mut readings = vec![Vec::new()];
    for syllables in &options {
        let longer = readings.iter().flat_map(|reading: &Vec<String>| {
            syllables.iter().map(|syllable| [reading.as_slice(), std::slice::from_ref(syllable)].concat())
        });
        readings = longer.take(READINGS).collect();
    }
    readings
}

/// What each character may be read as.
fn options(name: &str) -> Option<Vec<Vec<String>>> {
    let compound = COMPOUND_SURNAMES.iter().find(|(surname, _)| name.starts_with(surname));
    let mut options: Vec<_> = compound.into_iter().flat_map(|(_, syllables)| syllables.map(spellings)).collect();
    for (at, character) in name.chars().enumerate().skip(options.len()) {
        let known = if at == 0 { SURNAMES } else { GIVEN };
        options.push(match known.iter().find(|(known, _)| *known == character) {
            Some((_, syllables)) => syllables.iter().flat_map(|syllable| spellings(syllable)).collect(),
            None => spellings(character.to_pinyin()?.plain()),
        });
    }
    Some(options)
}

/// `ü` is typed as `v`, and written `u` or `yu` in passports.
fn spellings(syllable: &str) -> Vec<String> {
    match syllable.split_once('ü') {
        Some((initial, rest)) => ["v", "u", "yu"].map(|vowel| format!("{initial}{vowel}{rest}")).to_vec(),
        None => vec![syllable.replace('ê', "e")],
    }
}

const INITIALS: &[&str] = &[
    "b", "p", "m", "f", "d", "t", "n", "l", "g", "k", "h", "j", "q", "x", "zh", "ch", "sh", "r", "z", "c", "s", "y",
    "w", "",
];
const FINALS: &[&str] = &[
    "a", "o", "e", "ai", "ei", "ao", "ou", "an", "en", "ang", "eng", "ong", "er", "i", "ia", "ie", "iao", "iu", "ian",
    "in", "iang", "ing", "iong", "u", "ua", "uo", "uai", "ui", "uan", "un", "uang", "v", "ve", "ue",
];
/// A syllable has at most this many letters: `zhuang`.
const LETTERS: usize = 6;

/// A word in Latin letters taken apart into as few syllables of pinyin as can be; `None` if it is none.
pub(super) fn syllables(word: &str) -> Option<Vec<&str>> {
    if !word.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return None;
    }
    // The shortest way from the start to each letter.
    let mut ways: Vec<Option<Vec<&str>>> = vec![Some(Vec::new())];
    for end in 1..=word.len() {
        let begins = end.saturating_sub(LETTERS)..end;
        let longer = begins.filter_map(|begin| {
            let syllable = word.get(begin..end).filter(|text| is_syllable(text))?;
            Some([ways.get(begin)?.as_ref()?.as_slice(), &[syllable]].concat())
        });
        ways.push(longer.min_by_key(Vec::len));
    }
    ways.pop().flatten()
}

fn is_syllable(text: &str) -> bool {
    INITIALS.iter().any(|initial| text.strip_prefix(initial).is_some_and(|last| FINALS.contains(&last)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn surnames_are_read_as_surnames() {
        for (name, expected) in [
            ("张三", &["zhang san"][..]),
            ("曾国", &["zeng guo"]),
            ("单一", &["shan yi"]),
            ("一单", &["yi dan", "yi shan"]),
            ("解小东", &["xie xiao dong"]),
            ("仇明", &["qiu ming"]),
            ("区明", &["ou ming"]),
            ("查明", &["zha ming"]),
            ("盖明", &["ge ming", "gai ming"]),
            ("翟明", &["zhai ming", "di ming"]),
            ("尉迟恭", &["yu chi gong"]),
            ("万俟明", &["mo qi ming"]),
            ("长孙明", &["zhang sun ming"]),
            ("吕布", &["lv bu", "lu bu", "lyu bu"]),
            ("李长乐", &["li chang le", "li chang yue", "li zhang le", "li zhang yue"]),
            ("張三", &["zhang san"]),
            ("ab", &[]),
            ("", &[""]),
        ] {
            let readings: Vec<_> = readings(name).iter().map(|syllables| syllables.join(" ")).collect();
            assert_eq!(readings, expected, "{name}");
        }
    }

    #[test]
    fn pinyin_is_taken_apart() {
        for (word, expected) in [
            ("xiaodong", Some("xiao dong")),
            ("zhang", Some("zhang")),
            ("xian", Some("xian")),
            ("lvbu", Some("lv bu")),
            ("john", None),
            ("müller", None),
        ] {
            assert_eq!(syllables(word).map(|syllables| syllables.join(" ")).as_deref(), expected, "{word}");
        }
    }
}
