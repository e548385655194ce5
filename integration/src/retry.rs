//! What becomes of a delivery that failed.

use crate::{config::RetryConfig, error::FailureKind};
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    Retry(Duration),
    /// To the dead letters, where a person looks.
    GiveUp,
}

/// `attempts`: tries so far, the failed one included.
pub fn next(kind: FailureKind, attempts: i64, config: &RetryConfig) -> Next {
    let limit = match kind {
        FailureKind::Unreachable => config.max_attempts,
        FailureKind::Refused => config.max_attempts.min(config.max_refusals),
        FailureKind::Final => 0,
    };
    if attempts >= i64::from(limit) { Next::GiveUp } else { Next::Retry(pause(attempts, config)) }
}

fn pause(attempts: i64, config: &RetryConfig) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(0).min(63);
    let seconds = config.first_seconds.saturating_mul(1 << doublings);
    Duration::from_secs(seconds.min(config.max_seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(kind: FailureKind, attempts: i64, expected: Next) {
        assert_eq!(next(kind, attempts, &RetryConfig::default()), expected, "{kind:?} after {attempts}");
    }

    #[test]
    fn the_pause_doubles_up_to_its_longest() {
        for (attempts, seconds) in [(1, 5), (2, 10), (3, 20), (7, 320), (8, 600), (19, 600)] {
            check(FailureKind::Unreachable, attempts, Next::Retry(Duration::from_secs(seconds)));
        }
    }

    #[test]
    fn tries_end_sooner_the_clearer_the_receiver_says_no() {
        check(FailureKind::Unreachable, 20, Next::GiveUp);
        check(FailureKind::Refused, 4, Next::Retry(Duration::from_secs(40)));
        check(FailureKind::Refused, 5, Next::GiveUp);
        check(FailureKind::Final, 1, Next::GiveUp);
    }

    proptest! {
        #[test]
        fn no_setting_makes_the_pause_overflow(attempts in any::<i64>(), first in any::<u64>(), max in any::<u64>()) {
            let config = RetryConfig { first_seconds: first, max_seconds: max, max_attempts: u32::MAX, max_refusals: 1 };
            if let Next::Retry(pause) = next(FailureKind::Unreachable, attempts, &config) {
                prop_assert!(pause.as_secs() <= max);
            }
        }
    }
}
