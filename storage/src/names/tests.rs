use super::*;
use crate::{
    Archive, StorageConfig,
    batch::{Batch, Memory},
    config::SameUidOtherContent,
    facts::Facts,
    index::{NewInstance, store, write_counts},
    ingest::Described,
    pack::Record,
    packs::Placed,
};
use pacs_core::{TransferSyntax, Uid, instance::Instance};
use std::collections::BTreeMap;

const SURNAMES: [(&str, &str); 20] = [
    ("王", "Wang"),
    ("李", "Li"),
    ("张", "Zhang"),
    ("刘", "Liu"),
    ("陈", "Chen"),
    ("杨", "Yang"),
    ("黄", "Huang"),
    ("赵", "Zhao"),
    ("吴", "Wu"),
    ("周", "Zhou"),
    ("徐", "Xu"),
    ("孙", "Sun"),
    ("马", "Ma"),
    ("朱", "Zhu"),
    ("胡", "Hu"),
    ("郭", "Guo"),
    ("何", "He"),
    ("林", "Lin"),
    ("高", "Gao"),
    ("罗", "Luo"),
];
const GIVEN: &str = "伟芳娜秀英敏静丽强磊军洋勇艳杰娟涛明超兰霞平刚桂华红玉梅建国志文海生林春晓小东大子浩宇轩博昊天思雨欣怡梓涵诗琪雅婷嘉佳俊峰凯鑫龙飞鹏辉健斌波宁";

/// Some name or other; the same number has the same name.
fn name(n: usize) -> String {
    let given: Vec<char> = GIVEN.chars().collect();
    let some = |step: usize| given[(n / step) % given.len()];
    let (surname, latin) = SURNAMES[n % SURNAMES.len()];
    let given: String = if n.is_multiple_of(3) { some(20).into() } else { [some(20), some(1700)].iter().collect() };
    let pinyin: Vec<_> = search_keys(&format!("阿{given}")).into_iter().filter(|key| key.starts_with('a')).collect();
    let pinyin = pinyin.iter().max_by_key(|key| key.len()).map(|key| &key[1..]).expect("a reading");
    format!("{latin}^{pinyin}={surname}^{given}")
}

fn new_instance(n: usize) -> NewInstance {
    let uid = |suffix: &str| -> Uid { format!("1.{n}{suffix}").parse().expect("a UID") };
    // Apart from the name, or a surname would be of one year.
    let day = n.wrapping_mul(2_654_435_761) / 4096 % 6720;
    let date = format!("20{:02}{:02}{:02}", day / 336, day / 28 % 12 + 1, day % 28 + 1);
    let values = [
        (tags::PATIENT_NAME, name(n)),
        (tags::PATIENT_ID, format!("P{n:07}")),
        (tags::STUDY_DATE, date),
        (tags::MODALITY, "CT".to_owned()),
    ];
    let facts = Instance {
        study: uid(""),
        series: uid(".1"),
        sop_instance: uid(".1.1"),
        sop_class: uid(".2"),
        transfer_syntax: TransferSyntax::explicit_little(),
        values: values.into(),
        frames: None,
    };
    let record = Record {
        study: Some(facts.study.clone()),
        series: Some(facts.series.clone()),
        sop_instance: facts.sop_instance.clone(),
        sop_class: facts.sop_class.clone(),
        transfer_syntax: facts.transfer_syntax.uid().clone(),
        values: BTreeMap::new(),
        frames: None,
        byte_len: 1,
        data_set_offset: 0,
        digest: String::new(),
        checksum: 0,
        received_at: 0,
        actor: "a test".to_owned(),
        place: String::new(),
        is_copy: false,
        recompressed: None,
    };
    let described = Described { facts: Facts::Instance(facts), record, metadata: String::new() };
    let placed = Placed::sealed(&n.to_string(), 0, 0);
    NewInstance::new(described, placed, SameUidOtherContent::default()).expect("it fits")
}

async fn filled(studies: usize) -> (Archive, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let config = StorageConfig { data_dir: folder.path().into(), ..StorageConfig::default() };
    let archive = Archive::open(&config).await.expect("an archive");
    for start in (0..studies).step_by(1000) {
        let mut change = archive.inner.database.change().await.expect("a change");
        let memory = Memory::default();
        let mut batch = Batch::new(&memory);
        for n in start..studies.min(start + 1000) {
            store(&mut change, &mut batch, &new_instance(n)).await.expect("rows");
        }
        write_counts(&mut change, &batch).await.expect("counts");
        change.commit().await.expect("a commit");
    }
    (archive, folder)
}

#[tokio::test]
async fn a_search_goes_from_the_keys_to_patients_to_studies_by_indexes() {
    let (archive, _folder) = filled(3).await;
    let bound = |_| "x'00'".to_owned();
    let source = Source(vec![pattern_pieces("*ang*"), vec![vec!["zs".to_owned()], vec!["z".to_owned()]]]);
    let sql = format!(
        "explain query plan select * from ({}) named cross join patient cross join study
            where patient.patient_no = named.patient_no and study.patient_key = patient.patient_key",
        source.sql(bound)
    );
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&archive.inner.database.pool).await.expect("a plan");
    let plan: Vec<String> = rows.iter().map(|row| row.get(3)).collect();
    assert!(!plan.iter().any(|step| step.starts_with("SCAN patient") || step.starts_with("SCAN study")), "{plan:#?}");
    assert!(plan.iter().any(|step| step.contains("PRIMARY KEY (name_key>? AND name_key<?)")), "{plan:#?}");
    assert!(plan.iter().any(|step| step.contains("patient_by_no")), "{plan:#?}");
    assert!(plan.iter().any(|step| step.contains("study_by_patient")), "{plan:#?}");
}
