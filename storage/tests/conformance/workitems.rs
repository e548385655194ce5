//! Workitems are claimed by one, and told of to who is subscribed.

use crate::support::{Home, everywhere, postgres_and_folder, sqlite_and_folder, uid};
use futures::future::join_all;
use pacs_core::{
    AeTitle, Item, Uid,
    query::ItemQuery,
    tags,
    ups::{State, UpsError},
};
use storage::{Archive, ArchiveError, NOTIFICATION, Notification, Subscription, Way};

fn scheduled(label: &str) -> Item {
    let mut item = Item::default();
    for (tag, value) in [
        (tags::PROCEDURE_STEP_STATE, "SCHEDULED"),
        (tags::SCHEDULED_PROCEDURE_STEP_PRIORITY, "MEDIUM"),
        (tags::PROCEDURE_STEP_LABEL, label),
        (tags::SCHEDULED_PROCEDURE_STEP_START_DATE_TIME, "20261128090000"),
        (tags::INPUT_READINESS_STATE, "READY"),
    ] {
        item.put_text(tag, value);
    }
    item
}

async fn create(archive: &Archive, workitem: &str, label: &str) -> Result<(), ArchiveError> {
    archive.create_workitem("RIS", "test", &uid(workitem), scheduled(label)).await.map(drop)
}

async fn claim(archive: &Archive, workitem: &str, transaction: &str) -> Result<(), ArchiveError> {
    let (workitem, transaction) = (uid(workitem), uid(transaction));
    let claimed = archive.change_workitem_state("AI", "test", &workitem, State::InProgress, Some(&transaction));
    claimed.await.map(drop)
}

fn ae(title: &str) -> AeTitle {
    title.parse().expect("an AE title")
}

/// Who was told what so far, in order.
async fn told(archive: &Archive) -> Vec<(String, String, u16, String)> {
    let mut jobs = archive.jobs(NOTIFICATION, None, 1000).await.expect("jobs");
    jobs.reverse();
    let one = |job: &storage::Job| {
        let told: Notification = serde_json::from_value(job.payload.clone()).expect("a notification");
        let state = told.information.text(tags::PROCEDURE_STEP_STATE).to_owned();
        (told.to.to_string(), told.workitem.to_string(), told.event_type_id, state)
    };
    jobs.iter().map(one).collect()
}

fn heard(to: &str, workitem: &str, event: u16, state: &str) -> (String, String, u16, String) {
    (to.to_owned(), workitem.to_owned(), event, state.to_owned())
}

