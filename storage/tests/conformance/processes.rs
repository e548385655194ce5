//! Several processes that share catalog and store, each with a data folder of its own.

use crate::{
    instances::everything,
    support::{Home, Slice, assert_sound, bucket, only_row, postgres_and_folder, sqlite_and_folder, uid},
};
use futures::future::join_all;
use pacs_core::{Failure, query::Level, tags};
use storage::{Archive, ArchiveError};

/// Two archives over one catalog and one store, as on two machines.
async fn two_machines(mut home: Home) -> (Home, [Archive; 2]) {
    home.config.quiet_seconds = 0;
    let folder = home.config.data_dir.with_file_name("first");
    std::fs::create_dir_all(&folder).expect("a folder");
    let config = &mut home.config;
    config.database_url.get_or_insert(format!("sqlite://{}?mode=rwc", folder.join("index.sqlite").display()));
    config.store_url.get_or_insert(format!("file://{}", folder.join("objects").display()));
    let mut other = config.clone();
    other.data_dir = folder.with_file_name("second");
    let archives = [home.open().await, Archive::open(&other).await.expect("a second archive")];
    (home, archives)
}

async fn pairs_of_machines() -> Vec<(Home, [Archive; 2])> {
    let mut homes = vec![sqlite_and_folder()];
    homes.extend(postgres_and_folder().await);
    if let (Some(bucket), Some(home)) = (bucket(), postgres_and_folder().await) {
        homes.push(home.in_bucket(&bucket, "PostgreSQL, S3"));
    }
    join_all(homes.into_iter().map(two_machines)).await
}

#[tokio::test]
async fn what_another_machine_has_not_sealed_is_there_and_not_to_be_read_yet() {
    for (home, [here, there]) in pairs_of_machines().await {
        println!("over {}", home.name);
        let slice = Slice::new("1.1", "1.1.1", "1.1.1.1");
        slice.sent_to(&here).await;
        let seen = slice.held_in(&there).await;
        let refused = [
            there.reach([&seen]).await.expect_err("its bytes are elsewhere"),
            there.read_frame(&seen, 0).await.expect_err("its bytes are elsewhere"),
            there.metadata(&uid("1.1"), None, None).await.expect_err("its record is elsewhere"),
        ];
        for error in refused {
            assert!(matches!(error, ArchiveError::Elsewhere(_)), "{error}");
            assert_eq!(error.failure(), Failure::Unavailable);
        }
        let found = there.verify(true, |_| ()).await.expect("a verification");
        assert_eq!((found.elsewhere.len(), found.is_sound()), (1, true));
        assert_eq!(here.seal_quiet_packs().await, 1);
        // What was found before the sealing is read as what is found after it.
        for seen in [seen, slice.held_in(&there).await] {
            there.reach([&seen]).await.expect("within reach");
            assert_eq!(everything(&there, &seen).await, slice.part10());
        }
        assert_eq!(there.verify(true, |_| ()).await.expect("a verification").elsewhere.len(), 0);
    }
}

#[tokio::test]
async fn the_first_objects_of_a_patient_through_two_machines_are_one_patient_and_one_study() {
    for (home, [here, there]) in pairs_of_machines().await {
        println!("over {}", home.name);
        let slices: Vec<_> = (0..100).map(|n| Slice::new("1.1", "1.1.1", &format!("1.1.1.{n}"))).collect();
        join_all(slices.iter().zip([&here, &there].into_iter().cycle()).map(|(slice, to)| slice.sent_to(to))).await;
        here.seal_quiet_packs().await;
        there.seal_quiet_packs().await;
        only_row(&here, Level::Patient).await;
        only_row(&here, Level::Series).await;
        let study = only_row(&there, Level::Study).await;
        assert_eq!(study.values[&tags::NUMBER_OF_STUDY_RELATED_INSTANCES], "100");
        assert_sound(&here).await;
    }
}
