//! Matches as DICOM JSON (PS3.18 §10.6.3, Annex F).

use crate::{error::WebError, web::Web};
use pacs_core::{
    Tag, Uid, VR,
    attributes::key,
    query::{ATTRIBUTES, Attribute, Condition, Include, Level, Query, attribute},
    tags,
};
use serde_json::{Map, Value, json};
use std::collections::{BTreeSet, HashMap};
use storage::Row;

/// Returned of a patient without being asked for.
const PATIENT: &[Tag] = &[
    tags::PATIENT_NAME,
    tags::PATIENT_ID,
    tags::ISSUER_OF_PATIENT_ID,
    tags::PATIENT_BIRTH_DATE,
    tags::PATIENT_SEX,
    tags::NUMBER_OF_PATIENT_RELATED_STUDIES,
];

/// Returned without being asked for, where there is a value (PS3.18 Table 10.6.3-3; the description besides).
const STUDY: &[Tag] = &[
    tags::STUDY_DATE,
    tags::STUDY_TIME,
    tags::ACCESSION_NUMBER,
    tags::MODALITIES_IN_STUDY,
    tags::REFERRING_PHYSICIAN_NAME,
    tags::TIMEZONE_OFFSET_FROM_UTC,
    tags::STUDY_DESCRIPTION,
    tags::PATIENT_NAME,
    tags::PATIENT_ID,
    tags::PATIENT_BIRTH_DATE,
    tags::PATIENT_SEX,
    tags::STUDY_INSTANCE_UID,
    tags::STUDY_ID,
    tags::NUMBER_OF_STUDY_RELATED_SERIES,
    tags::NUMBER_OF_STUDY_RELATED_INSTANCES,
];

/// PS3.18 Table 10.6.3-4.
const SERIES: &[Tag] = &[
    tags::MODALITY,
    tags::TIMEZONE_OFFSET_FROM_UTC,
    tags::SERIES_DESCRIPTION,
    tags::SERIES_INSTANCE_UID,
    tags::SERIES_NUMBER,
    tags::NUMBER_OF_SERIES_RELATED_INSTANCES,
    tags::PERFORMED_PROCEDURE_STEP_START_DATE,
    tags::PERFORMED_PROCEDURE_STEP_START_TIME,
    tags::SCHEDULED_PROCEDURE_STEP_ID,
    tags::REQUESTED_PROCEDURE_ID,
];

/// PS3.18 Table 10.6.3-5.
const INSTANCE: &[Tag] = &[
    tags::SOP_CLASS_UID,
    tags::SOP_INSTANCE_UID,
    tags::TIMEZONE_OFFSET_FROM_UTC,
    tags::INSTANCE_NUMBER,
    tags::ROWS,
    tags::COLUMNS,
    tags::BITS_ALLOCATED,
    tags::NUMBER_OF_FRAMES,
    tags::AVAILABLE_TRANSFER_SYNTAX_UID,
];

/// The matches in the order of the rows.
pub async fn write(web: &Web, query: &Query, base: &str, rows: &[Row]) -> Result<Vec<Map<String, Value>>, WebError> {
    let wanted = wanted(query);
    let beyond = beyond_index(&query.include);
    let mut metadata = HashMap::new();
    let mut matches = Vec::with_capacity(rows.len());
    for row in rows {
        let mut found = object(row, query.level, wanted.as_ref(), base);
        if !beyond.is_empty() {
            add_from_metadata(web, query, row, &beyond, &mut metadata, &mut found).await?;
        }
        matches.push(found);
    }
    Ok(matches)
}

/// The tags to return; `None` is everything the index has.
fn wanted(query: &Query) -> Option<BTreeSet<Tag>> {
    let Include::Tags(asked) = &query.include else { return None };
    let is_given = |tag| matches!(query.conditions.get(&tag), Some(Condition::Exact(_)));
    let mut wanted: BTreeSet<Tag> = [tags::STUDY_INSTANCE_UID].into();
    match query.level {
        Level::Patient => wanted.extend(PATIENT),
        Level::Study => wanted.extend(STUDY),
        _ if !is_given(tags::STUDY_INSTANCE_UID) => wanted.extend(STUDY),
        _ => {}
    }
    if query.level == Level::Series || query.level == Level::Instance && !is_given(tags::SERIES_INSTANCE_UID) {
        wanted.extend(SERIES);
    }
    if query.level == Level::Instance {
        wanted.insert(tags::SERIES_INSTANCE_UID);
        wanted.extend(INSTANCE);
    }
    wanted.extend(asked.iter().chain(query.conditions.keys()));
    Some(wanted)
}

