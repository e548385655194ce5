//! What arrives is queued by rule, claimed, settled and told of.

use crate::support::{Home, Slice, catalog, everywhere, postgres_and_folder, sqlite_and_folder, uid};
use futures::TryStreamExt;
use pacs_core::{
    DataSet,
    data_set::{Limits, scan},
    deidentify::Profile,
    tags,
};
use sqlx::{AssertSqlSafe, Executor};
use std::io::Cursor;
use storage::{
    Archive, ArchiveError, Correcting, Deed, Expected, Origin, RejectionReason, Target,
    routing::{Condition, Destination, Forward, ForwardState, Outcome, Rule},
};

async fn destination(archive: &Archive, name: &str) {
    archive.put_destination(&Destination::ae(name.parse().expect("an AE title"))).await.expect("a destination");
}

fn rule(name: &str, to: &str, modality: &str) -> Rule {
    let when = Condition { modality: vec![modality.to_owned()], ..Condition::default() };
    Rule {
        name: name.to_owned(),
        to: to.to_owned(),
        when,
        sends_back: false,
        commits: false,
        priors: None,
        allow_burned_in: false,
    }
}

async fn routed(archive: &Archive) {
    while archive.route_arrivals().await.expect("routed") {}
}

async fn arrive(archive: &Archive, from: &str, slice: &Slice) {
    let origin = Origin::Dimse { calling: from.parse().expect("an AE title"), address: "10.0.0.7".into() };
    archive.ingest(origin, &slice.part10(), &Expected::default()).await.expect("stored");
}

fn slice(number: u32) -> Slice {
    Slice::new("1.1", "1.1.1", &format!("1.1.1.{number}"))
}

async fn claimed(archive: &Archive, destination: &str) -> Vec<Forward> {
    archive.claim_forwards(destination, 100).await.expect("a claim")
}

async fn settle(archive: &Archive, forward: &Forward, outcome: Outcome) {
    archive.settle_forwards(&[(forward, outcome)]).await.expect("settled");
}

async fn states(archive: &Archive, destination: &str) -> Vec<(ForwardState, i64)> {
    let backlog = archive.backlog().await.expect("a backlog");
    let own = backlog.into_iter().filter(|one| one.destination == destination);
    own.map(|one| (one.state, one.instances)).collect()
}

/// Lets time pass in the catalog.
async fn age(home: &Home, sql: &'static str) {
    catalog(home).await.execute(AssertSqlSafe(sql)).await.expect("changed");
}

#[tokio::test]
async fn what_arrives_after_a_rule_is_queued_once_for_each_destination() {
    everywhere(async |archive| {
        slice(1).sent_to(&archive).await;
        for name in ["A", "B"] {
            destination(&archive, name).await;
        }
        for (name, to, modality) in [("1", "A", "C*"), ("2", "A", "ct"), ("3", "B", "MR")] {
            archive.put_rule(&rule(name, to, modality)).await.expect("a rule");
        }
        slice(2).sent_to(&archive).await;
        slice(3).with(tags::MODALITY, "CT").sent_to(&archive).await;
        for _ in 0..2 {
            routed(&archive).await;
        }
        assert_eq!(states(&archive, "A").await, [(ForwardState::Due, 2)]);
        assert_eq!(states(&archive, "B").await, []);
        let rules: Vec<_> = claimed(&archive, "A").await.into_iter().map(|forward| forward.rule).collect();
        assert_eq!(rules, ["1", "1"], "the first rule by name counts");
        archive.remove_rule("3").await.expect("removed");
        assert!(matches!(archive.remove_rule("3").await, Err(ArchiveError::NotFound(_))));
        assert!(matches!(archive.remove_destination("A").await, Err(ArchiveError::Conflict(_))));
        archive.remove_destination("B").await.expect("removed");
    })
    .await;
}

#[tokio::test]
async fn nothing_goes_back_to_where_it_came_from_unless_the_rule_says_so() {
    everywhere(async |archive| {
        destination(&archive, "PEER").await;
        let alias = Destination { also_known_as: vec!["PEER_SCU".into()], ..Destination::ae("OTHER".parse().unwrap()) };
        archive.put_destination(&alias).await.expect("a destination");
        archive.put_rule(&rule("1", "PEER", "CT")).await.expect("a rule");
        archive.put_rule(&rule("2", "OTHER", "CT")).await.expect("a rule");
        arrive(&archive, "PEER", &slice(1)).await;
        arrive(&archive, "PEER_SCU", &slice(2)).await;
        routed(&archive).await;
        assert_eq!(
            (states(&archive, "PEER").await, states(&archive, "OTHER").await),
            (vec![(ForwardState::Due, 1)], vec![(ForwardState::Due, 1)])
        );
        archive.put_rule(&Rule { sends_back: true, ..rule("1", "PEER", "CT") }).await.expect("a rule");
        arrive(&archive, "PEER", &slice(3)).await;
        routed(&archive).await;
        assert_eq!(states(&archive, "PEER").await, [(ForwardState::Due, 2)]);
    })
    .await;
}

