//! Patient and study in a reader's words.

use crate::date;
use crate::i18n::{Language, Text};
use pacs_core::person_name::PersonName;

/// Name for people, ideographic first; a dash of words where there is none.
pub fn name(language: Language, name: &PersonName) -> String {
    let shown = name.display();
    if shown.is_empty() { language.text(Text::NoName).to_owned() } else { shown }
}

/// The alphabetic group beside an ideographic name; empty where the name itself is that.
pub fn second_name(name: &PersonName) -> String {
    if name.ideographic.is_empty() {
        return String::new();
    }
    let alphabetic = PersonName { alphabetic: name.alphabetic.clone(), ..PersonName::default() };
    alphabetic.display()
}

pub fn sex(language: Language, sex: &str) -> &str {
    match sex {
        "M" => language.text(Text::Male),
        "F" => language.text(Text::Female),
        "O" => language.text(Text::OtherSex),
        other => other,
    }
}

/// Sex, birth date and age on the day of the study, as far as known.
pub fn sex_and_birth(language: Language, code: &str, birth: &str, study_date: &str) -> String {
    let age = date::age_years(birth, study_date).map(|years| match language {
        Language::English => format!("{years}y"),
        Language::Chinese => format!("{years}岁"),
    });
    let parts = [sex(language, code).to_owned(), date::display(birth), age.unwrap_or_default()];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" · ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chinese_name_comes_first_and_its_letters_beside_it() {
        let name_of = |text| PersonName::parse(text);
        assert_eq!(name(Language::English, &name_of("Zhang^San=张^三")), "张 三");
        assert_eq!(second_name(&name_of("Zhang^San=张^三")), "Zhang San");
        assert_eq!(second_name(&name_of("Doe^John")), "");
        assert_eq!(name(Language::Chinese, &name_of("")), "（无姓名）");
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        assert_eq!(sex_and_birth(Language::Chinese, "F", "19800615", "20260614"), "女 · 1980-06-15 · 45岁");
        assert_eq!(sex_and_birth(Language::English, "", "", "20260614"), "");
    }
}
