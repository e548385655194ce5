//! Instances as they are seen, now or at a time.

use crate::{
    archive::Archive,
    error::ArchiveError,
    read::{StoredInstance, select_instances},
};
use pacs_core::Uid;
use sqlx::{Row, any::AnyRow};

impl Archive {
    /// The instances of a study, series, or the single one, as they were to be seen at a time, in milliseconds since
    /// 1970-01-01 UTC: by the corrections then in force,
    /// and without what has come since. What was deleted since is gone.
    pub async fn instances_as_of(
        &self,
        study: &Uid,
        series: Option<&Uid>,
        sop_instance: Option<&Uid>,
        at: i64,
    ) -> Result<Vec<StoredInstance>, ArchiveError> {
        let rows = sqlx::query(ALL_VERSIONS)
            .bind(study.as_str())
            .bind(series.map_or("", Uid::as_str))
            .bind(sop_instance.map_or("", Uid::as_str))
            .bind(at)
            .fetch_all(&self.inner.database.pool)
            .await?;
        let view = self.inner.view(study, Some(at)).await?;
        let mut instances: Vec<StoredInstance> = Vec::new();
        let mut is_settled = false;
        for row in &rows {
            let instance = StoredInstance { view: view.clone(), ..self.stored_instance(row).await? };
            let same = |last: &&mut StoredInstance| {
                (&last.series, &last.sop_instance) == (&instance.series, &instance.sop_instance)
            };
            // Of several versions that which is current now, if it was there; else the newest of them was.
            match instances.last_mut().filter(same) {
                Some(_) if is_settled => continue,
                Some(last) => *last = instance,
                None => instances.push(instance),
            }
            is_settled = row.try_get::<i64, _>("was_current")? == 1;
        }
        let hidden =
            |one: &StoredInstance| view.as_ref().is_some_and(|view| view.hides(&one.series, &one.sop_instance));
        instances.retain(|instance| !hidden(instance));
        Ok(instances)
    }

    /// Lets instances of one study be read as they are seen, if corrections were made about it.
    pub(crate) async fn lay_over(
        &self,
        row: Option<&AnyRow>,
        instances: &mut [StoredInstance],
    ) -> Result<(), ArchiveError> {
        let is_corrected = row.map(|row| row.try_get::<i64, _>("corrected")).transpose()? == Some(1);
        if let Some(study) = instances.first().filter(|_| is_corrected).map(|instance| instance.study.clone()) {
            let view = self.inner.view(&study, None).await?;
            instances.iter_mut().for_each(|instance| instance.view.clone_from(&view));
        }
        Ok(())
    }
}

const ALL_VERSIONS: &str = select_instances!(
    ", case when i.is_current = 1 or i.rejected <> 0 then 1 else 0 end as was_current",
    "where st.study_instance_uid = $1 and ($2 = '' or se.series_instance_uid = $2)
        and ($3 = '' or i.sop_instance_uid = $3) and i.stored_at <= $4
    order by se.series_order, se.series_key, i.instance_order, i.sop_instance_uid, i.version"
);
