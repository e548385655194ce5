//! `pacs import`: files, folders, ZIP archives and DICOMDIRs.

use crate::config::Config;
use anyhow::Context;
use futures::{StreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use pacs_core::{data_set, part10, tags};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};
use storage::{Archive, ArchiveError, Expected, Ingested, Origin, Outcome};
use tokio::runtime::Handle;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Files, folders (with all below them), ZIP archives or DICOMDIR files
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

/// Files taken in side by side; the archive commits them in groups.
const SIDE_BY_SIDE: usize = 8;
const CHUNK: usize = 256 << 10;
/// How often packs that are full or quiet are looked for.
const SEAL_EVERY: Duration = Duration::from_secs(1);
/// SOP Class of a DICOMDIR (PS3.4 Annex I): an index of a medium, not an instance to keep.
const MEDIA_STORAGE_DIRECTORY: &str = "1.2.840.10008.1.3.10";

/// A file to take in.
#[derive(Debug, Clone, PartialEq)]
enum Source {
    File {
        path: PathBuf,
        named: bool,
    },
    Zip(PathBuf),
    /// Found in a folder. Not followed: it may lead in circles or out of what was meant.
    Link(PathBuf),
    /// A folder that cannot be looked into.
    Unreadable {
        name: String,
        reason: String,
    },
}

/// What became of the files.
#[derive(Debug, Default)]
struct Summary {
    stored: usize,
    versions: usize,
    identical: usize,
    not_dicom: usize,
    directories: usize,
    links: usize,
    /// Reason → files.
    rejected: BTreeMap<String, Vec<String>>,
}

enum Fate {
    Ingested(Outcome),
    NotDicom,
    Directory,
    Link,
    Rejected(String),
}

