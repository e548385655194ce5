//! Packs kept near, where the store is a bucket.
//!
//! | module | what |
//! |---|---|
//! | `blocks` | the form of a file of the cache: any range of it, and nothing damaged |
//! | `cache` | the folder: bounded, what was used longest ago goes first |
//! | `fetch` | whole packs brought from the store |
//! | `prefetch` | which packs: of the study that is opened, and of earlier ones of its patient |

mod blocks;
mod cache;
mod fetch;
mod prefetch;

pub use cache::CacheUse;
pub use prefetch::Prefetched;

pub(crate) use cache::{Cache, Tee};
pub(crate) use fetch::Misses;
pub(crate) use prefetch::Opened;
