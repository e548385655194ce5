//! Identifiers that a second delivery repeats, so that the receiver can tell it from a new result.

use sha2::{Digest, Sha256};

/// Upper-case letters and digits without those that people mix up (RFC 4648 alphabet).
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Message Control ID (MSH-10): 20 characters, the longest HL7 v2.5.1 allows, made of route and SOP Instance UID.
pub fn control_id(route: &str, sop_instance: &str) -> String {
    let digest = digest(&["control id", route, sop_instance]);
    digest.iter().take(20).map(|byte| char::from(BASE32[usize::from(byte & 31)])).collect()
}

/// A UUID made of `parts` (RFC 9562 version 8): the id of a FHIR resource.
pub fn uuid(parts: &[&str]) -> String {
    let digest = digest(parts);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    let number = u128::from_be_bytes(bytes) & !(0xF << 76) & !(0b11 << 62) | 0x8 << 76 | 0b10 << 62;
    let hex = format!("{number:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn digest(parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        // The length keeps ("ab", "c") and ("a", "bc") apart.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_result_on_the_same_route_has_the_same_control_id() {
        let id = control_id("hl7:emr", "1.2.3");
        assert_eq!(id, control_id("hl7:emr", "1.2.3"));
        assert_ne!(id, control_id("hl7:his", "1.2.3"));
        assert_ne!(id, control_id("hl7:emr", "1.2.4"));
        assert_eq!(id.len(), 20);
    }

    #[test]
    fn a_resource_id_is_a_uuid_of_version_8() {
        let id = uuid(&["Observation", "2.25.1"]);
        assert_eq!(id.len(), 36);
        assert_eq!(id.as_bytes()[14], b'8');
        assert!(b"89ab".contains(&id.as_bytes()[19]));
        assert_ne!(uuid(&["ab", "c"]), uuid(&["a", "bc"]));
    }
}
