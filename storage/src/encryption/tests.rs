//! Any range reads as it was written; anything changed is refused.

use super::{
    cipher::{Algorithm, Cipher},
    *,
};
use proptest::prelude::*;
use std::{io::Read, ops::Range};

const OBJECT: &str = "1.2/1.2.3/0123456789abcdef.k1.aes256.tar";

async fn ring_of(text: &str, cipher: Cipher) -> KeyRing {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), text).expect("written");
    load_ring(Some(&format!("file:{}", file.path().display())), cipher).await.expect("a ring")
}

fn ring(cipher: Cipher) -> KeyRing {
    let text = format!("k1 {}", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=");
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(ring_of(&text, cipher))
}

fn sealed(ring: &KeyRing, plain: &[u8]) -> Vec<u8> {
    let lock = ring.lock().expect("a lock");
    let mut read = SealedRead::new(ring, lock, OBJECT, plain, plain.len() as u64).expect("a data key");
    let mut sealed = Vec::new();
    read.read_to_end(&mut sealed).expect("sealed");
    sealed
}

/// As a reader of the store does it.
fn read(ring: &KeyRing, object: &str, sealed: &[u8], range: &Range<u64>) -> Result<Vec<u8>, EncryptionError> {
    let header = &sealed[..sealed.len().min(HEADER_LEN as usize)];
    let opened = Opened::read(ring, object, header)?;
    let expected = sealed_len(opened.plain_len);
    if expected != sealed.len() as u64 {
        return Err(EncryptionError::Length { expected, actual: sealed.len() as u64 });
    }
    let place = covering(range);
    let at = |place: u64| (place as usize).min(sealed.len());
    Ok(open_frames(&opened, range, &sealed[at(place.start)..at(place.end)])?.to_vec())
}

fn plain(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at / 7 + at / 4096) as u8).collect()
}

fn ciphers() -> impl Strategy<Value = Cipher> {
    prop_oneof![Just(Cipher::Aes256Gcm), Just(Cipher::Sm4Gcm)]
}

/// Lengths around the ends of frames, and others.
fn lengths() -> impl Strategy<Value = usize> {
    let near = (0..4_usize, 0..3_usize).prop_map(|(frames, more)| (frames * FRAME as usize + more).saturating_sub(1));
    prop_oneof![near, 0..300_000_usize]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_range_reads_as_it_was_written(cipher in ciphers(), len in lengths(), a in 0..300_000_u64, b in 0..300_000_u64) {
        let (ring, plain) = (ring(cipher), plain(len));
        let sealed = sealed(&ring, &plain);
        prop_assert_eq!(sealed.len() as u64, sealed_len(len as u64));
        let range = a.min(b)..a.max(b);
        let expected = &plain[(range.start as usize).min(len)..(range.end as usize).min(len)];
        prop_assert_eq!(read(&ring, OBJECT, &sealed, &range).expect("read"), expected);
    }

    #[test]
    fn any_flipped_bit_is_refused(cipher in ciphers(), len in 1..200_000_usize, at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let ring = ring(cipher);
        let mut sealed = sealed(&ring, &plain(len));
        let at = at.index(sealed.len());
        sealed[at] ^= 1 << bit;
        prop_assert!(read(&ring, OBJECT, &sealed, &(0..len as u64)).is_err());
    }

    #[test]
    fn any_header_is_read_without_panic(header in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Opened::read(&ring(Cipher::Aes256Gcm), OBJECT, &header).is_err());
    }
}

#[test]
fn every_bit_of_a_header_counts() {
    let ring = ring(Cipher::Aes256Gcm);
    let sealed = sealed(&ring, b"plain");
    for at in 0..HEADER_LEN as usize {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert!(read(&ring, OBJECT, &changed, &(0..5)).is_err(), "byte {at}");
    }
}

