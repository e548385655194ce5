//! What independent decoders make of the corpus' frames when they are encoded here: tests/peers/transcoding.py.

use super::corpus::corpus;
use pacs_core::pixel::{Lossless, Lossy, Target};
use pacs_core::transcode::{Wanted, write_encoded};
use pacs_core::{TransferSyntax, native::write_native, part10};
use std::fs::File;
use std::io::{BufReader, Cursor, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Files whose native form is larger take too long.
const LARGEST: u64 = 12 << 20;
const DERIVED: &str = "2.25.1";

fn python() -> Option<PathBuf> {
    let folder = std::env::var_os("YINGHAI_PEERS").map(PathBuf::from);
    let cache = std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache/yinghai/peers"));
    let python = folder.or(cache)?.join("bin/python");
    let there = python.exists();
    if !there {
        eprintln!("skipped: no Python peers; scripts/test installs them");
    }
    there.then_some(python)
}

/// What is written, and by how much a sample may change: at most, and on average; below 1 of its range.
fn targets() -> Vec<(Target, &'static str)> {
    let lossless = Lossless::ALL.into_iter().map(|one| (one.into(), ""));
    let lossy = [
        (Lossy::JpegLs { near: 3 }, "~3~0"),
        (Lossy::Jpeg { quality: 90 }, "~255~12"),
        (Lossy::HtJpeg2000 { quality: 100 }, "~0.03~0.008"),
    ];
    lossless.chain(lossy.map(|(one, apart)| (one.into(), apart))).collect()
}

/// Writes the native file and one for each target; how many targets could be written.
fn write_case(path: &Path, folder: &Path) -> Result<usize, Box<dyn std::error::Error>> {
    let mut source = BufReader::new(File::open(path)?);
    let meta = part10::read_meta(&mut source)?;
    let (stored, start) = (meta.transfer_syntax, meta.data_set_offset);
    let mut head = vec![0; start as usize];
    File::open(path)?.read_exact(&mut head)?;
    let headed =
        |syntax: &TransferSyntax| part10::with_transfer_syntax(&head, syntax).ok_or("no File Meta Information");
    let explicit = TransferSyntax::explicit_little();
    let mut native = headed(&explicit)?;
    write_native(&mut source, &stored, start, |_| {}, &explicit, &mut native)?;
    if native.len() as u64 > LARGEST {
        return Ok(0);
    }
    let mut written = 0;
    for (index, (target, apart)) in targets().into_iter().enumerate() {
        let mut out = Cursor::new(headed(&target.transfer_syntax())?);
        out.set_position(out.get_ref().len() as u64);
        let uid = DERIVED.parse()?;
        let wanted = match target {
            Target::Lossless(one) => Wanted::Same(one),
            Target::Lossy(one) => Wanted::Derived(one, &uid),
        };
        if write_encoded(&mut source, &stored, start, |_| {}, wanted, &mut out).is_ok() {
            std::fs::create_dir_all(folder)?;
            std::fs::write(folder.join(format!("{index}-{}{apart}.dcm", target.transfer_syntax())), out.into_inner())?;
            written += 1;
        }
    }
    if written > 0 {
        File::create(folder.join("native.dcm"))?.write_all(&native)?;
    }
    Ok(written)
}

/// Paths of the manifest's images, of a series one.
fn images(data: &Path) -> Vec<PathBuf> {
    let manifest = std::fs::read_to_string(data.join("MANIFEST.tsv")).expect("a manifest");
    let mut lines = manifest.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let names = lines.next().expect("names");
    let column = |name: &str| names.iter().position(|other| *other == name).expect("a column");
    let (path, pixels) = (column("path"), column("pixel_sha256"));
    let mut paths: Vec<_> = lines
        .filter(|row| row.get(pixels).is_some_and(|hash| !hash.is_empty()))
        .map(|row| data.join(row[path]))
        .collect();
    paths.retain(|path| !path.starts_with(data.join("malformed")) && !path.starts_with(data.join("charset")));
    paths.dedup_by_key(|path| {
        path.parent().filter(|folder| folder.to_string_lossy().contains("LIDC")).map_or(path.clone(), Path::to_owned)
    });
    paths
}

#[test]
fn independent_decoders_find_the_same_pixels_in_what_is_encoded_here() {
    let (Some(data), Some(python)) = (corpus(), python()) else { return };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("transcoded");
    let _ = std::fs::remove_dir_all(&folder);
    let mut written = 0;
    for (index, path) in images(&data).into_iter().enumerate() {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        match write_case(&path, &folder.join(format!("{index:03}-{name}"))) {
            Ok(count) => written += count,
            Err(error) => println!("{}: {error}", path.display()),
        }
    }
    assert!(written > 500, "only {written} files could be written");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/peers/transcoding.py");
    let told = Command::new(python).arg(script).arg(&folder).output().expect("python starts");
    let text = String::from_utf8_lossy(&told.stdout).into_owned() + &String::from_utf8_lossy(&told.stderr);
    assert!(told.status.success() && text.lines().count() == 1 && text.starts_with("compared: "), "{text}");
    println!("{written} files, {text}");
}
