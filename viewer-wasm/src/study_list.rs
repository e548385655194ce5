//! The study list: what is asked of QIDO-RS (PS3.18 §10.6), and how its answer is ordered and shown.

use pacs_core::person_name::PersonName;
use pacs_core::{Attributes, Uid, tags};
use serde_json::Value;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::date;

/// Studies asked for at once.
pub const PAGE: usize = 100;

/// The modalities offered as chips.
pub const MODALITIES: &[&str] = &["CT", "MR", "CR", "DX", "MG", "US", "XA", "NM", "PT", "SR"];

/// One study as the list shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct StudyRow {
    pub study: Uid,
    pub patient_name: PersonName,
    pub patient_id: String,
    pub birth_date: String,
    pub sex: String,
    pub date: String,
    pub time: String,
    pub description: String,
    pub accession_number: String,
    pub modalities: String,
    pub series: u32,
    pub instances: u32,
}

impl StudyRow {
    /// `None` if the answer has no valid Study Instance UID.
    pub fn of(attributes: Attributes<'_>) -> Option<Self> {
        let text = |tag| attributes.text(tag).unwrap_or_default().trim().to_owned();
        let count = |tag| attributes.integer(tag).and_then(|n| u32::try_from(n).ok()).unwrap_or_default();
        Some(Self {
            study: attributes.text(tags::STUDY_INSTANCE_UID)?.parse().ok()?,
            patient_name: attributes.person_name(tags::PATIENT_NAME).unwrap_or_default(),
            patient_id: text(tags::PATIENT_ID),
            birth_date: text(tags::PATIENT_BIRTH_DATE),
            sex: text(tags::PATIENT_SEX),
            date: text(tags::STUDY_DATE),
            time: text(tags::STUDY_TIME),
            description: text(tags::STUDY_DESCRIPTION),
            accession_number: text(tags::ACCESSION_NUMBER),
            modalities: attributes.texts(tags::MODALITIES_IN_STUDY).join(" "),
            series: count(tags::NUMBER_OF_STUDY_RELATED_SERIES),
            instances: count(tags::NUMBER_OF_STUDY_RELATED_INSTANCES),
        })
    }
}

/// Which study dates are wanted; the days are counted back from today, today included.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Dates {
    #[default]
    Any,
    LastDays(u16),
    /// `YYYYMMDD`; an empty end is open.
    Range {
        from: String,
        to: String,
    },
}

