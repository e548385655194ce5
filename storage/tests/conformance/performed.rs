//! Modalities report what they perform.

use crate::{
    support::{everywhere, uid},
    worklist::{order, ordered},
};
use pacs_core::{Item, mpps::MppsError, tags, worklist::StepStatus};
use storage::{Archive, ArchiveError, AuditAction, EventKind, ScheduledStep};

/// A step that begins, performed for a study and a scheduled step.
fn begun(study: &str, step_id: &str) -> Item {
    let mut item = Item::default();
    for (tag, value) in [
        (tags::MODALITY, "CT"),
        (tags::PATIENT_ID, "P1"),
        (tags::PERFORMED_STATION_AE_TITLE, "CT1"),
        (tags::PERFORMED_PROCEDURE_STEP_START_DATE, "20261201"),
        (tags::PERFORMED_PROCEDURE_STEP_START_TIME, "0931"),
        (tags::PERFORMED_PROCEDURE_STEP_STATUS, "IN PROGRESS"),
        (tags::PERFORMED_PROCEDURE_STEP_ID, "PPS1"),
    ] {
        item.put_text(tag, value);
    }
    let mut scheduled = Item::default();
    scheduled.put_text(tags::STUDY_INSTANCE_UID, study);
    scheduled.put_text(tags::SCHEDULED_PROCEDURE_STEP_ID, step_id);
    item.put_items(tags::SCHEDULED_STEP_ATTRIBUTES_SEQUENCE, vec![scheduled]);
    item
}

fn completed() -> Item {
    let mut item = Item::default();
    item.put_text(tags::PERFORMED_PROCEDURE_STEP_STATUS, "COMPLETED");
    item.put_text(tags::PERFORMED_PROCEDURE_STEP_END_DATE, "20261201");
    item.put_text(tags::PERFORMED_PROCEDURE_STEP_END_TIME, "0945");
    let mut series = Item::default();
    series.put_text(tags::SERIES_INSTANCE_UID, "1.2.3.4");
    item.put_items(tags::PERFORMED_SERIES_SEQUENCE, vec![series]);
    item
}

async fn create(archive: &Archive, performed: &str, item: &Item) -> Result<(), ArchiveError> {
    archive.create_performed_step("CT1", "127.0.0.1", &uid(performed), item).await
}

async fn status(archive: &Archive, step: &ScheduledStep) -> StepStatus {
    archive.scheduled_step(step.number).await.expect("it").status
}

#[tokio::test]
async fn the_order_follows_what_the_modality_reports_and_readers_of_events_hear_of_it() {
    everywhere(async |archive| {
        let step = ordered(&archive, &order("A1", "20261201", "CT1")).await;
        create(&archive, "1.9.1", &begun(step.study.as_str(), &step.step_id)).await.expect("begun");
        assert_eq!(status(&archive, &step).await, StepStatus::Started);
        let modified = archive.modify_performed_step("CT1", "127.0.0.1", &uid("1.9.1"), completed()).await;
        assert!(modified.expect("completed").is_empty());
        assert_eq!(status(&archive, &step).await, StepStatus::Completed);

        let events = archive.events(0, 100).await.expect("events");
        let told: Vec<_> = events.iter().map(|e| (e.kind, e.study.clone(), e.sop_instance.clone())).collect();
        assert_eq!(told, vec![(EventKind::MppsChanged, step.study.clone(), Some(uid("1.9.1"))); 2]);
        assert_eq!(*archive.newest_event().borrow(), events[1].position);
        let trail = archive.audit_trail(10).await.expect("a trail");
        assert_eq!(trail.iter().filter(|line| line.action == AuditAction::Procedure).count(), 2);
        let kept = archive.performed_steps(Some(&step.study), 10).await.expect("steps");
        assert_eq!((kept.len(), kept[0].status.as_str(), kept[0].performed_by.as_str()), (1, "COMPLETED", "CT1"));
        assert_eq!(archive.performed_step(&uid("1.9.1")).await.expect("it"), kept[0]);
    })
    .await;
}

#[tokio::test]
async fn a_step_is_created_once_and_over_when_it_is_over() {
    everywhere(async |archive| {
        create(&archive, "1.9.1", &begun("1.2.3", "")).await.expect("begun");
        assert!(matches!(create(&archive, "1.9.1", &begun("1.2.3", "")).await, Err(ArchiveError::Duplicate(_))));
        let modify = async |performed: &str, item| {
            archive.modify_performed_step("CT1", "127.0.0.1", &uid(performed), item).await
        };
        assert!(matches!(modify("1.9.2", completed()).await, Err(ArchiveError::NotFound(_))));
        modify("1.9.1", completed()).await.expect("completed");
        let over = modify("1.9.1", completed()).await;
        assert!(matches!(over, Err(ArchiveError::Performed(MppsError::Over))), "{over:?}");
        let refused = create(&archive, "1.9.3", &Item::default()).await;
        assert!(matches!(refused, Err(ArchiveError::Performed(MppsError::Missing(_)))), "{refused:?}");
        assert_eq!(archive.performed_steps(None, 10).await.expect("steps").len(), 1);
    })
    .await;
}

#[tokio::test]
async fn an_order_that_comes_after_the_work_is_completed_at_once() {
    everywhere(async |archive| {
        create(&archive, "1.9.1", &begun("1.2.3", "LATE")).await.expect("begun");
        archive.modify_performed_step("CT1", "127.0.0.1", &uid("1.9.1"), completed()).await.expect("completed");
        let mut late = order("A1", "20261201", "CT1");
        late.put_text(tags::STUDY_INSTANCE_UID, "1.2.3");
        pacs_core::worklist::change_step(&mut late, |step| step.put_text(tags::SCHEDULED_PROCEDURE_STEP_ID, "LATE"));
        assert_eq!(ordered(&archive, &late).await.status, StepStatus::Completed);
    })
    .await;
}
