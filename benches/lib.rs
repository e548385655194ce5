//! What the measurements share.
//!
//! | module | what |
//! |---|---|
//! | [`subject`] | the servers that are measured |
//! | [`requestor`] | a DICOM client with several operations under way |

pub mod requestor;
pub mod subject;

pub use requestor::{Instance, Requestor};
pub use subject::{NO_DELAY, Subject};

use anyhow::Context;
use pacs_core::Tag;
use pacs_server::phantom::Phantom;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A synthetic chest CT of another patient for each seed.
pub fn phantom(seed: u64, slices: u16) -> Phantom {
    let first = Phantom::demonstration().remove(0);
    Phantom { seed, slices, patient_id: format!("BENCH{seed}"), ..first }
}

/// The files of a phantom in a folder.
pub fn series(folder: &Path, seed: u64, slices: u16) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    phantom(seed, slices).slices(|index, file| Ok(fs::write(folder.join(format!("{index:04}.dcm")), file)?))?;
    Ok(folder.to_owned())
}

/// Appends an element in Explicit VR Little Endian with a short length (PS3.5 §7.1.2), padded to even.
pub fn element(file: &mut Vec<u8>, tag: Tag, vr: &str, value: &[u8]) {
    let pad = if vr == "UI" { 0 } else { b' ' };
    let padded = value.len().next_multiple_of(2);
    file.extend([tag.0.to_le_bytes(), tag.1.to_le_bytes()].concat());
    file.extend(vr.as_bytes());
    file.extend((padded as u16).to_le_bytes());
    file.extend(value);
    file.resize(file.len() + padded - value.len(), pad);
}

/// Seconds of processor time that a process, and those of its children that have ended, have taken so far.
pub fn processor_seconds(process: u32) -> anyhow::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).context("no processor time");
    // utime and stime, and the same of children, in ticks of 10 ms.
    Ok((ticks(11)? + ticks(12)? + ticks(13)? + ticks(14)?) / 100.0)
}