/// Attributes asked for by name that only the instances themselves hold.
fn beyond_index(include: &Include) -> Vec<Tag> {
    let Include::Tags(asked) = include else { return Vec::new() };
    asked.iter().copied().filter(|tag| attribute(*tag).is_none()).collect()
}

fn object(row: &Row, level: Level, wanted: Option<&BTreeSet<Tag>>, base: &str) -> Map<String, Value> {
    let mut found = Map::new();
    for attribute in ATTRIBUTES {
        let Some(text) = row.values.get(&attribute.tag).filter(|text| !text.is_empty()) else { continue };
        if attribute.level > level || wanted.is_some_and(|wanted| !wanted.contains(&attribute.tag)) {
            continue;
        }
        put(&mut found, attribute, text);
    }
    found.insert(key(tags::SPECIFIC_CHARACTER_SET), json!({ "vr": "CS", "Value": ["ISO_IR 192"] }));
    if level == Level::Patient {
        return found;
    }
    let availability = row.values.get(&tags::INSTANCE_AVAILABILITY).map_or("ONLINE", String::as_str);
    found.insert(key(tags::INSTANCE_AVAILABILITY), json!({ "vr": "CS", "Value": [availability] }));
    found.insert(key(tags::RETRIEVE_URL), json!({ "vr": "UR", "Value": [retrieve_url(row, level, base)] }));
    found
}

fn put(found: &mut Map<String, Value>, attribute: &Attribute, text: &str) {
    let values: Vec<Value> = text.split('\\').map(|value| one(attribute.vr, value)).collect();
    let element = json!({ "vr": attribute.vr.to_string(), "Value": values });
    let Some(sequence) = attribute.within else {
        found.insert(key(attribute.tag), element);
        return;
    };
    let sequence = found.entry(key(sequence)).or_insert_with(|| json!({ "vr": "SQ", "Value": [{}] }));
    if let Some(Value::Object(item)) = sequence.pointer_mut("/Value/0") {
        item.insert(key(attribute.tag), element);
    }
}

/// One value in the JSON form of its VR (PS3.18 §F.2.3).
fn one(vr: VR, value: &str) -> Value {
    match vr {
        VR::PN => {
            let groups = ["Alphabetic", "Ideographic", "Phonetic"].into_iter().zip(value.split('='));
            groups
                .filter(|(_, group)| !group.is_empty())
                .map(|(name, group)| (name.to_owned(), group.into()))
                .collect::<Map<_, _>>()
                .into()
        }
        VR::IS | VR::US | VR::SS | VR::UL | VR::SL => {
            value.trim().parse::<i64>().map_or_else(|_| value.into(), Value::from)
        }
        VR::DS | VR::FL | VR::FD => value.trim().parse::<f64>().map_or_else(|_| value.into(), Value::from),
        _ if value.is_empty() => Value::Null,
        _ => value.into(),
    }
}

fn retrieve_url(row: &Row, level: Level, base: &str) -> String {
    let uid = |tag| row.values.get(&tag).map_or("", String::as_str);
    let mut url = format!("{base}/studies/{}", uid(tags::STUDY_INSTANCE_UID));
    if level >= Level::Series {
        url += &format!("/series/{}", uid(tags::SERIES_INSTANCE_UID));
    }
    if level >= Level::Instance {
        url += &format!("/instances/{}", uid(tags::SOP_INSTANCE_UID));
    }
    url
}

