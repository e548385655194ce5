//! Orders come in, are found, change and go.

use crate::support::everywhere;
use pacs_core::{
    Item, Tag,
    query::ItemQuery,
    tags,
    worklist::{StepStatus, change_step, step},
};
use serde_json::json;
use storage::{Archive, ArchiveError, AuditAction, ScheduledStep};

const SEQUENCE: Tag = tags::SCHEDULED_PROCEDURE_STEP_SEQUENCE;

/// A step of a CT for P1 on a day, at a station.
pub fn order(accession: &str, day: &str, station: &str) -> Item {
    let item = json!({
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Zhang^San", "Ideographic": "张^三"}]},
        "00100020": {"vr": "LO", "Value": ["P1"]},
        "00080050": {"vr": "SH", "Value": [accession]},
        "00400100": {"vr": "SQ", "Value": [{
            "00080060": {"vr": "CS", "Value": ["CT"]},
            "00400001": {"vr": "AE", "Value": [station]},
            "00400002": {"vr": "DA", "Value": [day]},
            "00400003": {"vr": "TM", "Value": ["0930"]},
        }]},
    });
    Item::from_json(item).expect("an order")
}

pub async fn ordered(archive: &Archive, order: &Item) -> ScheduledStep {
    archive.put_order("his", "test", order).await.expect("taken").remove(0)
}

fn asked(keys: &[(&[Tag], &str)]) -> ItemQuery {
    keys.iter().fold(ItemQuery::default(), |query, (path, value)| query.with(path, value).expect("a query"))
}

async fn found(archive: &Archive, keys: &[(&[Tag], &str)]) -> Vec<String> {
    let steps = archive.find_steps(&asked(keys), None, 1000).await.expect("steps");
    steps.iter().map(|step| step.item.text(tags::ACCESSION_NUMBER).to_owned()).collect()
}

#[tokio::test]
async fn an_order_keeps_what_was_made_for_it() {
    everywhere(async |archive| {
        let first = ordered(&archive, &order("A1", "20261201", "CT1")).await;
        assert_eq!((first.status, first.step_id.is_empty()), (StepStatus::Scheduled, false));
        let again = ordered(&archive, &order("A1", "20261202", "CT2")).await;
        assert_eq!((again.number, &again.study, &again.step_id), (first.number, &first.study, &first.step_id));
        let start = step(&archive.scheduled_step(first.number).await.expect("it").item);
        assert_eq!(start.text(tags::SCHEDULED_PROCEDURE_STEP_START_DATE), "20261202");

        // Another patient's order of the same number is another order.
        let mut other = order("A1", "20261201", "CT1");
        other.put_text(tags::PATIENT_ID, "P2");
        let other = ordered(&archive, &other).await;
        assert!(other.study != first.study && other.number != first.number);

        // A second step of the same order is of the same study; without its ID nobody could know which one is meant.
        let mut second = order("A1", "20261203", "CT1");
        change_step(&mut second, |step| step.put_text(tags::SCHEDULED_PROCEDURE_STEP_ID, "SECOND"));
        let second = ordered(&archive, &second).await;
        assert!(second.study == first.study && second.number != first.number);
        let unclear = archive.put_order("his", "test", &order("A1", "20261204", "CT1")).await;
        assert!(matches!(unclear, Err(ArchiveError::Conflict(_))), "{unclear:?}");

        let trail = archive.audit_trail(10).await.expect("a trail");
        assert_eq!(trail.iter().filter(|line| line.action == AuditAction::Order).count(), 4);
    })
    .await;
}

