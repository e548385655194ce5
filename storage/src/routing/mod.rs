//! Sending on by rule: what arrives is queued for destinations, and kept there until each has it.
//!
//! | module | what |
//! |---|---|
//! | `condition` | which arrivals a rule speaks of |
//! | `rules` | destinations and rules in the catalog, changed while the server runs |
//! | `arrivals` | arrivals → queue |
//! | `coercion`, `receipt` | attributes that get other values by rule, when they arrive or leave |
//! | `commitment` | what was sent is asked for: does the receiver answer for it |
//! | `priors` | what the patient had before goes along |
//! | `queue` | claimed, extended, settled, retried: each instance reaches its destination at least once |
//! | `outgoing` | what is changed of an instance on its way |
//! | `dispatch`, `pace` | who sends when, and how fast |
//! | `steps` | what modalities report of procedure steps is told on |
//! | `view` | what waits, what went, what failed and why |
//!
//! A rule speaks of what arrives after it was made. Who sends (`dicom-node`, by C-STORE) claims instances of one series at a
//! time under a short lease, which it extends: what a process leaves behind is due again soon.

mod arrivals;
mod coercion;
mod commitment;
mod condition;
mod dispatch;
mod outgoing;
mod pace;
mod priors;
mod queue;
mod receipt;
mod rules;
mod steps;
mod view;

pub use coercion::{Coercion, CoercionRule};
pub use commitment::Question;
pub use condition::{Arrival, Condition, DayTime};
pub use dispatch::{Batch, Sender, dispatch};
pub(crate) use outgoing::Alteration;
pub use outgoing::Manner;
pub use pace::Pace;
pub use priors::Priors;
pub use queue::{Forward, ForwardState, Outcome};
pub(crate) use rules::ALL_REST;
pub use rules::{Destination, Receiver, Rule, WebReceiver};
pub(crate) use steps::tell_on;
pub use steps::{STEP_MESSAGE, StepMessage, StepRule};
pub use view::{Backlog, Queued};