impl Dates {
    /// The range as QIDO-RS writes it (PS3.4 §C.2.2.2.5); `None` for no restriction.
    fn range(&self, today: &str) -> Option<String> {
        match self {
            Self::Any => None,
            Self::LastDays(days) => Some(format!("{}-", date::days_before(today, i64::from(*days) - 1)?)),
            Self::Range { from, to } if from.is_empty() && to.is_empty() => None,
            Self::Range { from, to } => Some(format!("{from}-{to}")),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Matched against patient name, patient ID and accession number.
    pub text: String,
    pub dates: Dates,
    pub modalities: BTreeSet<&'static str>,
}

impl Filter {
    pub fn is_empty(&self) -> bool {
        self == &Self::default()
    }

    /// The QIDO-RS requests that together find the studies: QIDO-RS joins keys by AND only, so name, ID and accession
    /// number, and each modality, are asked for apart.
    pub fn urls(&self, today: &str, limit: usize) -> Vec<String> {
        let text = self.text.trim();
        let keys: &[&str] = if text.is_empty() { &[""] } else { &["PatientName", "PatientID", "AccessionNumber"] };
        let modalities: Vec<&str> =
            if self.modalities.is_empty() { vec![""] } else { self.modalities.iter().copied().collect() };
        let pairs = modalities.iter().flat_map(|modality| keys.iter().map(move |key| (*modality, *key)));
        pairs.map(|(modality, key)| self.url(today, limit, key, text, modality)).collect()
    }

    fn url(&self, today: &str, limit: usize, key: &str, text: &str, modality: &str) -> String {
        let mut url = format!("/dicom-web/studies?limit={limit}&includefield=StudyDescription");
        if !key.is_empty() {
            let _ = write!(url, "&{key}={}", percent_encode(&wildcard(key, text)));
        }
        if key == "PatientName" {
            // Also by pinyin and initials, and what is written otherwise: `zhangsan`, `zs`, `張三`.
            url.push_str("&fuzzymatching=true");
        }
        if !modality.is_empty() {
            let _ = write!(url, "&ModalitiesInStudy={modality}");
        }
        if let Some(range) = self.dates.range(today) {
            let _ = write!(url, "&StudyDate={range}");
        }
        url
    }
}

/// A text typed without wildcards is looked for anywhere in the value. Between the words of a name anything may stand:
/// `Zhang^San` is shown, and typed, as "Zhang San".
fn wildcard(key: &str, text: &str) -> String {
    if text.contains(['*', '?']) {
        return text.to_owned();
    }
    let words: Vec<&str> = if key == "PatientName" { text.split_whitespace().collect() } else { vec![text] };
    format!("*{}*", words.join("*"))
}

/// Percent-encodes all but RFC 3986 unreserved characters and `*`.
pub fn percent_encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~*".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    Patient,
    PatientId,
    Date,
    Modality,
    Description,
    Accession,
    Images,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sort {
    pub column: Column,
    pub descending: bool,
}

impl Default for Sort {
    /// Newest study first.
    fn default() -> Self {
        Self { column: Column::Date, descending: true }
    }
}

impl Sort {
    /// A second click on a column turns the order round.
    pub fn clicked(self, column: Column) -> Self {
        let descending = if self.column == column { !self.descending } else { column == Column::Date };
        Self { column, descending }
    }

    fn compare(self, a: &StudyRow, b: &StudyRow) -> Ordering {
        let order = match self.column {
            Column::Patient => a.patient_name.display().to_lowercase().cmp(&b.patient_name.display().to_lowercase()),
            Column::PatientId => a.patient_id.cmp(&b.patient_id),
            Column::Date => (&a.date, &a.time).cmp(&(&b.date, &b.time)),
            Column::Modality => a.modalities.cmp(&b.modalities),
            Column::Description => a.description.to_lowercase().cmp(&b.description.to_lowercase()),
            Column::Accession => a.accession_number.cmp(&b.accession_number),
            Column::Images => a.instances.cmp(&b.instances),
        };
        let order = if self.descending { order.reverse() } else { order };
        order.then_with(|| a.study.cmp(&b.study))
    }

    pub fn apply(self, rows: &mut [StudyRow]) {
        rows.sort_by(|a, b| self.compare(a, b));
    }
}

/// The studies of several answers, each once.
pub fn merge(answers: &[Value]) -> Vec<StudyRow> {
    let mut seen = BTreeSet::new();
    let rows = answers.iter().filter_map(Value::as_array).flatten().filter_map(Attributes::of).filter_map(StudyRow::of);
    rows.filter(|row| seen.insert(row.study.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer(uid: &str, date: &str, name: &str) -> Value {
        json!({
            "0020000D": {"vr": "UI", "Value": [uid]},
            "00080020": {"vr": "DA", "Value": [date]},
            "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Zhang^San", "Ideographic": name}]},
            "00080061": {"vr": "CS", "Value": ["CT", "SR"]},
            "00201208": {"vr": "IS", "Value": [133]}
        })
    }

    #[test]
    fn one_box_searches_name_id_and_accession_number() {
        let filter = Filter { text: " 张 ".into(), ..Filter::default() };
        let urls = filter.urls("20261124", 10);
        assert_eq!(urls.len(), 3);
        assert!(urls[0].ends_with("&PatientName=*%E5%BC%A0*&fuzzymatching=true"), "{}", urls[0]);
        assert!(urls[1].contains("PatientID=*") && urls[2].contains("AccessionNumber=*"));
    }

    #[test]
    fn each_modality_and_the_date_range_restrict_every_request() {
        let filter = Filter { dates: Dates::LastDays(3), modalities: ["CT", "MR"].into(), ..Filter::default() };
        let urls = filter.urls("20261101", 10);
        assert_eq!(urls.len(), 2);
        assert!(urls.iter().all(|url| url.contains("&StudyDate=20261030-")), "{urls:?}");
        assert!(urls[1].contains("ModalitiesInStudy=MR"));
    }

    #[test]
    fn a_name_is_found_as_it_is_shown() {
        assert_eq!(wildcard("PatientName", "doe  j"), "*doe*j*");
        assert_eq!(wildcard("PatientID", "A 7"), "*A 7*");
    }

    #[test]
    fn a_typed_wildcard_is_left_alone_and_signs_cannot_add_parameters() {
        assert_eq!(wildcard("PatientName", "Zh?ng* X"), "Zh?ng* X");
        assert_eq!(percent_encode("a&b=c d"), "a%26b%3Dc%20d");
    }

    #[test]
    fn an_open_range_is_written_open() {
        let dates = Dates::Range { from: "20260101".into(), to: String::new() };
        assert_eq!(dates.range("20261124").as_deref(), Some("20260101-"));
        assert_eq!(Dates::Range { from: String::new(), to: String::new() }.range(""), None);
    }

    #[test]
    fn answers_are_merged_and_sorted_newest_first() {
        let one = json!([answer("1.2", "20260101", "张三"), answer("1.3", "20260301", "李四")]);
        let two = json!([answer("1.2", "20260101", "张三"), {"junk": 1}, 7]);
        let mut rows = merge(&[one, two]);
        Sort::default().apply(&mut rows);
        let uids: Vec<_> = rows.iter().map(|row| row.study.as_str()).collect();
        assert_eq!(uids, ["1.3", "1.2"]);
        assert_eq!(rows[1].patient_name.display(), "张三");
        assert_eq!((rows[1].modalities.as_str(), rows[1].instances), ("CT SR", 133));
    }

    #[test]
    fn a_second_click_turns_the_order_round() {
        let once = Sort::default().clicked(Column::Patient);
        assert_eq!((once.column, once.descending), (Column::Patient, false));
        assert!(once.clicked(Column::Patient).descending);
    }
}
