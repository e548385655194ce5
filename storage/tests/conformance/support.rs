//! Synthetic instances, and an archive over each database and object store.

use pacs_core::{
    Tag, TransferSyntax, Uid, VR,
    part10::write_meta,
    query::{Level, Query, attribute},
    tags,
};
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Executor};
use std::{collections::BTreeMap, future::Future};
use storage::{Archive, Expected, Ingested, Origin, Row, StorageConfig, StoredInstance, new_key_line};

pub const CT_IMAGE_STORAGE: &str = "1.2.840.10008.5.1.4.1.1.2";

pub fn uid(text: &str) -> Uid {
    text.parse().expect("a UID")
}

/// A small CT slice: 16 by 16 pixels whose bytes are all `fill`.
#[derive(Clone)]
pub struct Slice {
    pub study: Uid,
    pub series: Uid,
    pub sop_instance: Uid,
    pub values: BTreeMap<Tag, String>,
    pub fill: u8,
}

/// A color palette, or the beginning of one: a Part 10 file without study and series.
pub fn palette(sop_instance: &str, label: &str, description: &str) -> Vec<u8> {
    const COLOR_PALETTE_STORAGE: &str = "1.2.840.10008.5.1.4.39.1";
    let syntax = TransferSyntax::explicit_little();
    let mut file = write_meta(&uid(COLOR_PALETTE_STORAGE), &uid(sop_instance), &syntax, Some("TEST"));
    write_element(&mut file, tags::SOP_CLASS_UID, VR::UI, COLOR_PALETTE_STORAGE.as_bytes(), 0);
    write_element(&mut file, tags::SOP_INSTANCE_UID, VR::UI, sop_instance.as_bytes(), 0);
    write_element(&mut file, tags::CONTENT_LABEL, VR::CS, label.as_bytes(), b' ');
    write_element(&mut file, tags::CONTENT_DESCRIPTION, VR::LO, description.as_bytes(), b' ');
    file
}

impl Slice {
    pub fn new(study: &str, series: &str, sop_instance: &str) -> Self {
        let values = [(tags::PATIENT_ID, "P1"), (tags::PATIENT_NAME, "Zhang^San=张^三"), (tags::MODALITY, "CT")];
        Self {
            study: uid(study),
            series: uid(series),
            sop_instance: uid(sop_instance),
            values: values.map(|(tag, value)| (tag, value.to_owned())).into(),
            fill: 0,
        }
    }

    pub fn with(mut self, tag: Tag, value: &str) -> Self {
        self.values.insert(tag, value.to_owned());
        self
    }

    pub fn filled(mut self, fill: u8) -> Self {
        self.fill = fill;
        self
    }

    /// A Part 10 file in Explicit VR Little Endian, text in UTF-8.
    pub fn part10(&self) -> Vec<u8> {
        let mut elements = self.values.clone();
        elements.insert(tags::SPECIFIC_CHARACTER_SET, "ISO_IR 192".into());
        elements.insert(tags::SOP_CLASS_UID, CT_IMAGE_STORAGE.into());
        elements.insert(tags::SOP_INSTANCE_UID, self.sop_instance.to_string());
        elements.insert(tags::STUDY_INSTANCE_UID, self.study.to_string());
        elements.insert(tags::SERIES_INSTANCE_UID, self.series.to_string());
        let class = uid(CT_IMAGE_STORAGE);
        let mut file = write_meta(&class, &self.sop_instance, &TransferSyntax::explicit_little(), Some("TEST"));
        for (tag, value) in &elements {
            let vr = attribute(*tag).map_or(VR::CS, |attribute| attribute.vr);
            let pad = if vr == VR::UI { 0 } else { b' ' };
            write_element(&mut file, *tag, vr, value.as_bytes(), pad);
        }
        for (tag, value) in [
            (tags::SAMPLES_PER_PIXEL, 1_u16),
            (tags::ROWS, 16),
            (tags::COLUMNS, 16),
            (tags::BITS_ALLOCATED, 8),
            (tags::BITS_STORED, 8),
            (tags::HIGH_BIT, 7),
            (tags::PIXEL_REPRESENTATION, 0),
        ] {
            write_element(&mut file, tag, VR::US, &value.to_le_bytes(), 0);
        }
        file.extend(b"\xe0\x7f\x10\x00OB\0\0\x00\x01\0\0");
        file.extend([self.fill; 256]);
        file
    }

    pub async fn sent_to(&self, archive: &Archive) -> Ingested {
        let origin = Origin::Room("test");
        archive.ingest(origin, &self.part10(), &Expected::default()).await.expect("an instance that is stored")
    }

    /// The current version of what is held under its UIDs.
    pub async fn held_in(&self, archive: &Archive) -> StoredInstance {
        archive.instance(&self.study, &self.series, &self.sop_instance, None).await.expect("an instance")
    }
}

/// Private data behind the pixels makes an instance as large as wanted.
pub fn padded(slice: &Slice, len: u32) -> Vec<u8> {
    let mut part10 = slice.part10();
    part10.extend(b"\xe1\x7f\x10\x10UN\0\0");
    part10.extend(len.to_le_bytes());
    part10.resize(part10.len() + len as usize, 5);
    part10
}