#[tokio::test]
async fn a_series_is_claimed_together_and_each_instance_settled_by_itself() {
    everywhere(async |archive| {
        destination(&archive, "A").await;
        archive.put_rule(&rule("1", "A", "CT")).await.expect("a rule");
        for number in 1..=3 {
            slice(number).sent_to(&archive).await;
        }
        Slice::new("1.1", "1.1.2", "1.1.2.1").sent_to(&archive).await;
        routed(&archive).await;
        assert_eq!(archive.due_destinations().await.expect("due").len(), 1);
        let first = claimed(&archive, "A").await;
        let uids: Vec<_> = first.iter().map(|forward| forward.sop_instance.to_string()).collect();
        assert_eq!(uids, ["1.1.1.1", "1.1.1.2", "1.1.1.3"]);
        assert_eq!(claimed(&archive, "A").await.len(), 1, "the other series");
        assert_eq!(claimed(&archive, "A").await, []);
        assert_eq!(archive.due_destinations().await.expect("due"), []);

        assert_eq!(archive.forwarded(&first[0]).await.expect("held").sop_instance, uid("1.1.1.1"));
        settle(&archive, &first[0], Outcome::Sent("1.1.1.1".into())).await;
        settle(&archive, &first[1], Outcome::Unreachable("away".into())).await;
        settle(&archive, &first[2], Outcome::Refused("burned in".into())).await;
        use ForwardState::{Due, Leased, Refused, Sent};
        assert_eq!(states(&archive, "A").await, [(Due, 1), (Leased, 1), (Refused, 1), (Sent, 1)]);
        let waiting = &archive.forwards(Some("A"), Some(Due), 10).await.expect("a list")[0];
        assert_eq!((waiting.attempts, waiting.last_error.as_str()), (1, "away"));
        assert_eq!(archive.forward_errors().await.expect("errors").len(), 2);
        assert_eq!(claimed(&archive, "A").await, [], "it is not its time yet");
        assert_eq!(archive.retry_forwards(Some("A"), false).await.expect("retried"), 1);
        let again = claimed(&archive, "A").await;
        assert_eq!((again.len(), again[0].attempts), (1, 2));
        // Whoever lost its lease has no say.
        settle(&archive, &first[1], Outcome::Sent("1.1.1.2".into())).await;
        settle(&archive, &again[0], Outcome::Untried).await;
        assert_eq!(claimed(&archive, "A").await[0].attempts, 2);
        assert_eq!(archive.retry_forwards(None, true).await.expect("retried"), 1);
        assert_eq!(archive.drop_forwards("A", false).await.expect("dropped"), 1);
    })
    .await;
}

#[tokio::test]
async fn what_rests_is_not_claimed_and_what_a_process_left_is_due_again() {
    for home in [Some(sqlite_and_folder()), postgres_and_folder().await].into_iter().flatten() {
        let archive = home.open().await;
        destination(&archive, "A").await;
        archive.put_rule(&rule("1", "A", "CT")).await.expect("a rule");
        slice(1).sent_to(&archive).await;
        routed(&archive).await;
        archive.pause_destination("A", true).await.expect("paused");
        assert!(archive.destinations().await.expect("listed")[0].is_paused);
        assert_eq!(archive.due_destinations().await.expect("due"), []);
        assert_eq!(claimed(&archive, "A").await, []);
        // Changing it otherwise does not wake it.
        destination(&archive, "A").await;
        assert_eq!(claimed(&archive, "A").await, []);
        archive.pause_destination("A", false).await.expect("resumed");
        let held = claimed(&archive, "A").await;
        assert_eq!(archive.tend_forwards().await.expect("tended"), 0);
        age(&home, "update forward set due_at = due_at - 31000").await;
        archive.extend_forwards(&held[0]).await.expect("extended");
        assert_eq!(archive.tend_forwards().await.expect("tended"), 0, "it was extended");
        age(&home, "update forward set due_at = due_at - 31000").await;
        assert_eq!(archive.tend_forwards().await.expect("tended"), 1);
        let again = claimed(&archive, "A").await;
        assert_eq!(again[0].attempts, 2);
        settle(&archive, &again[0], Outcome::Sent("1.1.1.1".into())).await;
        age(&home, "update forward set due_at = due_at - 700000000").await;
        archive.tend_forwards().await.expect("tended");
        assert_eq!(states(&archive, "A").await, [], "what was sent long ago is forgotten");
        archive.close().await;
    }
}