/// Exit code 0 if every DICOM file is now in the archive, 1 if any was rejected.
pub async fn run(config: &Config, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let archive = super::open(config).await?;
    let sources = collect(&arguments.paths)?;
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} files  {per_sec}  {wide_msg}")?;
    let bar = ProgressBar::new(sources.len() as u64).with_style(style);
    let mut summary = Summary::default();
    let mut fates = stream::iter(sources)
        .map(|source| {
            let archive = archive.clone();
            tokio::task::spawn_blocking(move || take_in(&archive, &source))
        })
        .buffer_unordered(SIDE_BY_SIDE);
    // Packs leave the spool while more comes: it need not hold all that is imported.
    let sealing = tokio::spawn(seal_as_they_fill(archive.clone()));
    while let Some(done) = fates.next().await {
        for (name, fate) in done.context("an import task failed")? {
            summary.add(name, fate);
        }
        bar.inc(1);
        bar.set_message(format!("{} stored, {} rejected", summary.stored, summary.rejected_files()));
    }
    bar.finish_and_clear();
    sealing.abort();
    archive.close().await;
    print!("{}", summary.text());
    Ok(if summary.rejected.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

async fn seal_as_they_fill(archive: Archive) {
    loop {
        tokio::time::sleep(SEAL_EVERY).await;
        archive.seal_quiet_packs().await;
    }
}

impl Summary {
    fn add(&mut self, name: String, fate: Fate) {
        match fate {
            Fate::Ingested(Outcome::Stored) => self.stored += 1,
            Fate::Ingested(Outcome::Version(_)) => self.versions += 1,
            Fate::Ingested(Outcome::Identical(_)) => self.identical += 1,
            Fate::Ingested(Outcome::Rejected) => {
                let reason =
                    "another object with the same SOP Instance UID is already held, and the configuration keeps one";
                self.rejected.entry(reason.to_owned()).or_default().push(name);
            }
            Fate::NotDicom => self.not_dicom += 1,
            Fate::Directory => self.directories += 1,
            Fate::Link => self.links += 1,
            Fate::Rejected(reason) => self.rejected.entry(reason).or_default().push(name),
        }
    }

    fn rejected_files(&self) -> usize {
        self.rejected.values().map(Vec::len).sum()
    }

    fn text(&self) -> String {
        let mut text = format!(
            "stored     {}\nduplicate  {}\nrejected   {}\n",
            self.stored + self.versions,
            self.identical,
            self.rejected_files()
        );
        if self.versions > 0 {
            text.push_str(&format!("of the stored, {} are a further version of what was held\n", self.versions));
        }
        for (reason, files) in &self.rejected {
            text.push_str(&format!("  {reason}\n"));
            files.iter().take(5).for_each(|file| text.push_str(&format!("    {file}\n")));
            if files.len() > 5 {
                text.push_str(&format!("    and {} more\n", files.len() - 5));
            }
        }
        if self.not_dicom > 0 {
            text.push_str(&format!("skipped    {} files that are not DICOM\n", self.not_dicom));
        }
        if self.directories > 0 {
            text.push_str(&format!("skipped    {} DICOMDIR indexes\n", self.directories));
        }
        if self.links > 0 {
            text.push_str(&format!("skipped    {} symbolic links; name their targets to take those in\n", self.links));
        }
        text
    }
}

/// Every file below the paths. A named DICOMDIR stands for the files that it lists.
fn collect(paths: &[PathBuf]) -> anyhow::Result<Vec<Source>> {
    let mut sources = Vec::new();
    for path in paths {
        let kind = std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
        if kind.is_dir() {
            sources.extend(walkdir::WalkDir::new(path).sort_by_file_name().into_iter().filter_map(found));
        } else if path.file_name().is_some_and(|name| name.eq_ignore_ascii_case("DICOMDIR")) {
            sources.extend(listed_in(path)?.into_iter().map(|path| Source::File { path, named: true }));
        } else {
            sources.push(source(path.clone(), true));
        }
    }
    Ok(sources)
}

/// What a folder holds, as far as it is to be taken in or told of; folders themselves, sockets and pipes are neither.
fn found(entry: walkdir::Result<walkdir::DirEntry>) -> Option<Source> {
    match entry {
        Ok(entry) if entry.file_type().is_file() => Some(source(entry.into_path(), false)),
        Ok(entry) if entry.file_type().is_symlink() => Some(Source::Link(entry.into_path())),
        Ok(_) => None,
        Err(error) => {
            let name = error.path().map(|path| path.display().to_string()).unwrap_or_default();
            let reason = error.io_error().map_or_else(|| error.to_string(), ToString::to_string);
            Some(Source::Unreadable { name, reason })
        }
    }
}

fn source(path: PathBuf, named: bool) -> Source {
    let zip = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("zip"));
    if zip { Source::Zip(path) } else { Source::File { path, named } }
}

/// Files of a DICOMDIR's records (PS3.3 F.3.2.2): components of Referenced File ID below the DICOMDIR's folder.
fn listed_in(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut reader = BufReader::new(file);
    let unreadable = || format!("{} is not a readable DICOMDIR", path.display());
    let meta = part10::read_meta(&mut reader).with_context(unreadable)?;
    let directory = data_set::scan(&mut reader, &meta.transfer_syntax, Default::default()).with_context(unreadable)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let files = directory.items(tags::DIRECTORY_RECORD_SEQUENCE).iter().filter_map(|record| {
        let components = record.texts(tags::REFERENCED_FILE_ID);
        // A component that climbs out of the medium is hostile.
        let sound =
            !components.is_empty() && components.iter().all(|c| !c.is_empty() && !c.contains(['/', '\\']) && c != "..");
        sound.then(|| components.iter().fold(folder.to_path_buf(), |path, component| path.join(component)))
    });
    Ok(files.collect())
}