#[tokio::test]
async fn a_later_order_does_not_undo_what_the_modality_reported() {
    everywhere(async |archive| {
        let number = ordered(&archive, &order("A1", "20261201", "CT1")).await.number;
        archive.set_step_status("ct", "test", number, StepStatus::Started).await.expect("set");
        let mut same = order("A1", "20261201", "CT1");
        change_step(&mut same, |step| step.put_text(tags::SCHEDULED_PROCEDURE_STEP_STATUS, "SCHEDULED"));
        assert_eq!(ordered(&archive, &same).await.status, StepStatus::Started);
        change_step(&mut same, |step| step.put_text(tags::SCHEDULED_PROCEDURE_STEP_STATUS, "CANCELED"));
        assert_eq!(ordered(&archive, &same).await.status, StepStatus::Canceled);
        change_step(&mut same, |step| step.put_text(tags::SCHEDULED_PROCEDURE_STEP_STATUS, "SCHEDULED"));
        assert_eq!(ordered(&archive, &same).await.status, StepStatus::Scheduled);
    })
    .await;
}

#[tokio::test]
async fn steps_are_found_by_what_they_hold_and_those_that_are_over_only_when_asked_for() {
    everywhere(async |archive| {
        for (accession, day, station) in
            [("A1", "20261202", "CT1"), ("A2", "20261201", "CT2"), ("A3", "20261203", "CT1")]
        {
            ordered(&archive, &order(accession, day, station)).await;
        }
        let (day, station): ([Tag; 2], [Tag; 2]) =
            ([SEQUENCE, tags::SCHEDULED_PROCEDURE_STEP_START_DATE], [SEQUENCE, tags::SCHEDULED_STATION_AE_TITLE]);
        assert_eq!(found(&archive, &[]).await, ["A2", "A1", "A3"]);
        assert_eq!(found(&archive, &[(&day, "20261202-")]).await, ["A1", "A3"]);
        assert_eq!(found(&archive, &[(&day, "20261201")]).await, ["A2"]);
        assert_eq!(found(&archive, &[(&station, "CT1"), (&[tags::PATIENT_NAME], "zhang*")]).await, ["A1", "A3"]);
        assert_eq!(found(&archive, &[(&[tags::ACCESSION_NUMBER], "A3")]).await, ["A3"]);
        let own = archive.find_steps(&ItemQuery::default(), Some("CT2"), 1000).await.expect("steps");
        assert_eq!(own.len(), 1);
        assert_eq!(archive.find_steps(&ItemQuery::default(), None, 2).await.expect("steps").len(), 2);

        archive.set_step_status("his", "test", own[0].number, StepStatus::Canceled).await.expect("set");
        assert_eq!(found(&archive, &[]).await, ["A1", "A3"]);
        let status = [SEQUENCE, tags::SCHEDULED_PROCEDURE_STEP_STATUS];
        assert_eq!(found(&archive, &[(&status, "CANCELED")]).await, ["A2"]);
        archive.remove_step("his", "test", own[0].number).await.expect("removed");
        assert!(matches!(archive.scheduled_step(own[0].number).await, Err(ArchiveError::NotFound(_))));
    })
    .await;
}

#[tokio::test]
async fn a_long_worklist_is_found_whole_and_in_order() {
    everywhere(async |archive| {
        for number in 0..600 {
            let mut one = order(&format!("A{number:03}"), &format!("202612{:02}", 1 + number % 28), "CT1");
            one.put_text(tags::PATIENT_ID, &format!("P{number}"));
            ordered(&archive, &one).await;
        }
        let steps = archive.find_steps(&ItemQuery::default(), None, 1000).await.expect("steps");
        let days: Vec<_> = steps
            .iter()
            .map(|found| step(&found.item).text(tags::SCHEDULED_PROCEDURE_STEP_START_DATE).to_owned())
            .collect();
        assert!(days.len() == 600 && days.is_sorted());
    })
    .await;
}

#[tokio::test]
async fn what_is_no_order_is_refused_whole() {
    everywhere(async |archive| {
        let mut two = order("A1", "20261201", "CT1");
        let mut steps = two.items(SEQUENCE);
        steps.push(Item::default());
        two.put_items(SEQUENCE, steps);
        for bad in [Item::default(), two, order("A1", "tomorrow", "CT1")] {
            let refused = archive.put_order("his", "test", &bad).await;
            assert!(matches!(refused, Err(ArchiveError::Worklist(_))), "{refused:?}");
        }
        assert!(found(&archive, &[]).await.is_empty());
    })
    .await;
}
