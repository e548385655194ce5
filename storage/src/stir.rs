//! When there may be something to look for: housekeeping rests while nothing happens.

use crate::{archive::Archive, clock::now};
use sqlx::Row;
use std::time::Duration;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

/// After so long it is looked whatever is known: what nobody thought of is late, and not lost.
const LONGEST: Duration = Duration::from_secs(30);

/// Tells that something was written, here or by another process, or waits for its time to come.
#[derive(Clone)]
pub(crate) struct Stir(watch::Sender<()>);

impl Default for Stir {
    fn default() -> Self {
        Self(watch::channel(()).0)
    }
}

impl Stir {
    pub(crate) fn tell(&self) {
        self.0.send_replace(());
    }
}

/// What one who looks again and again knows of that.
pub struct Stirrings(watch::Receiver<()>);

impl Archive {
    /// For one who looks for work again and again: it is to rest while nothing happens.
    pub fn stirrings(&self) -> Stirrings {
        Stirrings(self.inner.database.stir.0.subscribe())
    }
}

impl Stirrings {
    /// To be called before each look: what happens from now on, also by what the look leads to, calls for another.
    pub fn begin(&mut self) {
        self.0.borrow_and_update();
    }

    /// Rests for `least`, and on until something has happened since the look began.
    pub async fn rest(&mut self, least: Duration) {
        sleep(least).await;
        // An archive that has closed stirs no more.
        if let Ok(Err(_)) = timeout(LONGEST, self.0.changed()).await {
            sleep(LONGEST).await;
        }
    }
}

/// The newest position, and whether there is something that waits, and its time has come or is soon told by a clock.
pub(crate) async fn pulse(pool: &sqlx::AnyPool) -> Result<(i64, bool), sqlx::Error> {
    let row = sqlx::query(PULSE).bind(now()).fetch_one(pool).await?;
    Ok((row.try_get(0)?, row.try_get::<i64, _>(1)? != 0))
}

// Each part is one look into an index.
const PULSE: &str = "select last_key, case when
        exists (select 1 from series where announced = 0)
        or exists (select 1 from pack where sealed = 0)
        or exists (select 1 from job where state in ('due', 'leased') and substr(kind, 1, 7) <> 'ups-rs '
            and due_at <= $1)
        or exists (select 1 from forward where state in ('due', 'leased', 'uncommitted', 'asked') and due_at <= $1)
        or exists (select 1 from doomed_object where due_at <= $1)
    then cast(1 as bigint) else cast(0 as bigint) end
    from head where id = 1";

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    #[tokio::test]
    async fn who_looks_rests_until_something_happens_and_misses_nothing() {
        let stir = Stir::default();
        let mut stirrings = Stirrings(stir.0.subscribe());
        let least = Duration::from_millis(10);
        stirrings.begin();
        // During the look: it may have been missed.
        stir.tell();
        assert!(timeout(LONGEST / 2, stirrings.rest(least)).await.is_ok());
        stirrings.begin();
        assert!(timeout(5 * least, stirrings.rest(least)).await.is_err());
        let later = async {
            sleep(5 * least).await;
            stir.tell();
            Instant::now()
        };
        let rested = async {
            stirrings.rest(least).await;
            Instant::now()
        };
        let (told, woke) = tokio::join!(later, rested);
        assert!(woke >= told);
    }
}
