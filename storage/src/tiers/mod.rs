//! Where packs lie by how soon they will be wanted: kept near where the store is a bucket, moved to a cold store by rule.
//!
//! | module | what |
//! |---|---|
//! | `blocks` | the form of a file of the cache: any range of it, and nothing damaged |
//! | `cache` | the folder: bounded, what was used longest ago goes first |
//! | `fetch` | whole packs brought from the store |
//! | `prefetch` | which packs: of the study that is opened, and of earlier ones of its patient |
//! | `rule` | which packs are to be cold |
//! | `reads` | when a study was last read |
//! | `relocation` | a pack goes from one place to another |

mod blocks;
mod cache;
mod fetch;
mod prefetch;
mod reads;
mod relocation;
mod rule;

pub use cache::CacheUse;
pub use prefetch::Prefetched;
pub use relocation::{Moved, Tier, TierUse};
pub use rule::ColdRule;

pub(crate) use cache::{Cache, Tee};
pub(crate) use fetch::Misses;
pub(crate) use prefetch::Opened;
pub(crate) use reads::Reads;
pub(crate) use rule::check_rules;

/// Keys of cold objects begin so; what follows is the key that it would have as a hot one.
const COLD: &str = "cold/";

pub(crate) fn is_cold(key: &str) -> bool {
    key.starts_with(COLD)
}

/// The key of an object as a cold one.
pub(crate) fn cold(key: &str) -> String {
    format!("{COLD}{}", hot(key))
}

/// The key of an object as a hot one.
pub(crate) fn hot(key: &str) -> &str {
    key.strip_prefix(COLD).unwrap_or(key)
}

/// All packs of a series have one, wherever they are.
pub(crate) fn series_folder(key: &str) -> &str {
    hot(key).rsplit_once('/').map_or("", |(folder, _)| folder)
}
