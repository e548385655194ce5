//! How many connections are let in: in all and from one host, so that no host can starve the others.
//!
//! Only the counting; both wires (HTTP and DICOM) do their own accepting.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Counts what is inside. Clones count together.
#[derive(Debug, Clone)]
pub struct Admission {
    total: usize,
    per_host: usize,
    inside: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// The right to be inside; given back when dropped.
#[derive(Debug)]
pub struct Pass {
    admission: Admission,
    host: IpAddr,
}

impl Admission {
    /// At most `total` at a time, of which `per_host` from one host.
    pub fn new(total: usize, per_host: usize) -> Self {
        Self { total, per_host, inside: Arc::default() }
    }

    /// Lets a connection from `address` in, or `None` when it would be one too many.
    pub fn admit(&self, address: IpAddr) -> Option<Pass> {
        let host = host(address);
        let mut inside = self.inside();
        let of_host = inside.get(&host).copied().unwrap_or_default();
        if of_host >= self.per_host || inside.values().sum::<usize>() >= self.total {
            return None;
        }
        inside.insert(host, of_host + 1);
        Some(Pass { admission: self.clone(), host })
    }

    /// The counts are whole numbers changed in one step: a panic elsewhere leaves them sound.
    fn inside(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut inside = self.admission.inside();
        match inside.get_mut(&self.host) {
            Some(count) if *count > 1 => *count -= 1,
            _ => _ = inside.remove(&self.host),
        }
    }
}

/// What one party holds: an IPv4 address, also when written as IPv6, or an IPv6 /64 network (RFC 6177).
fn host(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_host_leaves_room_for_others_and_all_together_have_a_limit() {
        let door = Admission::new(3, 2);
        let first = door.admit(ip("10.0.0.1"));
        let _second = door.admit(ip("10.0.0.1")).unwrap();
        assert!(first.is_some() && door.admit(ip("10.0.0.1")).is_none());
        let _other = door.admit(ip("10.0.0.2")).unwrap();
        assert!(door.admit(ip("10.0.0.3")).is_none());
        drop(first);
        assert!(door.admit(ip("10.0.0.3")).is_some());
        assert!(door.admit(ip("10.0.0.1")).is_some(), "a pass that was dropped at once is free again");
    }

    #[test]
    fn a_host_is_counted_under_every_way_to_write_it() {
        let door = Admission::new(9, 1);
        let _v4 = door.admit(ip("10.0.0.1")).unwrap();
        assert!(door.admit(ip("::ffff:10.0.0.1")).is_none());
        let _v6 = door.admit(ip("2001:db8::1")).unwrap();
        assert!(door.admit(ip("2001:db8::2")).is_none() && door.admit(ip("2001:db8:0:1::1")).is_some());
    }
}
