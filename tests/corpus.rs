//! Every valid file of the shared corpus goes in, is listed, and comes back as it was: data set byte for byte, frames as
//! the manifest's expected pixels, which other people's decoders gave.

use scenarios::{Server, client, output, program, shared, text_of};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::{collections::HashMap, fs, path::Path, process::Command};

/// One line of MANIFEST.tsv.
struct Entry {
    path: String,
    fields: HashMap<String, String>,
}

impl Entry {
    fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    /// A Part 10 file that a reader opens without force, and that is an instance (a DICOMDIR is none).
    fn is_instance(&self) -> bool {
        self.field("opens_with_pydicom") == "yes"
            && !self.path.contains("DICOMDIR")
            && !self.path.starts_with("malformed/")
    }
}

fn manifest(folder: &Path) -> Vec<Entry> {
    let text = fs::read_to_string(folder.join("MANIFEST.tsv")).expect("the manifest");
    let mut lines = text.lines();
    let names: Vec<_> = lines.next().expect("a header").split('\t').map(str::to_owned).collect();
    lines
        .map(|line| {
            let fields: HashMap<_, _> = names.iter().cloned().zip(line.split('\t').map(str::to_owned)).collect();
            Entry { path: fields["path"].clone(), fields }
        })
        .collect()
}

#[test]
fn every_valid_file_comes_back_as_it_was() {
    let Some(folder) = shared("data") else { return };
    let server = Server::start(&["--set", "ai.enabled=false", "--set", "dicom.accept_unknown_sop_classes=true"]);
    let lossy: Value =
        serde_json::from_slice(&fs::read(folder.join("expected_lossy.json")).expect("read")).expect("JSON");
    let entries: Vec<_> = manifest(&folder).into_iter().filter(Entry::is_instance).collect();
    assert!(entries.len() > 600, "{} instances", entries.len());
    let mut faults = Vec::new();
    for entry in &entries {
        let file = fs::read(folder.join(&entry.path)).expect("read");
        if let Err(fault) = round_trip(&server, entry, &file, &lossy[&entry.path]) {
            faults.push(format!("{}: {fault}", entry.path));
        }
    }
    assert!(faults.is_empty(), "{} of {} files:\n{}", faults.len(), entries.len(), faults.join("\n"));
}

/// Some test images name no study or series, one has a UID of 68 characters: there is nowhere to file them. Palettes and
/// hanging protocols need none.
fn can_be_filed(entry: &Entry) -> bool {
    let (Some(dcmdump), Some(path)) = (program("dcmdump"), shared(&format!("data/{}", entry.path))) else {
        return true;
    };
    let mut dump = Command::new(dcmdump);
    dump.args(["+P", "StudyInstanceUID", "+P", "SeriesInstanceUID", "+P", "SOPInstanceUID", "+P", "SOPClassUID", "-s"])
        .arg(path);
    let dump = text_of(&output(&mut dump));
    if ["ColorPaletteStorage", "HangingProtocolStorage"].iter().any(|class| dump.contains(class)) {
        return true;
    }
    let uids = dump.lines().filter(|line| line.contains(" UI ") && !line.contains("no value"));
    let in_brackets = |line: &str| line.split(['[', ']']).nth(1).map_or(0, str::len);
    uids.filter(|line| in_brackets(line) <= 64).count() >= 4
}

/// In by STOW-RS, out by WADO-RS. Several files of the corpus share a SOP Instance UID: the Retrieve URL names the version.
fn round_trip(server: &Server, entry: &Entry, file: &[u8], lossy: &Value) -> Result<(), String> {
    let stored = client()
        .post(server.url("/dicom-web/studies"))
        .bearer_auth(&server.token)
        .header("content-type", "application/dicom")
        .header("accept", "application/dicom+json")
        .body(file.to_vec())
        .send()
        .map_err(|e| e.to_string())?;
    if stored.status() == 409 && !can_be_filed(entry) {
        return Ok(());
    }
    if stored.status() != 200 {
        return Err(format!("stored with {}: {}", stored.status(), stored.text().unwrap_or_default()));
    }
    let answer: Value = stored.json().map_err(|e| e.to_string())?;
    let url = answer["00081199"]["Value"][0]["00081190"]["Value"][0].as_str().ok_or("no Retrieve URL")?.to_owned();
    let path = &url[url.find("/dicom-web").ok_or("odd Retrieve URL")?..];
    compare(server, entry, file, path, lossy)
}

