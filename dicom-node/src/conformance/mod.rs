//! What the node says of itself: its part of the conformance statement (PS3.2 Annex N), from the tables that it works by.
//!
//! | module | what |
//! |---|---|
//! | `statuses` | what each request may be answered with; every answer is held to it where assertions are on |
//! | `classes` | SOP Classes, roles, transfer syntaxes, extended negotiation |
//! | `associations` | parameters, limits, refusals |
//! | `keys` | keys of queries, attributes of procedure steps |
//! | `text/` | what no table knows |

mod associations;
mod classes;
mod keys;
pub mod statuses;

pub use associations::secure_transport;
pub use classes::{overview, storage_classes};

use crate::NodeConfig;
use pacs_core::statement::Statement;
use statuses::Status;

/// What each service does: Service and Interoperability Description.
pub fn services(statement: &mut Statement, config: &NodeConfig) {
    let section = |statement: &mut Statement, title: &str, text: &str, answers: &[(&str, &[Status])]| {
        statement.section(2, title);
        statement.paragraph(text);
        for (request, answers) in answers {
            statuses::table(statement, request, answers);
        }
    };
    section(statement, "Verification", include_str!("text/verification.md"), &[("C-ECHO", statuses::ECHO)]);
    section(statement, "Storage", include_str!("text/storage.md"), &[("C-STORE", statuses::STORE)]);
    section(statement, "Query", include_str!("text/query.md"), &[("C-FIND", statuses::FIND)]);
    keys::of_queries(statement, config);
    section(statement, "Retrieval", include_str!("text/retrieval.md"), &[("C-MOVE and C-GET", statuses::RETRIEVE)]);
    keys::of_retrieval(statement);
    let answers = [("N-ACTION", statuses::COMMIT), ("N-EVENT-REPORT of what we asked for", statuses::HEAR)];
    section(statement, "Storage Commitment", include_str!("text/commitment.md"), &answers);
    section(statement, "Modality Worklist", include_str!("text/worklist.md"), &[("C-FIND", statuses::FIND_ITEMS)]);
    keys::of_worklist(statement);
    let answers = [("N-CREATE, N-SET and N-GET", statuses::PERFORMED)];
    section(statement, "Modality Performed Procedure Step", include_str!("text/mpps.md"), &answers);
    keys::of_performed(statement);
    let answers = [("N-CREATE, N-SET, N-GET and N-ACTION", statuses::WORKITEMS), ("C-FIND", statuses::FIND_ITEMS)];
    section(statement, "Unified Procedure Step", include_str!("text/ups.md"), &answers);
    keys::of_workitems(statement);
    section(statement, "Instance Availability Notification", include_str!("text/availability.md"), &[]);
}

/// How associations are made: Network Communication Details.
pub fn network(statement: &mut Statement, config: &NodeConfig) {
    associations::parameters(statement, config);
    associations::acceptance(statement, config);
    classes::accepted(statement, config);
    classes::negotiated(statement);
    associations::initiation(statement);
    classes::requested(statement);
    classes::transfer_syntaxes(statement, config);
}

fn yes_no(is_so: bool) -> String {
    if is_so { "yes" } else { "no" }.to_owned()
}