/// Blocking: reads the file or archive and feeds the archive.
fn take_in(archive: &Archive, source: &Source) -> Vec<(String, Fate)> {
    match source {
        Source::File { path, named } => {
            let name = path.display().to_string();
            let fate =
                File::open(path).map_err(|e| e.to_string()).and_then(|file| take_in_file(archive, &name, file, *named));
            vec![(name, fate.unwrap_or_else(Fate::Rejected))]
        }
        Source::Zip(path) => take_in_zip(archive, path),
        Source::Link(path) => vec![(path.display().to_string(), Fate::Link)],
        Source::Unreadable { name, reason } => vec![(name.clone(), Fate::Rejected(reason.clone()))],
    }
}

fn take_in_file(archive: &Archive, name: &str, file: File, named: bool) -> Result<Fate, String> {
    let mut reader = BufReader::with_capacity(CHUNK, file);
    let head = head(&mut reader).map_err(|e| e.to_string())?;
    reader.seek(SeekFrom::Start(0)).map_err(|e| e.to_string())?;
    Ok(fate(archive, name, reader, &head, named))
}

fn take_in_zip(archive: &Archive, path: &Path) -> Vec<(String, Fate)> {
    let opened =
        File::open(path).map_err(zip::result::ZipError::from).and_then(|f| zip::ZipArchive::new(BufReader::new(f)));
    let mut zip = match opened {
        Ok(zip) => zip,
        Err(error) => return vec![(path.display().to_string(), Fate::Rejected(format!("ZIP archive: {error}")))],
    };
    let mut fates = Vec::new();
    for index in 0..zip.len() {
        let mut entry = match zip.by_index(index) {
            Ok(entry) if entry.is_dir() => continue,
            Ok(entry) => entry,
            Err(error) => {
                fates.push((
                    format!("{} entry {index}", path.display()),
                    Fate::Rejected(format!("ZIP archive: {error}")),
                ));
                continue;
            }
        };
        let inside = entry.name().map_or_else(|_| format!("entry {index}"), |name| name.into_owned());
        let name = format!("{}/{inside}", path.display());
        let fate = match head(&mut entry) {
            Ok(head) => fate(archive, &name, head.as_slice().chain(entry), &head, false),
            Err(error) => Fate::Rejected(format!("ZIP archive: {error}")),
        };
        fates.push((name, fate));
    }
    fates
}

/// Preamble, prefix and the beginning of the meta information.
fn head(reader: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    reader.take(512).read_to_end(&mut head)?;
    Ok(head)
}

fn fate(archive: &Archive, name: &str, reader: impl Read, head: &[u8], named: bool) -> Fate {
    let prefixed = head.get(128..132) == Some(b"DICM");
    let directory =
        prefixed && head.windows(MEDIA_STORAGE_DIRECTORY.len()).any(|w| w == MEDIA_STORAGE_DIRECTORY.as_bytes());
    if directory {
        return Fate::Directory;
    }
    match Handle::current().block_on(ingest(archive, name, reader)) {
        Ok(ingested) => Fate::Ingested(ingested.outcome),
        // Only what was met while walking a folder may be something else without being an error.
        Err(ArchiveError::Scan(_) | ArchiveError::Instance(_)) if !prefixed && !named => Fate::NotDicom,
        Err(error) => Fate::Rejected(format!("{:#}", anyhow::Error::from(error))),
    }
}

async fn ingest(archive: &Archive, name: &str, mut reader: impl Read) -> Result<Ingested, ArchiveError> {
    let mut incoming = archive.receive(Origin::Import { path: name.to_owned() }).await?;
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = reader.read(&mut chunk)?;
        if read == 0 {
            return incoming.commit(&Expected::default()).await;
        }
        incoming.write(&chunk[..read]).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_cannot_be_read_is_a_failure() {
        let gone = walkdir::WalkDir::new("/nonexistent/folder").into_iter().next().expect("an error");
        let Some(Source::Unreadable { name, reason }) = found(gone) else { panic!("not told of") };
        assert_eq!(name, "/nonexistent/folder");
        assert!(reason.contains("No such file"), "{reason}");
    }
}
