//! Dates and times that are matched together, and on the asker's clock.

use crate::support::{Slice, everywhere};
use pacs_core::{
    Tag,
    query::{Clock, Condition, Level, Query, attribute},
    tags,
};
use storage::Archive;

const ROWS: [(&str, &str, &str, &str); 6] = [
    ("1.1", "20050101", "095959", ""),
    ("1.2", "20050101", "100000", ""),
    ("1.3", "20050103", "030000.5", ""),
    ("1.4", "20050105", "180000", ""),
    ("1.5", "20050106", "003000", "+0900"),
    ("1.6", "20050105", "", ""),
];

async fn fill(archive: &Archive) {
    for (study, date, time, zone) in ROWS {
        Slice::new(study, &format!("{study}.1"), &format!("{study}.1.1"))
            .with(tags::STUDY_DATE, date)
            .with(tags::STUDY_TIME, time)
            .with(tags::TIMEZONE_OFFSET_FROM_UTC, zone)
            .sent_to(archive)
            .await;
    }
}

async fn found(archive: &Archive, clock: Clock, keys: &[(Tag, &str)]) -> Vec<String> {
    let condition = |(tag, text): &(Tag, &str)| {
        Some((*tag, Condition::parse(attribute(*tag).expect("an attribute"), text).expect("a key")?))
    };
    let conditions = keys.iter().filter_map(condition).collect();
    let rows = archive.find(&Query { conditions, clock, ..Query::new(Level::Series) }).await.expect("rows");
    let mut found: Vec<_> = rows.iter().map(|row| row.values[&tags::STUDY_INSTANCE_UID].clone()).collect();
    found.sort();
    found
}

#[tokio::test]
async fn a_range_of_dates_and_one_of_times_are_matched_as_was_negotiated() {
    everywhere(async |archive| {
        fill(&archive).await;
        let keys = [(tags::STUDY_DATE, "20050101-20050105"), (tags::STUDY_TIME, "1000-18")];
        assert_eq!(found(&archive, Clock::default(), &keys).await, ["1.2", "1.4"]);
        let combined = Clock { combined: true, zones: None };
        assert_eq!(found(&archive, combined, &keys).await, ["1.2", "1.3", "1.4", "1.6"]);
        assert_eq!(found(&archive, combined, &keys[1..]).await, ["1.2", "1.4"]);
        let single = [(tags::STUDY_DATE, "20050101"), (tags::STUDY_TIME, "100000-")];
        assert_eq!(found(&archive, combined, &single).await, ["1.2"]);
    })
    .await;
}

#[tokio::test]
async fn dates_and_times_are_those_of_the_asker_s_zone() {
    everywhere(async |archive| {
        fill(&archive).await;
        let zones = |asked: &str, local: &str| Some((asked.parse().expect("a zone"), local.parse().expect("a zone")));
        let zoned = Clock { combined: false, zones: zones("+0000", "+0800") };
        // 10:00 of the first in the east is 02:00 of it in UTC; 00:30 of the sixth in Japan 15:30 of the fifth.
        assert_eq!(found(&archive, zoned, &[(tags::STUDY_DATE, "20050105")]).await, ["1.4", "1.5"]);
        assert_eq!(found(&archive, zoned, &[(tags::STUDY_DATE, "20050102")]).await, ["1.3"]);
        assert_eq!(found(&archive, zoned, &[(tags::STUDY_TIME, "1500-1600")]).await, ["1.5"]);
        let both = [(tags::STUDY_DATE, "20050105-20050106"), (tags::STUDY_TIME, "1400-1600")];
        assert_eq!(found(&archive, zoned, &both).await, ["1.5"]);
        let combined = Clock { combined: true, ..zoned };
        assert_eq!(
            found(&archive, combined, &[(tags::STUDY_DATE, "20050101-20050105"), (tags::STUDY_TIME, "0200-1000")])
                .await,
            ["1.2", "1.3", "1.4", "1.6"]
        );
        let same = Clock { combined: false, zones: zones("+0800", "+0800") };
        assert_eq!(found(&archive, same, &[(tags::STUDY_DATE, "20050105")]).await, ["1.4", "1.5", "1.6"]);
    })
    .await;
}