#[tokio::test]
async fn what_was_deleted_or_rejected_since_is_not_found_and_a_study_goes_again_on_request() {
    everywhere(async |archive| {
        destination(&archive, "A").await;
        archive.put_rule(&rule("1", "A", "CT")).await.expect("a rule");
        for number in 1..=3 {
            slice(number).sent_to(&archive).await;
        }
        routed(&archive).await;
        let held = claimed(&archive, "A").await;
        let target = Target::Instance(uid("1.1"), uid("1.1.1"), uid("1.1.1.1"));
        let rejection = Correcting::Rejection(RejectionReason::Quality, Vec::new());
        archive.correct(target, rejection, &Deed::new("dr", "ward", "it moved")).await.expect("rejected");
        assert!(matches!(archive.forwarded(&held[0]).await, Err(ArchiveError::NotFound(_))));
        let values = [(tags::ACCESSION_NUMBER, Some("A77".to_owned()))].into();
        let deed = Deed::new("dr", "ward", "typing error");
        archive.correct(Target::Study(uid("1.1")), Correcting::Attributes(values), &deed).await.expect("corrected");
        assert!(archive.forwarded(&held[1]).await.expect("held").is_corrected());

        settle(&archive, &held[1], Outcome::Sent("1.1.1.2".into())).await;
        let queued = archive.send("A", &uid("1.1"), None).await.expect("queued");
        assert_eq!(queued, 1, "of the others one is rejected and one on its way");
        assert!(matches!(archive.send("A", &uid("9.9"), None).await, Err(ArchiveError::NotFound(_))));
        assert!(matches!(archive.send("B", &uid("1.1"), None).await, Err(ArchiveError::NotFound(_))));
    })
    .await;
}

#[tokio::test]
async fn names_and_numbers_that_cannot_be_meant_are_refused() {
    everywhere(async |archive| {
        let good = Destination::ae("A".parse().unwrap());
        for name in ["", " A", "a/b", "a\nb", &"a".repeat(65)] {
            let refused = archive.put_destination(&Destination { name: name.to_owned(), ..good.clone() }).await;
            assert!(matches!(refused, Err(ArchiveError::Conflict(_))), "{name:?}");
        }
        let many = archive.put_destination(&Destination { associations: 0, ..good.clone() }).await;
        assert!(matches!(many, Err(ArchiveError::Conflict(_))));
        assert!(matches!(archive.put_rule(&rule("1", "A", "CT")).await, Err(ArchiveError::NotFound(_))));
    })
    .await;
}

/// What leaves for a destination.
async fn left(archive: &Archive, forward: &Forward, destination: &str) -> DataSet {
    let manner = archive.manner(destination).await.expect("a manner");
    let stored = archive.leaving(forward, &manner).await.expect("it leaves");
    let bytes = archive.read(&stored).await.expect("read").map_ok(|piece| piece.to_vec()).try_concat().await;
    let bytes = bytes.expect("all of it");
    let mut data_set = Cursor::new(&bytes[stored.data_set_offset as usize..]);
    let data_set = scan(&mut data_set, &stored.transfer_syntax, Limits::default()).expect("a data set");
    assert_eq!(data_set.text(tags::SOP_INSTANCE_UID), Some(stored.leaves_as().to_string()));
    data_set
}

