use super::{
    scan::Scan,
    seal::{self, seal},
    *,
};
use proptest::prelude::*;
use std::{fs, path::Path, process::Command};

pub(super) fn record(part10: &[u8]) -> Record {
    let uid = |text: &str| text.parse::<Uid>().expect("a UID");
    Record {
        study: Some(uid("1")),
        series: Some(uid("1.2")),
        sop_instance: uid(&format!("1.2.{}", part10.len())),
        sop_class: uid("1.2.840.10008.5.1.4.1.1.2"),
        transfer_syntax: uid("1.2.840.10008.1.2.1"),
        values: BTreeMap::from([("00100010".into(), "Zhang^San=张^三".into())]),
        frames: None,
        byte_len: part10.len() as u64,
        data_set_offset: 300,
        digest: "d".into(),
        checksum: 7,
        received_at: 1,
        actor: "CT1".into(),
        place: "127.0.0.1".into(),
        is_copy: false,
        recompressed: None,
    }
}

fn append(pack: &OpenPack, part10: &[u8]) -> Slot {
    let record = record(part10);
    let packed = record.packed(&format!("{{\"len\":{}}}", part10.len())).expect("packed");
    let appended = pack.append(part10, &record, &packed).expect("written").expect("open");
    pack.sync(&appended).expect("synced");
    appended.slot
}

fn pack_of(folder: &Path, lengths: &[usize]) -> (OpenPack, Vec<Slot>) {
    let pack = OpenPack::create(folder, "ab/1/1.2/0123.tar".into(), false).expect("a pack");
    let slots = lengths.iter().map(|len| append(&pack, &vec![7; *len])).collect();
    (pack, slots)
}

fn kept(slot: &Slot, len: u64, order: i64) -> Kept {
    Kept { offset: slot.offset, byte_len: len, record_len: slot.record_len, order: Some(order) }
}

fn inflated(bytes: &[u8]) -> String {
    let mut text = String::new();
    GzDecoder::new(bytes).read_to_string(&mut text).expect("gzip");
    text
}

#[test]
fn a_sealed_pack_is_a_tar_with_index_and_sorted_metadata() {
    let folder = tempfile::tempdir().expect("a folder");
    let (pack, slots) = pack_of(folder.path(), &[1000, 512, 30]);
    pack.close();
    // The second was deleted; the third comes first.
    let kept = [kept(&slots[0], 1000, 9), kept(&slots[2], 30, 2)];
    let footer = seal(&pack.path, &kept).expect("sealed");
    assert!(footer.is_whole);
    let bytes = fs::read(&pack.path).expect("read");
    assert_eq!(bytes.len() as u64, footer.byte_len);
    let trailer = read_trailer(&bytes[bytes.len() - seal::TRAILER_LEN as usize..]).expect("a trailer");
    assert_eq!(trailer, footer.trailer);
    let part = |offset: u64, len: u64| &bytes[offset as usize..(offset + len) as usize];
    assert_eq!(inflated(part(trailer.metadata_offset, trailer.metadata_len)), "[{\"len\":30},\n{\"len\":1000}]");
    let index = inflated(part(trailer.index_offset, trailer.index_len));
    let index: Vec<Indexed> = index.lines().map(|line| serde_json::from_str(line).expect("a line")).collect();
    assert_eq!(index.iter().map(|i| i.metadata).collect::<Vec<_>>(), [Some(1), None, Some(0)]);
    assert!(index.iter().all(|i| part(i.offset, i.record.byte_len).iter().all(|byte| *byte == 7)));
    assert_eq!(index[0].record, record(&[7; 1000]));
    let listed = Command::new("tar").arg("-tf").arg(&pack.path).output().expect("tar");
    let listed = String::from_utf8(listed.stdout).expect("text");
    let names: Vec<_> = listed.lines().collect();
    assert_eq!(names.len(), 9);
    assert_eq!((names[0], names[8]), ("0001_1.2.1000.dcm", "trailer.json"));
}