/// `url` may end in `?version=N`, which goes behind what is asked of the instance.
fn compare(server: &Server, entry: &Entry, file: &[u8], url: &str, lossy: &Value) -> Result<(), String> {
    let (path, version) = url.split_at(url.find('?').unwrap_or(url.len()));
    // An object of no patient is its own metadata (PS3.18 §12.4).
    let metadata = if path.contains("/studies/") { "/metadata" } else { "" };
    let listed = server.get(&format!("{path}{metadata}{version}"));
    if listed.as_array().is_none_or(|l| l.len() != 1) {
        return Err("is not listed".to_owned());
    }
    let back = server.request(url, "application/dicom; transfer-syntax=*").bytes().map_err(|e| e.to_string())?;
    if back != file {
        return Err(format!("came back with {} bytes, {} went in", back.len(), file.len()));
    }
    if entry.field("pixel_sha256").is_empty() || is_native_ybr(entry) || is_big_endian(entry) {
        return Ok(());
    }
    let frames: u32 = entry.field("frames").parse().unwrap_or(1);
    let mut pixels = Vec::new();
    for frame in 1..=frames {
        let response = server.request(&format!("{path}/frames/{frame}{version}"), "application/octet-stream");
        if !response.status().is_success() {
            return Err(format!("frame {frame}: {} {}", response.status(), response.text().unwrap_or_default()));
        }
        pixels.extend(response.bytes().map_err(|e| e.to_string())?);
    }
    match entry.field("match") {
        // Native frames leave as they are stored: colour by plane, overlays in unused bits and all.
        "exact" if is_native(entry) => exact(entry, &pixels).or_else(|fault| as_stored(file, &pixels).ok_or(fault)),
        "exact" => exact(entry, &pixels),
        _ => near(&pixels, lossy),
    }
}

/// Swapped to little endian, but colour by plane and padding stay; pacs-core's corpus test decodes these.
fn is_big_endian(entry: &Entry) -> bool {
    entry.field("transfer_syntax") == "1.2.840.10008.1.2.2"
}

/// Native YBR stays YBR in its frames; the corpus test of pacs-core holds its conversion to the manifest.
fn is_native_ybr(entry: &Entry) -> bool {
    entry.field("photometric").starts_with("YBR") && entry.field("transfer_syntax").starts_with("1.2.840.10008.1.2.1")
}

fn is_native(entry: &Entry) -> bool {
    ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"].contains(&entry.field("transfer_syntax"))
}

fn as_stored(file: &[u8], pixels: &[u8]) -> Option<()> {
    file.windows(pixels.len()).any(|part| part == pixels).then_some(())
}

fn exact(entry: &Entry, pixels: &[u8]) -> Result<(), String> {
    let one_bit = entry.field("bits_alloc_stored_signed").starts_with("1/");
    let count = ["rows", "columns", "frames"].map(|n| entry.field(n).parse::<usize>().unwrap_or(1));
    let unpacked = if one_bit { unpack(pixels, count) } else { pixels.to_vec() };
    let hash = Sha256::digest(&unpacked).iter().map(|b| format!("{b:02x}")).collect::<String>();
    if hash == entry.field("pixel_sha256") { Ok(()) } else { Err(format!("{} bytes with other pixels", pixels.len())) }
}

/// 1-bit frames, each starting at a byte of its own, to one byte a pixel.
fn unpack(packed: &[u8], [rows, columns, frames]: [usize; 3]) -> Vec<u8> {
    let pixels = rows * columns;
    if packed.len() == pixels * frames {
        return packed.to_vec();
    }
    packed
        .chunks(pixels.div_ceil(8))
        .flat_map(|frame| (0..pixels).map(|i| frame.get(i / 8).map_or(0, |byte| byte >> (i % 8) & 1)))
        .collect()
}