#[tokio::test]
async fn what_leaves_de_identified_is_the_same_pseudonym_for_ever_and_another_elsewhere() {
    everywhere(async |archive| {
        for (name, keeps) in [("A", false), ("B", true)] {
            let profile = Profile { retain_uids: keeps, ..Profile::default() };
            let to = Destination { deidentify: Some(profile), ..Destination::ae(name.parse().unwrap()) };
            archive.put_destination(&to).await.expect("a destination");
            archive.put_rule(&rule(name, name, "CT")).await.expect("a rule");
        }
        slice(1).with(tags::STUDY_DESCRIPTION, "Chest 张三").sent_to(&archive).await;
        slice(2).sent_to(&archive).await;
        routed(&archive).await;
        let (to_a, to_b) = (claimed(&archive, "A").await, claimed(&archive, "B").await);
        let first = left(&archive, &to_a[0], "A").await;
        let shown = format!("{first:?}");
        assert!(first.get(tags::STUDY_DESCRIPTION).is_none() && first.get(tags::PIXEL_DATA).is_some(), "{shown}");
        let second = left(&archive, &to_a[1], "A").await;
        let elsewhere = left(&archive, &to_b[0], "B").await;
        let of = |data_set: &DataSet, tag| data_set.text(tag).expect("a value");
        assert_eq!(of(&first, tags::PATIENT_ID), of(&second, tags::PATIENT_ID));
        assert_eq!(of(&first, tags::STUDY_INSTANCE_UID), of(&second, tags::STUDY_INSTANCE_UID));
        assert_ne!(of(&first, tags::SOP_INSTANCE_UID), of(&second, tags::SOP_INSTANCE_UID));
        assert_ne!(of(&first, tags::PATIENT_ID), of(&elsewhere, tags::PATIENT_ID));
        assert_eq!(of(&elsewhere, tags::SOP_INSTANCE_UID), "1.1.1.1");
        // What is set anew keeps its pseudonyms.
        let to = archive.destination("A").await.expect("a destination");
        archive.put_destination(&to).await.expect("a destination");
        assert_eq!(left(&archive, &to_a[0], "A").await, first);
    })
    .await;
}

#[tokio::test]
async fn what_may_name_the_patient_in_its_pixels_is_refused_unless_the_rule_allows_it() {
    everywhere(async |archive| {
        let to = Destination { deidentify: Some(Profile::default()), ..Destination::ae("A".parse().unwrap()) };
        archive.put_destination(&to).await.expect("a destination");
        archive.put_rule(&rule("1", "A", "CT")).await.expect("a rule");
        slice(1).with(tags::BURNED_IN_ANNOTATION, "YES").sent_to(&archive).await;
        routed(&archive).await;
        let forward = claimed(&archive, "A").await.remove(0);
        let manner = archive.manner("A").await.expect("a manner");
        let refused = archive.leaving(&forward, &manner).await;
        assert!(matches!(refused, Err(ArchiveError::Conflict(why)) if why.contains("Burned In Annotation")));
        archive.put_rule(&Rule { allow_burned_in: true, ..rule("1", "A", "CT") }).await.expect("a rule");
        left(&archive, &forward, "A").await;
    })
    .await;
}

#[tokio::test]
async fn what_was_sent_is_asked_for_and_only_who_was_asked_may_answer() {
    everywhere(async |archive| {
        destination(&archive, "A").await;
        archive.put_rule(&Rule { commits: true, ..rule("1", "A", "CT") }).await.expect("a rule");
        for number in 1..=3 {
            slice(number).sent_to(&archive).await;
        }
        routed(&archive).await;
        assert_eq!(archive.commitment_question("A").await.expect("an answer"), None, "nothing was sent");
        for forward in claimed(&archive, "A").await {
            settle(&archive, &forward, Outcome::Sent(forward.sop_instance.to_string())).await;
        }
        use ForwardState::{Asked, Committed, Due, Uncommitted};
        assert_eq!(states(&archive, "A").await, [(Uncommitted, 3)]);
        assert_eq!(archive.uncommitted_destinations().await.expect("a list").len(), 1);
        let lost = archive.commitment_question("A").await.expect("an answer").expect("a question");
        assert_eq!(lost.instances.len(), 3);
        assert_eq!(archive.commitment_question("A").await.expect("an answer"), None, "it is asked already");
        archive.commitment_unasked(&lost.transaction, "away").await.expect("noted");
        assert_eq!(archive.forwards(Some("A"), Some(Uncommitted), 9).await.expect("a list")[0].last_error, "away");
        archive.retry_forwards(Some("A"), false).await.expect("at once");
        let asked = archive.commitment_question("A").await.expect("an answer").expect("a question");
        assert_eq!(states(&archive, "A").await, [(Asked, 3)]);

        let (a, b) = ("A".parse().unwrap(), "B".parse().unwrap());
        let failed = [(uid("1.1.1.2"), 0x0112)];
        for (by, transaction) in [(&b, &asked.transaction), (&a, &lost.transaction), (&a, &uid("2.25.1"))] {
            let answered = archive.commitment_answered(by, transaction, &failed).await;
            assert!(matches!(answered, Err(ArchiveError::NotFound(_))), "{by} {transaction}");
        }
        archive.commitment_answered(&a, &asked.transaction, &failed).await.expect("noted");
        assert_eq!(states(&archive, "A").await, [(Committed, 2), (Due, 1)]);
        let again = claimed(&archive, "A").await;
        assert_eq!((again[0].sop_instance.clone(), again[0].attempts), (uid("1.1.1.2"), 2));
    })
    .await;
}