/// Claims from two processes, as far as the database is concerned.
async fn fifty_claim(home: &Home) {
    let (one, other) = (home.open().await, home.open().await);
    create(&one, "1.2.1", "nodules").await.expect("created");
    let claims = (0..50).map(|number| {
        let archive = if number % 2 == 0 { one.clone() } else { other.clone() };
        tokio::spawn(async move {
            let transaction: Uid = format!("1.9.{number}").parse().expect("a UID");
            let workitem = uid("1.2.1");
            archive.change_workitem_state("AI", "test", &workitem, State::InProgress, Some(&transaction)).await
        })
    });
    let claims: Vec<_> = join_all(claims).await.into_iter().map(|claim| claim.expect("an answer")).collect();
    let refused = |claim: &&Result<_, ArchiveError>| matches!(claim, Err(ArchiveError::Workitem(UpsError::InProgress)));
    assert_eq!(claims.iter().filter(|claim| claim.is_ok()).count(), 1, "over {}", home.name);
    assert_eq!(claims.iter().filter(refused).count(), 49, "over {}", home.name);
    one.close().await;
    other.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_who_claim_at_once_exactly_one_wins() {
    for home in [Some(sqlite_and_folder()), postgres_and_folder().await].into_iter().flatten() {
        fifty_claim(&home).await;
    }
}

#[tokio::test]
async fn a_workitem_is_created_once_changed_by_its_performer_and_never_tells_the_transaction() {
    everywhere(async |archive| {
        create(&archive, "1.2.1", "nodules").await.expect("created");
        let again = create(&archive, "1.2.1", "nodules").await;
        assert!(matches!(again, Err(ArchiveError::Workitem(UpsError::Duplicate))));
        assert!(matches!(claim(&archive, "1.2.2", "1.9").await, Err(ArchiveError::Workitem(UpsError::NoSuchWorkitem))));
        claim(&archive, "1.2.1", "1.9").await.expect("claimed");
        let mut change = Item::default();
        change.put_text(tags::PROCEDURE_STEP_LABEL, "changed");
        let update = async |change: Item| archive.update_workitem("AI", "test", &uid("1.2.1"), change).await;
        assert!(matches!(update(change.clone()).await, Err(ArchiveError::Workitem(UpsError::Transaction))));
        change.put_text(tags::TRANSACTION_UID, "1.9");
        update(change).await.expect("updated");
        let held = archive.workitem(&uid("1.2.1")).await.expect("a workitem");
        assert_eq!((held.state, held.item.text(tags::PROCEDURE_STEP_LABEL)), (State::InProgress, "changed"));
        assert!(!held.item.contains(tags::TRANSACTION_UID));
    })
    .await;
}

#[tokio::test]
async fn workitems_are_found_by_state_and_by_what_they_hold() {
    everywhere(async |archive| {
        for (workitem, label) in [("1.2.1", "nodules"), ("1.2.2", "nodules"), ("1.2.3", "report")] {
            create(&archive, workitem, label).await.expect("created");
        }
        claim(&archive, "1.2.2", "1.9").await.expect("claimed");
        let found = async |keys: &[(pacs_core::Tag, &str)], limit| {
            let query = keys
                .iter()
                .fold(ItemQuery::default(), |query, (tag, value)| query.with(&[*tag], value).expect("a query"));
            let workitems = archive.find_workitems(&query, limit).await.expect("workitems");
            workitems.into_iter().map(|workitem| workitem.sop_instance.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(found(&[(tags::PROCEDURE_STEP_STATE, "SCHEDULED")], 10).await, ["1.2.1", "1.2.3"]);
        assert_eq!(found(&[(tags::PROCEDURE_STEP_LABEL, "nod*")], 10).await, ["1.2.2", "1.2.1"]);
        assert_eq!(found(&[(tags::SOP_INSTANCE_UID, "1.2.3")], 10).await, ["1.2.3"]);
        assert_eq!(found(&[], 2).await.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn subscribers_hear_of_what_they_subscribed_to_and_of_nothing_else() {
    everywhere(async |archive| {
        create(&archive, "1.2.1", "nodules").await.expect("created");
        let missing = Subscription::Workitem(uid("1.2.9"));
        let refused = archive.subscribe("RIS", "test", (&ae("ONE"), Way::Association), &missing, false).await;
        assert!(matches!(refused, Err(ArchiveError::Workitem(UpsError::NoSuchWorkitem))));
        let own = Subscription::Workitem(uid("1.2.1"));
        archive.subscribe("RIS", "test", (&ae("ONE"), Way::Association), &own, true).await.expect("subscribed");
        archive
            .subscribe("RIS", "test", (&ae("ALL"), Way::Association), &Subscription::Global, false)
            .await
            .expect("subscribed");
        let mut keys = Item::default();
        keys.put_text(tags::PROCEDURE_STEP_LABEL, "report");
        archive
            .subscribe("RIS", "test", (&ae("REPORTS"), Way::Association), &Subscription::Filtered(keys), false)
            .await
            .expect("subscribed");
        create(&archive, "1.2.2", "report").await.expect("created");
        claim(&archive, "1.2.1", "1.9").await.expect("claimed");
        assert_eq!(
            told(&archive).await,
            [
                heard("ONE", "1.2.1", 1, "SCHEDULED"),
                heard("ALL", "1.2.1", 1, "SCHEDULED"),
                heard("ALL", "1.2.2", 1, "SCHEDULED"),
                heard("REPORTS", "1.2.2", 1, "SCHEDULED"),
                heard("ALL", "1.2.1", 1, "IN PROGRESS"),
                heard("ONE", "1.2.1", 1, "IN PROGRESS"),
            ]
        );

        // What is to come is no longer heard of, what came is; then nothing.
        archive.suspend_subscription("RIS", "test", &ae("ALL"), &Subscription::Global).await.expect("suspended");
        let refused = archive.suspend_subscription("RIS", "test", &ae("ALL"), &own).await;
        assert!(matches!(refused, Err(ArchiveError::Workitem(UpsError::NotAppropriate))));
        create(&archive, "1.2.3", "nodules").await.expect("created");
        archive.request_workitem_cancel("RIS", "test", &uid("1.2.2"), &Item::default()).await.expect("cancelled");
        let last = told(&archive).await.split_off(6);
        assert_eq!(last, [heard("ALL", "1.2.2", 1, "CANCELED"), heard("REPORTS", "1.2.2", 1, "CANCELED")]);
        archive.unsubscribe("RIS", "test", &ae("ALL"), &Subscription::Global).await.expect("ended");
        archive.unsubscribe("RIS", "test", &ae("ONE"), &own).await.expect("ended");
        let nobody = archive.request_workitem_cancel("RIS", "test", &uid("1.2.1"), &Item::default()).await;
        assert!(matches!(nobody, Err(ArchiveError::Workitem(UpsError::NoPerformer))), "{nobody:?}");
        assert_eq!(told(&archive).await.len(), 8);
    })
    .await;
}
