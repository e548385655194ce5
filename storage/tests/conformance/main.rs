//! What every database and object store must do alike. PostgreSQL is tried where `PACS_TEST_POSTGRES_URL` points to a
//! server that lets us make databases (`scripts/postgres-for-tests`), S3 where `PACS_TEST_S3_URL` names a bucket and the
//! environment how to reach it (`scripts/s3-for-tests`).

mod backup;
mod coercion;
mod cold;
mod corrections;
mod crash;
mod damage;
mod encryption;
mod faults;
mod instances;
mod matching;
mod moments;
#[cfg(test)]
mod names;
mod non_patient;
mod packs;
mod pages;
mod people;
mod performed;
mod processes;
mod proxy;
mod quarantine;
mod recompression;
mod replica;
mod retention;
mod routing;
mod support;
mod tiers;
mod versions;
#[cfg(test)]
mod views;
mod work;
mod workitems;
mod worklist;
