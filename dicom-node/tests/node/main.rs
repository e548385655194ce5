//! The node over real sockets and a real archive: our own user, foreign peers, and peers that break the rules.

mod foreign_peers;
mod hostile;
mod own_peer;
mod raw;
mod support;
