//! What of an archive somebody sees.

use super::{Condition, Level, Query, QueryError, attribute};
use dicom_core::Tag;
use std::{fmt, str::FromStr};

/// Conditions on patients and studies that hold beside those of any question: what does not meet them is not there.
///
/// Written as matching keys of a search, joined by `&`: `ModalitiesInStudy=US&InstitutionName=East*`. The default shows
/// everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct View {
    text: String,
    conditions: Vec<(Tag, Condition)>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ViewError {
    #[error("{0:?} is not of the form Attribute=value")]
    Form(String),
    #[error(transparent)]
    Key(#[from] QueryError),
    /// It would show less of a study and not fewer studies, or show them all.
    #[error("{0} does not choose among patients or studies")]
    NoChoice(String),
}

impl View {
    pub const EVERYTHING: Self = Self { text: String::new(), conditions: Vec::new() };

    /// Whether it shows everything.
    pub fn is_open(&self) -> bool {
        self.conditions.is_empty()
    }

    /// By attribute; one that stands twice must meet both conditions.
    pub fn conditions(&self) -> &[(Tag, Condition)] {
        &self.conditions
    }

    /// What both show.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let texts = [self.text.as_str(), other.text.as_str()].into_iter().filter(|text| !text.is_empty());
        let conditions = self.conditions.iter().chain(&other.conditions).cloned().collect();
        Self { text: texts.collect::<Vec<_>>().join("&"), conditions }
    }
}

impl FromStr for View {
    type Err = ViewError;

    fn from_str(text: &str) -> Result<Self, ViewError> {
        let keys = text.split('&').map(str::trim).filter(|key| !key.is_empty());
        let conditions = keys.map(condition).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { text: text.trim().to_owned(), conditions })
    }
}

fn condition(key: &str) -> Result<(Tag, Condition), ViewError> {
    let (name, value) = key.split_once('=').ok_or_else(|| ViewError::Form(key.to_owned()))?;
    let asked = [(name.trim().to_owned(), value.trim().to_owned())];
    let query = Query::from_parameters(Level::Study, None, None, &asked).map_err(|error| match error {
        // Perhaps one of series or instances.
        QueryError::Parameter(_) => ViewError::NoChoice(key.to_owned()),
        other => other.into(),
    })?;
    let mut found = query.conditions.into_iter();
    let chosen = found.next().filter(|(tag, _)| attribute(*tag).is_some_and(|known| known.level <= Level::Study));
    chosen.ok_or_else(|| ViewError::NoChoice(key.to_owned()))
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for View {
    type Error = ViewError;

    fn try_from(text: String) -> Result<Self, ViewError> {
        text.parse()
    }
}

impl From<View> for String {
    fn from(view: View) -> Self {
        view.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dicom_dictionary_std::tags;
    use proptest::prelude::*;

    fn view(text: &str) -> Result<View, ViewError> {
        text.parse()
    }

    #[test]
    fn a_view_is_matching_keys_of_patients_and_studies() {
        let found = view("ModalitiesInStudy=US & InstitutionName=East*").expect("a view");
        let expected = [
            (tags::MODALITIES_IN_STUDY, Condition::Exact("US".to_owned())),
            (tags::INSTITUTION_NAME, Condition::Wildcard("East*".to_owned())),
        ];
        assert_eq!(found.conditions(), expected);
        assert_eq!(found.to_string(), "ModalitiesInStudy=US & InstitutionName=East*");
        assert!(view("").expect("a view").is_open() && View::default().is_open());
    }

    #[test]
    fn what_would_hide_nothing_is_no_view() {
        for text in
            ["SeriesDescription=x", "PatientName=*", "PatientName=", "limit=5", "Rows", "Nonsense=1", "=", "a=b=c"]
        {
            assert!(view(text).is_err(), "{text}");
        }
        assert_eq!(view("Rows=512"), Err(ViewError::NoChoice("Rows=512".to_owned())));
    }

    #[test]
    fn two_views_together_show_what_both_show() {
        let (one, other) = (view("PatientSex=F").expect("a view"), view("PatientSex=M").expect("a view"));
        assert_eq!(one.and(&other).conditions().len(), 2);
        assert_eq!(one.and(&other).to_string().parse(), Ok(one.and(&other)));
        assert_eq!(one.and(&View::default()), one);
    }

    proptest! {
        #[test]
        fn any_text_is_a_view_or_an_error_and_a_view_is_written_as_it_was(text in any::<String>()) {
            if let Ok(found) = view(&text) {
                prop_assert_eq!(found.to_string().parse(), Ok(found));
            }
        }
    }
}
