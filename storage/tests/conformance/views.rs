//! What somebody sees is less than what there is.

use crate::support::{Slice, everywhere};
use pacs_core::{
    Tag,
    query::{Condition, Level, Query, View},
    tags,
};
use storage::Archive;

/// Two patients: one with an ultrasound of the east and a CT of the west, one with a CT of the west.
async fn fill(archive: &Archive) {
    for (study, patient, modality, institution) in
        [("1.1", "A", "US", "East"), ("1.2", "A", "CT", "West"), ("1.3", "B", "CT", "West")]
    {
        Slice::new(study, &format!("{study}.1"), &format!("{study}.1.1"))
            .with(tags::PATIENT_ID, patient)
            .with(tags::MODALITY, modality)
            .with(tags::INSTITUTION_NAME, institution)
            .sent_to(archive)
            .await;
    }
}

async fn seen(archive: &Archive, level: Level, key: Tag, view: &str) -> Vec<String> {
    let view: View = view.parse().expect("a view");
    let rows = archive.find(&Query { view, ..Query::new(level) }).await.expect("rows");
    let mut seen: Vec<_> = rows.iter().map(|row| row.values[&key].clone()).collect();
    seen.sort();
    seen
}

#[tokio::test]
async fn a_view_holds_at_every_level() {
    everywhere(async |archive| {
        fill(&archive).await;
        for (view, patients, studies) in [
            ("", vec!["A", "B"], vec!["1.1", "1.2", "1.3"]),
            ("ModalitiesInStudy=US", vec!["A"], vec!["1.1"]),
            ("InstitutionName=West", vec!["A", "B"], vec!["1.2", "1.3"]),
            ("PatientID=A&InstitutionName=We*", vec!["A"], vec!["1.2"]),
            ("ModalitiesInStudy=US&InstitutionName=West", vec![], vec![]),
            ("PatientID=A&PatientID=B", vec![], vec![]),
        ] {
            assert_eq!(seen(&archive, Level::Patient, tags::PATIENT_ID, view).await, patients, "{view}");
            for level in [Level::Study, Level::Series, Level::Instance] {
                assert_eq!(seen(&archive, level, tags::STUDY_INSTANCE_UID, view).await, studies, "{view}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_question_cannot_lead_out_of_a_view() {
    everywhere(async |archive| {
        fill(&archive).await;
        let view: View = "PatientID=A".parse().expect("a view");
        let asked = Query::new(Level::Study).with(tags::PATIENT_ID, "B");
        let rows = archive.find(&Query { view: view.clone(), ..asked }).await.expect("rows");
        assert!(rows.is_empty());
        let name = Condition::Wildcard("zhang*".into());
        let named = Query { conditions: [(tags::PATIENT_NAME, name)].into(), fuzzy: true, ..Query::new(Level::Study) };
        assert_eq!(archive.find(&Query { view, ..named }).await.expect("rows").len(), 2);
    })
    .await;
}
