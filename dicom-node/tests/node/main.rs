//! The node over real sockets and a real archive: our own user, foreign peers, and peers that break the rules.

// `cfg(test)` tells clippy that the helpers, which bear no `#[test]`, are tests too and may unwrap.
#[cfg(test)]
mod certificates;
#[cfg(test)]
mod foreign_peers;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod own_peer;
#[cfg(test)]
mod raw;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tls;
