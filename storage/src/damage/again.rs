//! What a pack should keep beside an instance, when it is damaged: from the instance itself, or from the catalog.

use crate::{
    archive::Inner,
    error::ArchiveError,
    ingest::{Incoming, Origin},
    pack::Record,
    read::Place,
};
use futures::TryStreamExt;
use serde_json::{Map, Value, json};
use sqlx::Row;
use std::sync::Arc;

impl Inner {
    /// Record and DICOM JSON of an instance of `len` bytes, made anew from its bytes, which must be whole.
    pub(crate) async fn record_again(
        self: &Arc<Self>,
        place: &Place,
        len: u64,
    ) -> Result<(Record, String), ArchiveError> {
        let mut incoming = Incoming::new(self.clone(), Origin::Room("repair"));
        let mut bytes = self.stream_pack(place, place.offset..place.offset.saturating_add(len)).await?;
        while let Some(piece) = bytes.try_next().await? {
            incoming.write(&piece).await?;
        }
        let damaged = |_| ArchiveError::Damaged(place.key.clone());
        let (described, _) = incoming.describe().await.map_err(damaged)?;
        if described.record.checksum != place.checksum {
            return Err(ArchiveError::Damaged(place.key.clone()));
        }
        Ok((self.as_catalogued(place, described.record).await?, described.metadata))
    }

    /// What the catalog knows of an instance whose DICOM JSON is lost with it: which one it is, and that it cannot be
    /// retrieved (Instance Availability, PS3.3 C.4.23.1.1).
    pub(crate) async fn bare_metadata(&self, key: i64) -> Result<String, ArchiveError> {
        let row = sqlx::query(BARE).bind(key).fetch_optional(&self.database.pool).await?;
        let row = row.ok_or_else(|| ArchiveError::NotFound("the instance".into()))?;
        let mut item = Map::new();
        for (column, (tag, vr)) in ATTRIBUTES.into_iter().enumerate() {
            let text: String = row.try_get(column)?;
            if !text.is_empty() {
                item.insert(tag.to_owned(), json!({ "vr": vr, "Value": [text] }));
            }
        }
        item.insert("00080056".to_owned(), json!({ "vr": "CS", "Value": ["UNAVAILABLE"] }));
        Ok(Value::Object(item).to_string())
    }
}

/// In the order of the columns of [`BARE`].
const ATTRIBUTES: [(&str, &str); 5] =
    [("00080016", "UI"), ("00080018", "UI"), ("0020000D", "UI"), ("0020000E", "UI"), ("00200013", "IS")];

const BARE: &str = "select i.sop_class_uid, i.sop_instance_uid, st.study_instance_uid, se.series_instance_uid,
        i.instance_number
    from instance i join series se on se.series_key = i.series_key join study st on st.study_key = se.study_key
    where i.instance_key = $1";
