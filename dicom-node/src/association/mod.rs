//! Associations as decisions, without sockets or clocks (PS3.8 §7, §9).

pub mod machine;
pub mod negotiate;
pub mod policy;
pub mod roles;
pub mod supported;
