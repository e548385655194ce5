//! What every database and object store must do alike. PostgreSQL is tried where `PACS_TEST_POSTGRES_URL` points to a
//! server that lets us make databases (`scripts/postgres-for-tests`).

mod crash;
mod instances;
mod matching;
mod names;
mod non_patient;
mod packs;
mod people;
mod support;
mod versions;
mod work;
