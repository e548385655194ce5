//! The router as a client sees it, over a real archive.

#[cfg(test)]
mod access;
#[cfg(test)]
mod apps;
#[cfg(test)]
mod capabilities;
#[cfg(test)]
mod compose;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod forms;
#[cfg(test)]
mod non_patient;
#[cfg(test)]
mod peers;
#[cfg(test)]
mod search;
#[cfg(test)]
mod services;
#[cfg(test)]
mod support;
#[cfg(test)]
mod worklist;
