//! What the measurements share.

use anyhow::Context;
use pacs_core::Tag;
use std::fs;

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

/// Seconds of processor time that a process has taken so far.
pub fn processor_seconds(process: u32) -> anyhow::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).context("no processor time");
    // utime and stime, in ticks of 10 ms.
    Ok((ticks(11)? + ticks(12)?) / 100.0)
}
