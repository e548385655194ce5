//! Matches in an order, in pages, and counted.

use crate::support::{Slice, everywhere};
use pacs_core::{
    Tag,
    query::{ATTRIBUTES, Condition, Level, OrderBy, Query},
    tags,
};
use storage::{Archive, ArchiveError};

/// Seven slices of three patients, with equal dates, empty dates, and numbers that text would put in another order.
async fn fill(archive: &Archive) {
    for (study, series, instance, patient, name, date, number) in [
        ("1.1", "1.1.1", "1.1.1.1", "A", "Zhou^A", "20240101", "2"),
        ("1.1", "1.1.1", "1.1.1.2", "A", "Zhou^A", "20240101", "10"),
        ("1.1", "1.1.2", "1.1.2.1", "A", "Zhou^A", "20240101", "1"),
        ("1.2", "1.2.1", "1.2.1.1", "B", "An^B", "20240101", "3"),
        ("1.3", "1.3.1", "1.3.1.1", "C", "Mei^C", "", "4"),
        ("1.4", "1.4.1", "1.4.1.1", "C", "Mei^C", "20250101", ""),
        ("1.5", "1.5.1", "1.5.1.1", "C", "Mei^C", "20230101", "5"),
    ] {
        Slice::new(study, series, instance)
            .with(tags::PATIENT_ID, patient)
            .with(tags::PATIENT_NAME, name)
            .with(tags::STUDY_DATE, date)
            .with(tags::ACQUISITION_NUMBER, number)
            .sent_to(archive)
            .await;
    }
}

const KEYS: [(Level, Tag); 4] = [
    (Level::Patient, tags::PATIENT_ID),
    (Level::Study, tags::STUDY_INSTANCE_UID),
    (Level::Series, tags::SERIES_INSTANCE_UID),
    (Level::Instance, tags::SOP_INSTANCE_UID),
];

fn by(tag: Tag, is_descending: bool) -> OrderBy {
    OrderBy { tag, is_descending }
}

async fn all(archive: &Archive, query: &Query, key: Tag) -> Vec<String> {
    archive.find(query).await.expect("rows").iter().map(|row| row.values[&key].clone()).collect()
}

#[tokio::test]
async fn pages_by_cursor_are_the_whole_in_any_order() {
    everywhere(async |archive| {
        fill(&archive).await;
        for (level, key) in KEYS {
            for attribute in ATTRIBUTES.iter().filter(|attribute| attribute.level <= level) {
                for is_descending in [false, true] {
                    let order = vec![by(attribute.tag, is_descending), by(tags::PATIENT_SEX, true)];
                    let mut query = Query { order, ..Query::new(level) };
                    let whole = all(&archive, &query, key).await;
                    let mut pages = Vec::new();
                    loop {
                        let page = archive.find_page(&query, 2).await.expect("a page");
                        pages.extend(page.rows.iter().map(|row| row.values[&key].clone()));
                        query.cursor = page.next;
                        if query.cursor.is_none() {
                            break;
                        }
                    }
                    assert_eq!(pages, whole, "{level:?} by {}", attribute.keyword);
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn an_order_is_by_value_and_what_is_equal_stays_in_the_archives_order() {
    everywhere(async |archive| {
        fill(&archive).await;
        for (order, expected) in [
            (vec![], ["1.4", "1.2", "1.1", "1.5", "1.3"]),
            (vec![by(tags::PATIENT_NAME, false)], ["1.2", "1.4", "1.5", "1.3", "1.1"]),
            (vec![by(tags::PATIENT_NAME, true), by(tags::STUDY_DATE, false)], ["1.1", "1.3", "1.5", "1.4", "1.2"]),
            (vec![by(tags::NUMBER_OF_STUDY_RELATED_INSTANCES, true)], ["1.1", "1.4", "1.2", "1.5", "1.3"]),
        ] {
            let query = Query { order, ..Query::new(Level::Study) };
            assert_eq!(all(&archive, &query, tags::STUDY_INSTANCE_UID).await, expected, "{:?}", query.order);
        }
        let query = Query { order: vec![by(tags::ACQUISITION_NUMBER, true)], ..Query::new(Level::Instance) };
        assert_eq!(all(&archive, &query, tags::SOP_INSTANCE_UID).await[0], "1.1.1.2");
    })
    .await;
}

#[tokio::test]
async fn a_cursor_goes_on_where_it_was_whatever_came_or_went() {
    everywhere(async |archive| {
        fill(&archive).await;
        let mut query = Query::new(Level::Study);
        let first = archive.find_page(&query, 2).await.expect("a page");
        assert_eq!(first.rows[1].values[&tags::STUDY_INSTANCE_UID], "1.2");
        query.cursor = first.next;
        Slice::new("1.6", "1.6.1", "1.6.1.1").with(tags::STUDY_DATE, "20260101").sent_to(&archive).await;
        archive.delete(&"1.2".parse().expect("a UID"), None, None).await.expect("deleted");
        assert_eq!(all(&archive, &query, tags::STUDY_INSTANCE_UID).await, ["1.1", "1.5", "1.3"]);
        for cursor in ["", "x", "W10", "WzEsMiwzXQ", "ImEi"] {
            let asked = Query { cursor: Some(cursor.to_owned()), ..query.clone() };
            assert!(matches!(archive.find(&asked).await, Err(ArchiveError::Query(_))), "{cursor}");
        }
    })
    .await;
}

#[tokio::test]
async fn matches_are_counted_without_their_page() {
    everywhere(async |archive| {
        fill(&archive).await;
        for (level, expected) in [(Level::Patient, 3), (Level::Study, 5), (Level::Series, 6), (Level::Instance, 7)] {
            let query = Query { limit: Some(1), offset: 2, ..Query::new(level) };
            assert_eq!(archive.count(&query).await.expect("a count"), expected, "{level:?}");
        }
        let named = Condition::Wildcard("mei*".into());
        let query = Query { conditions: [(tags::PATIENT_NAME, named)].into(), ..Query::new(Level::Study) };
        assert_eq!(archive.count(&query).await.expect("a count"), 3);
    })
    .await;
}

#[tokio::test]
async fn no_value_is_found_where_it_is_asked_for() {
    everywhere(async |archive| {
        fill(&archive).await;
        for (level, tag, key, expected) in [
            (Level::Study, tags::STUDY_DATE, tags::STUDY_INSTANCE_UID, vec!["1.3"]),
            (Level::Instance, tags::ACQUISITION_NUMBER, tags::SOP_INSTANCE_UID, vec!["1.4.1.1"]),
            (Level::Patient, tags::PATIENT_NAME, tags::PATIENT_ID, vec![]),
        ] {
            let query = Query { conditions: [(tag, Condition::Empty)].into(), ..Query::new(level) };
            assert_eq!(all(&archive, &query, key).await, expected, "{tag}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_patients_studies_are_counted_for_those_who_see_them_all() {
    everywhere(async |archive| {
        fill(&archive).await;
        let rows = archive.find(&Query::new(Level::Patient).with(tags::PATIENT_ID, "C")).await.expect("rows");
        assert_eq!(rows[0].values[&tags::NUMBER_OF_PATIENT_RELATED_STUDIES], "3");
        let view = "StudyDate=20250101".parse().expect("a view");
        let rows = archive.find(&Query { view, ..Query::new(Level::Patient) }).await.expect("rows");
        assert_eq!(rows[0].values.get(&tags::NUMBER_OF_PATIENT_RELATED_STUDIES), None);
    })
    .await;
}
