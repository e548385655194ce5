//! What must be kept, and for how long.
//!
//! | module | what |
//! |---|---|
//! | `rule` | how long which studies are kept, by configuration |
//! | `term` | until which day one study is kept: pure, today is an argument |
//! | `study` | what the rules look at, read from the catalog page by page |
//! | `class` | whether the patient of a study was an inpatient |
//! | `hold`, `stored` | legal holds, in the catalog and in the store |
//! | `guard` | whether a study may be deleted |
//! | `report` | what has expired, what will soon, what is held |
//! | `expiry` | deletion of what has expired, and the record of it |

mod class;
mod expiry;
mod guard;
mod hold;
mod report;
mod rule;
mod stored;
mod study;
mod term;

pub use class::PatientClass;
pub use expiry::{Deletion, Expiry};
pub use hold::{Hold, Holding};
pub use report::{Cursor, Page, StudyTerm, TermState};
pub use rule::RetentionRule;
pub use study::KeptStudy;

pub(crate) use guard::{Grounds, refuse_kept};
pub(crate) use hold::{check_reason, keep_held};
pub(crate) use rule::{check_rules, is_like};
pub(crate) use stored::ALL_HOLDS_TO_STORE;