#[test]
fn a_closed_pack_takes_nothing_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let (pack, _) = pack_of(folder.path(), &[10]);
    pack.close();
    let record = record(&[1]);
    assert!(pack.append(&[1], &record, &record.packed("{}").expect("packed")).expect("no failure").is_none());
}

#[test]
fn a_large_instance_becomes_a_pack_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut growing = Growing::create(folder.path()).expect("a file");
    let part10 = vec![3; 5000];
    growing.write(&part10).expect("written");
    let record = record(&part10);
    let packed = record.packed("{}").expect("packed");
    let (pack, slot) = growing.finish("ab/1/1.2/4567.tar".into(), &record, &packed).expect("finished");
    let scanned = scan(&mut fs::File::open(&pack.path).expect("there")).expect("a scan");
    let found = Found { offset: slot.offset, record_len: slot.record_len, record };
    assert_eq!(scanned, Scan { instances: vec![found], end: pack.size().0 });
    let bytes = fs::read(&pack.path).expect("read");
    assert_eq!(&bytes[slot.offset as usize..][..5000], part10);
}

#[test]
fn sealing_again_after_a_crash_gives_the_same_pack() {
    let folder = tempfile::tempdir().expect("a folder");
    let (pack, slots) = pack_of(folder.path(), &[100, 200]);
    let live = [kept(&slots[0], 100, 0), kept(&slots[1], 200, 0)];
    seal(&pack.path, &live).expect("sealed");
    let once = fs::read(&pack.path).expect("read");
    // Torn within the footer.
    fs::write(&pack.path, &once[..once.len() - 700]).expect("torn");
    seal(&pack.path, &live).expect("sealed");
    assert_eq!(fs::read(&pack.path).expect("read"), once);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_flipped_bit_in_the_spool_costs_no_other_instance_at_sealing(at in 0.0..1.0, bit in 0_u8..8) {
        let lengths = [700, 1, 1500, 512];
        let folder = tempfile::tempdir().expect("a folder");
        let (pack, slots) = pack_of(folder.path(), &lengths);
        let kept: Vec<_> = slots.iter().zip(lengths).map(|(slot, len)| kept(slot, len as u64, 0)).collect();
        let mut bytes = fs::read(&pack.path).expect("read");
        let at = (bytes.len() as f64 * at) as usize;
        bytes[at] ^= 1 << bit;
        fs::write(&pack.path, &bytes).expect("damaged");
        let footer = seal(&pack.path, &kept).expect("sealed");
        let sealed = fs::read(&pack.path).expect("read");
        prop_assert_eq!(&sealed[..bytes.len()], &bytes[..]);
        let trailer = footer.trailer;
        let index = inflated(&sealed[trailer.index_offset as usize..][..trailer.index_len as usize]);
        let missing = slots.len() - index.lines().count();
        prop_assert!(missing <= usize::from(!footer.is_whole));
    }

    #[test]
    fn a_torn_tail_costs_only_what_was_not_whole(lengths in prop::collection::vec(0_usize..2000, 1..6), cut in 0.0..1.0) {
        let folder = tempfile::tempdir().expect("a folder");
        let (pack, slots) = pack_of(folder.path(), &lengths);
        let whole = fs::read(&pack.path).expect("read");
        let len = (whole.len() as f64 * cut) as usize;
        fs::write(&pack.path, &whole[..len]).expect("torn");
        let found = scan(&mut fs::File::open(&pack.path).expect("there")).expect("a scan");
        let ends = slots.iter().zip(&lengths).map(|(s, l)| record_offset(s.offset, *l as u64) + s.record_len.next_multiple_of(BLOCK));
        prop_assert_eq!(found.instances.len(), ends.filter(|end| *end <= len as u64).count());
    }

    #[test]
    fn any_bytes_are_scanned_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..4000)) {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), &bytes).expect("written");
        let _ = scan(&mut fs::File::open(file.path()).expect("there"));
        let _ = read_trailer(&bytes);
        let _ = Record::unpacked(&bytes);
    }
}
