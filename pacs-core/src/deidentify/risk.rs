//! What cannot be de-identified without looking at the pixels or the text.

use crate::data_set::DataSet;
use dicom_dictionary_std::tags;

/// Why an instance must not go as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Risk {
    #[error("Burned In Annotation is YES: its pixels name the patient")]
    BurnedIn,
    #[error("images of this SOP Class often have names burned into their pixels")]
    SopClass,
    #[error("Image Type says that it is a picture of a screen, which may show names")]
    Screen,
    #[error("it is a document or a report, whose text nobody can clean unseen")]
    Text,
}

/// Ultrasound, secondary capture, visible light and video (PS3.6 Annex A), retired ones too: prefixes of SOP Class UIDs.
const OFTEN_BURNED_IN: [&str; 6] = [
    "1.2.840.10008.5.1.4.1.1.3",
    "1.2.840.10008.5.1.4.1.1.6",
    "1.2.840.10008.5.1.4.1.1.7",
    "1.2.840.10008.5.1.4.1.1.77",
    // Standalone overlay and curve, retired.
    "1.2.840.10008.5.1.4.1.1.8",
    "1.2.840.10008.5.1.4.1.1.9.1",
];
/// Microscopy of whole slides: the label is an image of its own, known by Image Type.
const WHOLE_SLIDE: &str = "1.2.840.10008.5.1.4.1.1.77.1.6";
/// Encapsulated documents, structured reports (but not key object selections), and basic text of old.
const TEXT: [&str; 3] = ["1.2.840.10008.5.1.4.1.1.104", "1.2.840.10008.5.1.4.1.1.88", "1.2.840.10008.5.1.4.1.1.9.1.4"];
const KEY_OBJECT_SELECTION: &str = "1.2.840.10008.5.1.4.1.1.88.59";
/// Values of Image Type of pictures of screens, dose sheets and slide labels, in part.
const SCREENS: [&str; 5] = ["SCREEN", "SAVE", "DOSE", "LABEL", "OVERVIEW"];

impl Risk {
    /// Of an instance as it was received; `None` if there is no known one.
    pub fn of(data_set: &DataSet) -> Option<Self> {
        let class = data_set.text(tags::SOP_CLASS_UID).unwrap_or_default();
        let is_among = |known: &[&str]| known.iter().any(|prefix| is_below(&class, prefix));
        let shows_screen = |value: String| SCREENS.iter().any(|screen| value.to_uppercase().contains(screen));
        if class != KEY_OBJECT_SELECTION && is_among(&TEXT) {
            Some(Self::Text)
        } else if data_set.text(tags::BURNED_IN_ANNOTATION).is_some_and(|text| text.eq_ignore_ascii_case("YES")) {
            Some(Self::BurnedIn)
        } else if class != WHOLE_SLIDE && is_among(&OFTEN_BURNED_IN) {
            Some(Self::SopClass)
        } else if data_set.texts(tags::IMAGE_TYPE).into_iter().any(shows_screen) {
            Some(Self::Screen)
        } else {
            None
        }
    }

    /// Whether somebody may know better.
    pub const fn may_be_allowed(self) -> bool {
        !matches!(self, Self::Text)
    }
}

/// The UID itself, or one under it.
fn is_below(uid: &str, prefix: &str) -> bool {
    uid.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_set::Element;
    use dicom_core::{Tag, VR};

    fn risk(class: &str, more: &[(Tag, &str)]) -> Option<Risk> {
        let mut data_set = DataSet::default();
        let class = format!("1.2.840.10008.5.1.4.1.1.{class}");
        data_set.elements.push(Element::of_text(tags::SOP_CLASS_UID, VR::UI, &class));
        data_set.elements.extend(more.iter().map(|(tag, text)| Element::of_text(*tag, VR::CS, text)));
        Risk::of(&data_set)
    }

    #[test]
    fn what_may_show_or_tell_a_name_is_a_risk() {
        for (class, expected) in [
            ("2", None),
            ("4", None),
            ("6.1", Some(Risk::SopClass)),
            ("7", Some(Risk::SopClass)),
            ("7.2", Some(Risk::SopClass)),
            ("77.1.4.1", Some(Risk::SopClass)),
            ("77.1.6", None),
            ("88.33", Some(Risk::Text)),
            ("88.59", None),
            ("104.1", Some(Risk::Text)),
            ("66.4", None),
        ] {
            assert_eq!(risk(class, &[]), expected, "{class}");
        }
        assert_eq!(risk("2", &[(tags::BURNED_IN_ANNOTATION, "YES ")]), Some(Risk::BurnedIn));
        assert_eq!(risk("2", &[(tags::BURNED_IN_ANNOTATION, "NO")]), None);
        assert_eq!(risk("6.1", &[(tags::BURNED_IN_ANNOTATION, "NO")]), Some(Risk::SopClass));
        assert_eq!(risk("2", &[(tags::IMAGE_TYPE, "DERIVED\\SECONDARY\\SCREEN SAVE")]), Some(Risk::Screen));
        assert_eq!(risk("2", &[(tags::IMAGE_TYPE, "ORIGINAL\\PRIMARY\\AXIAL")]), None);
    }
}