#[test]
fn frames_do_not_change_places_and_objects_do_not_stand_in_for_each_other() {
    let ring = ring(Cipher::Aes256Gcm);
    let (plain, whole) = (plain(3 * FRAME as usize), 0..3 * FRAME);
    let good = sealed(&ring, &plain);
    let elsewhere = read(&ring, "1.2/1.2.3/fedcba9876543210.k1.aes256.tar", &good, &whole);
    assert_eq!(elsewhere, Err(EncryptionError::WrongKey("k1".into())));
    let frame = FRAME as usize + 16;
    let (header, body) = good.split_at(HEADER_LEN as usize);
    let swapped = [header, &body[frame..2 * frame], &body[..frame], &body[2 * frame..]].concat();
    assert_eq!(read(&ring, OBJECT, &swapped, &whole), Err(EncryptionError::Frame(0)));
    let spliced = [header, &sealed(&ring, &plain)[HEADER_LEN as usize..]].concat();
    assert_eq!(read(&ring, OBJECT, &spliced, &whole), Err(EncryptionError::Frame(0)));
    let cut = &good[..good.len() - frame];
    assert!(matches!(read(&ring, OBJECT, cut, &whole), Err(EncryptionError::Length { .. })));
    let opened = Opened::read(&ring, OBJECT, header).expect("a data key");
    assert_eq!(open_frames(&opened, &whole, &body[..2 * frame + 9]), Err(EncryptionError::Frame(2)));
}

#[test]
fn a_reader_that_ends_early_makes_no_whole_object() {
    let ring = ring(Cipher::Aes256Gcm);
    let lock = ring.lock().expect("a lock");
    let mut read = SealedRead::new(&ring, lock, OBJECT, &b"short"[..], 6).expect("a data key");
    assert!(read.read_to_end(&mut Vec::new()).is_err());
}

#[test]
fn a_lock_is_read_from_the_name_of_an_object() {
    let lock = |key_id: &str, algorithm| Some(Lock { key_id: key_id.into(), algorithm });
    assert_eq!(Lock::of(OBJECT), lock("k1", Algorithm::Aes256Gcm));
    assert_eq!(Lock::of("a/b.2026-01.sm4.tar"), lock("2026-01", Algorithm::Sm4Gcm));
    assert_eq!(lock("2026-01", Algorithm::Sm4Gcm).expect("a lock").to_string(), "2026-01.sm4");
    for plain in ["a/0123456789abcdef.tar", "a.k1.aes256/b.tar", "a/b.sm4.tar", "a/b.k1.rot13.tar", "", "tar"] {
        assert_eq!(Lock::of(plain), None, "{plain}");
    }
}

#[tokio::test]
async fn the_first_key_is_for_new_packs_and_all_are_for_reading() {
    let (old, new) = (new_key_line("k0").expect("a key"), new_key_line("k1").expect("a key"));
    let before = ring_of(&old, Cipher::Aes256Gcm).await;
    let after = ring_of(&format!("# rotated\n{new}\n{old}\n"), Cipher::Sm4Gcm).await;
    assert_eq!(after.lock().map(Lock::to_string).as_deref(), Some("k1.sm4"));
    let written = sealed(&before, b"plain");
    assert_eq!(read(&after, OBJECT, &written, &(0..5)).expect("read"), b"plain");
    let without = ring_of(&new, Cipher::Plain).await;
    assert_eq!(without.lock(), None);
    assert_eq!(read(&without, OBJECT, &written, &(0..5)), Err(EncryptionError::NoKey("k0".into())));
    let other = ring_of(&new_key_line("k0").expect("a key"), Cipher::Aes256Gcm).await;
    assert_eq!(read(&other, OBJECT, &written, &(0..5)), Err(EncryptionError::WrongKey("k0".into())));
}

#[tokio::test]
async fn keys_come_from_a_file_a_variable_or_a_command_and_errors_tell_no_secret() {
    let line = new_key_line("k1").expect("a key");
    let command = format!("command:printf '%s' '{line}'");
    assert!(load_ring(Some(&command), Cipher::Aes256Gcm).await.is_ok());
    for source in ["command:exit 3", "file:/nowhere", "env:YINGHAI_NO_SUCH_VARIABLE", "vault", "command:true"] {
        let error = load_ring(Some(source), Cipher::Aes256Gcm).await.err().expect("an error").to_string();
        assert!(error.starts_with("configuration: storage.keys: "), "{error}");
    }
    for ring in ["k1 c2hvcnQ=", "K1 secretsecret", "k1", &format!("{line},{line}")] {
        let error = load_ring(Some(&format!("command:echo '{ring}'")), Cipher::Aes256Gcm).await.err();
        let error = error.expect("an error").to_string();
        assert!(!error.contains("secretsecret") && !error.contains("c2hvcnQ"), "{error}");
    }
}