fn write_element(file: &mut Vec<u8>, tag: Tag, vr: VR, value: &[u8], pad: u8) {
    let padded = value.len() + value.len() % 2;
    file.extend(tag.0.to_le_bytes());
    file.extend(tag.1.to_le_bytes());
    file.extend(vr.to_string().as_bytes());
    file.extend(u16::try_from(padded).expect("a short value").to_le_bytes());
    file.extend(value);
    file.resize(file.len() + padded - value.len(), pad);
}

/// An archive that is gone with all it holds when dropped, and what opens it again.
pub struct Home {
    pub config: StorageConfig,
    pub name: &'static str,
    folder: tempfile::TempDir,
}

impl Home {
    pub async fn open(&self) -> Archive {
        Archive::open(&self.config).await.expect("an archive that opens")
    }
}

pub fn sqlite_and_folder() -> Home {
    let folder = tempfile::tempdir().expect("a folder");
    let config = StorageConfig { data_dir: folder.path().join("data"), ..StorageConfig::default() };
    Home { config, name: "SQLite, folder", folder }
}

/// The same with packs encrypted by a key of its own, `k1`, in a file beside the data folder.
pub fn encrypted(mut home: Home) -> Home {
    let file = home.folder.path().join("keys");
    std::fs::write(&file, new_key_line("k1").expect("a key")).expect("a key file");
    home.config.keys = Some(format!("file:{}", file.display()));
    home
}

/// `None`, with the reason printed, without a server.
pub async fn postgres_and_folder() -> Option<Home> {
    let Ok(server) = std::env::var("PACS_TEST_POSTGRES_URL") else {
        println!("skipped: PostgreSQL, as PACS_TEST_POSTGRES_URL is not set");
        return None;
    };
    sqlx::any::install_default_drivers();
    let database = format!("storage_test_{:016x}", rand::random::<u64>());
    let mut admin = AnyConnection::connect(&server).await.expect("the PostgreSQL server");
    let statement = format!("create database {database}");
    admin.execute(AssertSqlSafe(statement)).await.expect("a database of our own");
    let (base, _) = server.rsplit_once('/').expect("a URL with a database");
    let mut home = sqlite_and_folder();
    home.config.database_url = Some(format!("{base}/{database}"));
    home.name = "PostgreSQL, folder";
    Some(home)
}

/// The catalog of a home behind its archive's back.
pub async fn catalog(home: &Home) -> AnyConnection {
    sqlx::any::install_default_drivers();
    let sqlite = || format!("sqlite://{}", home.config.data_dir.join("index.sqlite").display());
    let url = home.config.database_url.clone().unwrap_or_else(sqlite);
    AnyConnection::connect(&url).await.expect("the catalog")
}

impl Home {
    /// In memory, by way of a bucket, instead of in a folder.
    fn in_memory(mut self) -> Self {
        self.config.store_url = Some("memory:///yinghai".into());
        self.name = "SQLite, memory, encrypted";
        self
    }

    /// In the bucket of the tests, under a prefix of its own, instead of in a folder.
    pub fn in_bucket(mut self, bucket: &str, name: &'static str) -> Self {
        self.config.store_url = Some(format!("{bucket}/{:016x}", rand::random::<u64>()));
        self.name = name;
        self
    }
}

/// `None`, with the reason printed, without a server.
pub fn bucket() -> Option<String> {
    let bucket = std::env::var("PACS_TEST_S3_URL").ok();
    if bucket.is_none() {
        println!("skipped: S3, as PACS_TEST_S3_URL is not set");
    }
    bucket
}

/// Runs a story over each combination of database and object store.
pub async fn everywhere<F: Future<Output = ()>>(story: impl Fn(Archive) -> F) {
    everywhere_with(|_| {}, story).await;
}

/// As [`everywhere`], with other settings.
pub async fn everywhere_with<F: Future<Output = ()>>(
    configure: impl Fn(&mut StorageConfig),
    story: impl Fn(Archive) -> F,
) {
    let mut homes = vec![sqlite_and_folder(), encrypted(sqlite_and_folder()).in_memory()];
    homes.extend(postgres_and_folder().await);
    if let Some(bucket) = bucket() {
        homes.push(sqlite_and_folder().in_bucket(&bucket, "SQLite, S3"));
        homes.extend(postgres_and_folder().await.map(|home| home.in_bucket(&bucket, "PostgreSQL, S3")));
    }
    for mut home in homes {
        println!("over {}", home.name);
        configure(&mut home.config);
        let archive = home.open().await;
        story(archive.clone()).await;
        archive.close().await;
    }
}

/// The row of a level that has but one.
pub async fn only_row(archive: &Archive, level: Level) -> Row {
    let mut rows = archive.find(&Query::new(level)).await.expect("rows");
    assert_eq!(rows.len(), 1, "{level:?}");
    rows.remove(0)
}

/// Catalog and store agree, and every instance reads as it came.
pub async fn assert_sound(archive: &Archive) {
    let found = archive.verify(true, |_| ()).await.expect("a verification");
    assert!(found.is_sound(), "{found:?}");
}
