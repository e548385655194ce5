//! Person names and their component groups (PS3.5 §6.2.1), and what people find them by.

mod fold;
mod pinyin;
mod search;

pub use fold::fold;
pub use search::{Piece, pattern_pieces, search_keys, search_terms};

/// The three component groups of a PN value, each with its `^`-separated components as sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PersonName {
    pub alphabetic: String,
    pub ideographic: String,
    pub phonetic: String,
}

impl PersonName {
    /// From the text of one PN value, `alphabetic=ideographic=phonetic`.
    pub fn parse(text: &str) -> Self {
        let mut groups = text.splitn(3, '=').map(|g| g.trim_end_matches([' ', '^']).to_owned());
        let mut next = || groups.next().unwrap_or_default();
        Self { alphabetic: next(), ideographic: next(), phonetic: next() }
    }

    /// For people: the ideographic group when there is one, else the alphabetic; family name first, no carets.
    pub fn display(&self) -> String {
        let group = if self.ideographic.is_empty() { &self.alphabetic } else { &self.ideographic };
        group.split('^').filter(|c| !c.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_three_groups_and_people_see_one() {
        for (text, groups, shown) in [
            ("Zhang^San=张^三=", ["Zhang^San", "张^三", ""], "张 三"),
            ("Yamada^Tarou==やまだ^たろう", ["Yamada^Tarou", "", "やまだ^たろう"], "Yamada Tarou"),
            (
                "Adams^John Robert^Quincy^Rev.^",
                ["Adams^John Robert^Quincy^Rev.", "", ""],
                "Adams John Robert Quincy Rev.",
            ),
            ("a=b=c=d", ["a", "b", "c=d"], "b"),
            ("", ["", "", ""], ""),
        ] {
            let name = PersonName::parse(text);
            assert_eq!([&name.alphabetic, &name.ideographic, &name.phonetic], groups);
            assert_eq!(name.display(), shown);
        }
    }
}
