//! A large catalog out of a small one, by SQL: what came through the front door once is there many times, under other
//! identities. No bytes are behind the copies.

use sqlx::{AnyConnection, AssertSqlSafe, Column, Connection, Row, any::AnyRow};

/// Beyond any key of what is multiplied.
const STEP: i64 = 1_000_000_000;

/// The columns of each table that are of one copy: keys are moved, texts get its number.
const TABLES: [(&str, &[&str], &[&str]); 6] = [
    ("patient", &["patient_no"], &["patient_key", "patient_id"]),
    ("patient_name_key", &["patient_no"], &[]),
    ("study", &["study_key"], &["patient_key", "study_instance_uid", "accession_number"]),
    ("series", &["series_key", "study_key"], &["series_instance_uid"]),
    ("pack", &["pack_key", "series_key"], &["object_key"]),
    ("instance", &["instance_key", "series_key", "pack_key"], &["sop_instance_uid"]),
];

/// Adds `copies` of all that the catalog holds. Indexes of the largest table are made anew: ten million rows are not put
/// into them one by one.
pub async fn multiply(url: &str, copies: u32) -> anyhow::Result<()> {
    sqlx::any::install_default_drivers();
    let mut catalog = AnyConnection::connect(url).await?;
    let indexes = indexes(&mut catalog, url.starts_with("sqlite")).await?;
    for (name, _) in &indexes {
        execute(&mut catalog, format!("drop index {name}")).await?;
    }
    for (table, keys, texts) in TABLES {
        let started = std::time::Instant::now();
        let row = sqlx::query(AssertSqlSafe(format!("select * from {table} limit 1"))).fetch_one(&mut catalog).await?;
        let columns: Vec<_> = row.columns().iter().map(|column| column.name().to_owned()).collect();
        let value = |column: &String| match column.as_str() {
            name if keys.contains(&name) => format!("{name} + k * {STEP}"),
            // Other years: otherwise the newest studies were copies of the same few.
            "study_date" | "study_date_match" => {
                format!("cast(2005 + (study_key + k) % 20 as text) || substr({column}, 5)")
            }
            name if texts.contains(&name) => format!("{name} || '.' || k"),
            name => name.to_owned(),
        };
        let values: Vec<_> = columns.iter().map(value).collect();
        execute(
            &mut catalog,
            format!(
                "with recursive copies(k) as (select cast(1 as bigint) union all select k + 1 from copies where k < {copies})
                 insert into {table} ({}) select {} from {table} cross join copies order by k",
                columns.join(", "),
                values.join(", ")
            ),
        )
        .await?;
        eprintln!("{table}: {:.0?}", started.elapsed());
    }
    for (_, sql) in &indexes {
        execute(&mut catalog, sql.clone()).await?;
    }
    let last = i64::from(copies + 1).saturating_mul(STEP);
    execute(&mut catalog, format!("update head set last_key = {last}")).await?;
    // PostgreSQL does it by itself after a while; an archive on SQLite never does.
    if !url.starts_with("sqlite") {
        execute(&mut catalog, "analyze".to_owned()).await?;
    }
    Ok(catalog.close().await?)
}

/// Name and statement of each index of the instances.
async fn indexes(catalog: &mut AnyConnection, is_sqlite: bool) -> anyhow::Result<Vec<(String, String)>> {
    let sql = if is_sqlite {
        "select name, sql from sqlite_master where type = 'index' and tbl_name = 'instance' and sql is not null"
    } else {
        "select cast(indexname as text), indexdef from pg_indexes
            where tablename = 'instance' and indexname not like '%pkey'"
    };
    let rows = sqlx::query(sql).fetch_all(catalog).await?;
    let index = |row: &AnyRow| Ok((row.try_get(0)?, row.try_get(1)?));
    rows.iter().map(index).collect()
}

async fn execute(catalog: &mut AnyConnection, sql: String) -> anyhow::Result<()> {
    sqlx::query(AssertSqlSafe(sql)).execute(catalog).await?;
    Ok(())
}
