//! Every image of the shared test data that can be read comes back as it is and as Explicit VR Little Endian with the
//! same pixels. Skipped where the data is absent.

use crate::support::Server;
use pacs_core::{
    data_set::{Limits, Value, scan},
    frame_layout::FrameLayout,
    part10, tags,
};
use std::{
    io::Cursor,
    path::{Path, PathBuf},
};

const EXPLICIT: &str = "1.2.840.10008.1.2.1";

fn folder() -> Option<PathBuf> {
    let beside = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared"));
    let shared = std::env::var_os("YINGHAI_SHARED").map_or_else(|| beside.to_owned(), PathBuf::from);
    Some(shared.join("data/conformance/transfer-syntax")).filter(|folder| folder.is_dir())
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[tokio::test]
async fn an_image_of_any_syntax_can_be_had_as_explicit_little_endian() {
    let Some(folder) = folder() else {
        return eprintln!("skipped: no shared test data");
    };
    let mut converted = 0;
    for path in files(&folder) {
        let Ok(file) = std::fs::read(&path) else { continue };
        let server = Server::start(true).await;
        let stored = server.stow(std::slice::from_ref(&file)).await;
        if stored.status != 200 {
            continue;
        }
        let url = stored.json()["00081199"]["Value"][0]["00081190"]["Value"][0].as_str().unwrap().to_owned();
        let url = url.trim_start_matches("http://localhost");
        assert_eq!(server.get(url, "application/dicom").await.body, file, "{}", path.display());
        let answer = server.get(url, &format!("application/dicom; transfer-syntax={EXPLICIT}")).await;
        if answer.status != 200 {
            eprintln!("{}: {}", path.display(), answer.json()["detail"]);
            continue;
        }
        check_frames(&server, url, &answer.body).await;
        converted += 1;
    }
    assert!(converted > 90, "{converted} images");
}

async fn check_frames(server: &Server, url: &str, file: &[u8]) {
    let mut reader = Cursor::new(file);
    let meta = part10::read_meta(&mut reader).unwrap();
    assert_eq!(meta.transfer_syntax.uid().as_str(), EXPLICIT);
    let data_set = scan(&mut reader, &meta.transfer_syntax, Limits::default()).unwrap_or_else(|e| panic!("{url}: {e}"));
    let Some(layout) = FrameLayout::of(&data_set) else { return };
    let in_parts = data_set.get(tags::PIXEL_DATA).is_some_and(|e| matches!(e.value, Value::Fragments { .. }));
    assert!(!in_parts, "{url}");
    for index in 0..layout.frames().min(3) {
        let frame = server.get(&format!("{url}/frames/{}", index + 1), "application/octet-stream").await;
        let range = layout.ranges(index).unwrap().remove(0);
        let there = &file[range.start as usize..range.end as usize];
        // A frame of odd length is padded where it is the only one.
        let len = frame.body.len().min(there.len());
        assert!(frame.status == 200 && there[..len] == frame.body[..len], "{url} frame {index}");
    }
}