/// Lossy frames: sample points `[frame, row, column, value…]`, each within the tolerance.
fn near(pixels: &[u8], lossy: &Value) -> Result<(), String> {
    let shape: Vec<usize> = numbers(&lossy["shape"]).iter().map(|n| *n as usize).collect();
    let tolerance = lossy["tolerance"].as_f64().ok_or("no tolerance")?;
    let (frames, rows, columns) = match shape[..] {
        [frames, rows, columns] | [frames, rows, columns, _] => (frames, rows, columns),
        _ => return Err("odd shape".to_owned()),
    };
    let samples = shape.get(3).copied().unwrap_or(1);
    let width = pixels.len() / (frames * rows * columns * samples).max(1);
    let signed = lossy["min"].as_f64().is_some_and(|m| m < 0.0);
    for point in lossy["points"].as_array().ok_or("no points")? {
        let point = numbers(point);
        let at = ((point[0] as usize * rows + point[1] as usize) * columns + point[2] as usize) * samples;
        for (sample, expected) in point[3..].iter().enumerate() {
            let bytes = pixels.get((at + sample) * width..(at + sample + 1) * width).ok_or("too few pixels")?;
            let value = match (bytes, signed) {
                ([low], _) => f64::from(*low),
                ([low, high], true) => f64::from(i16::from_le_bytes([*low, *high])),
                ([low, high], false) => f64::from(u16::from_le_bytes([*low, *high])),
                _ => return Err(format!("{width} bytes a sample")),
            };
            if (value - expected).abs() > tolerance {
                return Err(format!("{value} at {point:?}, tolerance {tolerance}"));
            }
        }
    }
    Ok(())
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().map(|a| a.iter().filter_map(Value::as_f64).collect()).unwrap_or_default()
}

#[test]
fn dcmsend_sends_series_and_names_in_their_own_syntaxes() {
    let (Some(folder), Some(dcmsend)) = (shared("data"), program("dcmsend")) else { return };
    let server = Server::start(&["--set", "ai.enabled=false"]);
    for part in ["conformance/series", "presentation"] {
        let mut send = Command::new(&dcmsend);
        send.args([
            "-v",
            "-aec",
            "YINGHAI",
            "+sd",
            "+r",
            "+sp",
            "*.dcm",
            "-nh",
            "127.0.0.1",
            &server.dicom.to_string(),
        ]);
        let text = text_of(&output(send.arg(folder.join(part))));
        let answers = text.lines().filter(|line| line.contains("Received C-STORE Response"));
        let (well, badly): (Vec<_>, Vec<_>) = answers.partition(|line| line.contains("(Success)"));
        assert!(!well.is_empty() && badly.is_empty(), "{part}: {badly:#?}\n{text}");
    }
}

#[test]
fn malformed_files_are_refused_or_kept_and_the_server_lives() {
    let Some(folder) = shared("data/malformed/synthetic") else { return };
    let server = Server::start(&["--set", "ai.enabled=false"]);
    let expected: Value =
        serde_json::from_slice(&fs::read(folder.join("EXPECTED_malformed.json")).expect("read")).expect("JSON");
    let mut faults = Vec::new();
    for (name, rule) in expected.as_object().expect("an object") {
        let Ok(file) = fs::read(folder.join(name)) else { continue };
        let request = client().post(server.url("/dicom-web/studies")).bearer_auth(&server.token);
        let status = request.header("content-type", "application/dicom").body(file).send().map(|r| r.status().as_u16());
        let status = status.unwrap_or_default();
        let sound = match rule["must"].as_str() {
            Some("reject") => (400..500).contains(&status),
            Some("accept") => status == 200,
            _ => (200..500).contains(&status),
        };
        if !sound {
            faults.push(format!("{name}: {status}, must {}", rule["must"]));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(server.request("/readyz", "*/*").status().is_success());
}