/// Takes attributes from the instance, or from the first one of the study or series.
async fn add_from_metadata(
    web: &Web,
    query: &Query,
    row: &Row,
    beyond: &[Tag],
    series_metadata: &mut HashMap<String, Value>,
    found: &mut Map<String, Value>,
) -> Result<(), WebError> {
    let level = query.level;
    let uid = |tag| row.values.get(&tag).and_then(|text| text.parse::<Uid>().ok());
    let Some(study) = uid(tags::STUDY_INSTANCE_UID) else { return Ok(()) };
    let (series, sop_instance) = (uid(tags::SERIES_INSTANCE_UID), uid(tags::SOP_INSTANCE_UID));
    let wanted = if level == Level::Instance { sop_instance } else { first(web, &study, series.as_ref()).await? };
    let Some(wanted) = wanted else { return Ok(()) };
    if !series_metadata.contains_key(wanted.as_str()) {
        // In an order of the asker's, neighbours need not be of one series.
        let whole_series = series.as_ref().filter(|_| level == Level::Instance && query.order.is_empty());
        let only = if whole_series.is_some() { None } else { Some(&wanted) };
        series_metadata.clear();
        for text in web.archive.metadata(&study, whole_series, only).await? {
            let Ok(metadata) = serde_json::from_str::<Value>(&text) else { continue };
            let sop_instance = metadata.pointer("/00080018/Value/0").and_then(Value::as_str).unwrap_or_default();
            series_metadata.insert(sop_instance.to_owned(), metadata);
        }
    }
    let elements = series_metadata.get(wanted.as_str()).into_iter();
    for (key, element) in elements.flat_map(|m| beyond.iter().filter_map(|&tag| Some((key(tag), m.get(key(tag))?)))) {
        found.insert(key, element.clone());
    }
    Ok(())
}

async fn first(web: &Web, study: &Uid, series: Option<&Uid>) -> Result<Option<Uid>, WebError> {
    let instance = web.archive.first_instance(study, series).await?;
    Ok(instance.map(|instance| instance.sop_instance))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[(Tag, &str)]) -> Row {
        Row::of(values.iter().map(|(tag, value)| (*tag, (*value).to_owned())).collect())
    }

    #[test]
    fn a_match_has_the_form_of_annex_f() {
        let row = row(&[
            (tags::STUDY_INSTANCE_UID, "1.2"),
            (tags::PATIENT_NAME, "Zhang^San=张^三"),
            (tags::MODALITIES_IN_STUDY, "CT\\SR"),
            (tags::NUMBER_OF_STUDY_RELATED_SERIES, "2"),
            (tags::ACCESSION_NUMBER, ""),
        ]);
        let found = Value::Object(object(&row, Level::Study, None, "http://h/dicom-web"));
        assert_eq!(
            found["00100010"],
            json!({"vr": "PN", "Value": [{"Alphabetic": "Zhang^San", "Ideographic": "张^三"}]})
        );
        assert_eq!(found["00080061"], json!({"vr": "CS", "Value": ["CT", "SR"]}));
        assert_eq!(found["00201206"], json!({"vr": "IS", "Value": [2]}));
        assert_eq!(found["00081190"]["Value"][0], "http://h/dicom-web/studies/1.2");
        assert_eq!(found.get("00080050"), None);
    }

    #[test]
    fn requested_procedure_keys_stand_in_their_sequence() {
        let row = row(&[(tags::SCHEDULED_PROCEDURE_STEP_ID, "S1"), (tags::REQUESTED_PROCEDURE_ID, "R1")]);
        let found = Value::Object(object(&row, Level::Series, None, ""));
        assert_eq!(found["00400275"]["Value"][0]["00400009"]["Value"][0], "S1");
        assert_eq!(found["00400275"]["Value"][0]["00401001"]["Value"][0], "R1");
    }

    #[test]
    fn attributes_of_a_lower_level_are_left_out() {
        let row = row(&[(tags::STUDY_INSTANCE_UID, "1.2"), (tags::MODALITY, "CT")]);
        assert!(!object(&row, Level::Study, None, "").contains_key("00080060"));
    }

    #[test]
    fn default_attributes_are_indexed_or_written_here() {
        for tag in PATIENT.iter().chain(STUDY).chain(SERIES).chain(INSTANCE) {
            assert!(attribute(*tag).is_some(), "{tag}");
        }
    }
}
