//! Patients are found by what people type for their names.

use crate::support::{Slice, everywhere, sqlite_and_folder};
use pacs_core::{
    query::{Condition, Level, Query, attribute},
    tags,
};
use sqlx::{AnyConnection, Connection, Executor};
use std::{collections::BTreeSet, time::Duration};
use storage::Archive;

const NAMES: [(&str, &str); 6] = [
    ("1.1", "Zhang^San=张^三"),
    ("1.2", "陳^大文"),
    ("1.3", "WANG^XIAODONG"),
    ("1.4", "Müller^Jürgen"),
    ("1.5", "Yamada^Tarou=山田^太郎=ﾔﾏﾀﾞ^ﾀﾛｳ"),
    ("1.6", ""),
];

async fn fill(archive: &Archive) {
    for (study, name) in NAMES {
        let slice = Slice::new(study, &format!("{study}.1"), &format!("{study}.1.1"));
        slice.with(tags::PATIENT_NAME, name).with(tags::PATIENT_ID, study).sent_to(archive).await;
    }
}

async fn found(archive: &Archive, level: Level, name: &str, fuzzy: bool) -> BTreeSet<String> {
    let attribute = attribute(tags::PATIENT_NAME).expect("an indexed attribute");
    let condition = Condition::parse(attribute, name).expect("a key");
    let conditions = condition.into_iter().map(|condition| (tags::PATIENT_NAME, condition)).collect();
    let query = Query { conditions, fuzzy, ..Query::new(level) };
    let rows = archive.find(&query).await.expect("rows");
    rows.into_iter().filter_map(|mut row| row.values.remove(&tags::PATIENT_ID)).collect()
}

#[track_caller]
fn assert_found(found: BTreeSet<String>, expected: &[&str], asked: &str) {
    assert_eq!(found, expected.iter().map(|study| (*study).to_owned()).collect(), "{asked}");
}

#[tokio::test]
async fn fuzzy_matching_finds_names_by_what_is_typed() {
    everywhere(|archive| async move {
        fill(&archive).await;
        for (typed, expected) in [
            ("zhangsan", &["1.1"][..]),
            ("zs", &["1.1"]),
            ("張三", &["1.1"]),
            ("San ZHANG", &["1.1"]),
            ("三", &["1.1"]),
            ("chendawen", &["1.2"]),
            ("陈大", &["1.2"]),
            ("cdw*", &["1.2"]),
            ("wxd", &["1.3"]),
            ("muller", &["1.4"]),
            ("やまだ", &["1.5"]),
            ("大*", &["1.2"]),
            ("*iao*", &["1.3"]),
            ("z_s", &["1.1"]),
            ("%", &[]),
            ("zs\\wxd", &["1.1", "1.3"]),
            ("nobody", &[]),
        ] {
            for level in [Level::Patient, Level::Study, Level::Series, Level::Instance] {
                assert_found(found(&archive, level, typed, true).await, expected, typed);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn exact_matching_keeps_to_the_name() {
    everywhere(|archive| async move {
        fill(&archive).await;
        for (asked, expected) in [
            ("zhang^san", &["1.1"][..]),
            ("zhangsan", &[]),
            ("zs", &[]),
            ("张*", &["1.1"]),
            ("*三*", &["1.1"]),
            ("陈^大文", &["1.2"]),
            ("*xiao*", &["1.3"]),
            ("*ang*", &["1.1", "1.3"]),
            ("MULLER*", &["1.4"]),
            ("=山田*=ヤマダ*", &["1.5"]),
            ("?ang^*", &["1.3"]),
        ] {
            assert_found(found(&archive, Level::Study, asked, false).await, expected, asked);
        }
    })
    .await;
}

#[tokio::test]
async fn a_name_that_comes_later_and_one_that_goes_are_known() {
    everywhere(|archive| async move {
        let nameless = Slice::new("1.1", "1.1.1", "1.1.1.1").with(tags::PATIENT_ID, "P").with(tags::PATIENT_NAME, "");
        nameless.sent_to(&archive).await;
        let named = Slice::new("1.2", "1.2.1", "1.2.1.1").with(tags::PATIENT_ID, "P");
        named.clone().with(tags::PATIENT_NAME, "张^三").sent_to(&archive).await;
        assert_found(found(&archive, Level::Study, "zs", true).await, &["P"], "zs");
        for slice in [&nameless, &named] {
            archive.delete(&slice.study, None, None).await.expect("a deletion");
        }
        assert_found(found(&archive, Level::Patient, "zs", true).await, &[], "zs");
    })
    .await;
}

#[tokio::test]
async fn a_catalog_from_before_the_keys_gets_them_while_it_is_used() {
    let home = sqlite_and_folder();
    let path = home.config.data_dir.join("index.sqlite");
    {
        let archive = home.open().await;
        fill(&archive).await;
        archive.close().await;
    }
    // Back to the schema of the migrations before, with names in lower case only.
    let mut before = AnyConnection::connect(&format!("sqlite://{}", path.display())).await.expect("the database");
    for statement in [
        "drop index patient_by_no",
        "alter table patient drop column patient_no",
        "alter table patient drop column patient_search",
        "drop table patient_name_key",
        "create index patient_by_ideographic on patient (patient_name_ideographic)",
        "create index patient_by_phonetic on patient (patient_name_phonetic)",
        "update patient set patient_name_alphabetic = '陳^大文' where patient_id = '1.2'",
        "delete from _sqlx_migrations where version = 2",
    ] {
        before.execute(statement).await.expect("a step back");
    }
    before.close().await.expect("closed");
    let archive = home.open().await;
    assert_found(found(&archive, Level::Study, "wang^*", false).await, &["1.3"], "wang^*");
    for _ in 0..200 {
        if !found(&archive, Level::Study, "cdw", true).await.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_found(found(&archive, Level::Study, "cdw", true).await, &["1.2"], "cdw");
    assert_found(found(&archive, Level::Study, "陈^大文", false).await, &["1.2"], "陈^大文");
    assert_found(found(&archive, Level::Study, "zs", true).await, &["1.1"], "zs");
}
