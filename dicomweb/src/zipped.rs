//! A study, series or instance as a ZIP archive of files with their DICOMDIR, written as the client takes it.

use crate::{
    buffer::Buffer,
    decode,
    error::WebError,
    respond::{NO_STORE, Piece, insert},
    web::Web,
};
use axum::{
    body::Body,
    http::header,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use pacs_core::{
    Failure, TransferSyntax, Uid,
    dicomdir::{self, Member},
};
use std::{collections::VecDeque, io::Write, mem, sync::Arc};
use storage::StoredInstance;
use zip::{
    CompressionMethod, ZipWriter,
    write::{SimpleFileOptions, StreamWriter},
};

pub const ZIP: &str = "application/zip";
/// Files in one folder of the archive: some systems are slow with more.
const IN_FOLDER: usize = 1000;

/// A file of the archive, and what it is in.
pub struct Entry {
    pub instance: Arc<StoredInstance>,
    pub transfer_syntax: TransferSyntax,
    pub piece: Piece,
}

/// The archive; it is named after the resource.
pub fn answer(web: &Web, name: &Uid, entries: Vec<Entry>) -> Response {
    let buffer = Buffer::default();
    let archive = Archive {
        web: web.clone(),
        zip: ZipWriter::new_stream(buffer.clone()),
        buffer,
        left: entries.into_iter().enumerate().collect(),
        open: None,
        members: Vec::new(),
    };
    let body = stream::try_unfold(Some(archive), |archive| async move {
        let Some(mut archive) = archive else { return Ok::<_, WebError>(None) };
        let is_more = archive.proceed().await?;
        let bytes = archive.buffer.take();
        Ok(Some((bytes, is_more.then_some(archive))))
    });
    let mut response = Body::from_stream(body).into_response();
    let headers = response.headers_mut();
    insert(headers, header::CONTENT_TYPE, ZIP);
    insert(headers, header::CACHE_CONTROL, NO_STORE);
    insert(headers, header::CONTENT_DISPOSITION, &format!("attachment; filename=\"{name}.zip\""));
    response
}

struct Archive {
    web: Web,
    zip: ZipWriter<StreamWriter<Buffer>>,
    buffer: Buffer,
    left: VecDeque<(usize, Entry)>,
    /// The rest of the file that is being written.
    open: Option<BoxStream<'static, Result<Bytes, WebError>>>,
    members: Vec<Member>,
}

impl Archive {
    /// Writes some more into the buffer; `false` when that was the end.
    async fn proceed(&mut self) -> Result<bool, WebError> {
        if let Some(file) = &mut self.open {
            match file.next().await {
                Some(bytes) => self.zip.write_all(&bytes?).map_err(failed)?,
                None => self.open = None,
            }
            return Ok(true);
        }
        match self.left.pop_front() {
            Some((index, entry)) => self.begin(index, entry).await.map(|()| true),
            None => self.finish().map(|()| false),
        }
    }

    async fn begin(&mut self, index: usize, entry: Entry) -> Result<(), WebError> {
        let instance = &entry.instance;
        let id = [format!("DIR{:05}", index / IN_FOLDER + 1), format!("F{:07}", index + 1)];
        self.start(&id.join("/"))?;
        let metadata = decode::metadata(&self.web, instance).await?;
        let sop = (&instance.sop_class, &instance.sop_instance);
        self.members.extend(Member::new(&metadata, &id.join("\\"), sop, &entry.transfer_syntax));
        self.open = Some(entry.piece.stream(self.web.clone()));
        Ok(())
    }

    fn finish(&mut self) -> Result<(), WebError> {
        self.start("DICOMDIR")?;
        let directory = dicomdir::write(&self.members, &Uid::from_uuid(rand::random()));
        let directory = directory.ok_or_else(|| failed("the DICOMDIR cannot be written"))?;
        self.zip.write_all(&directory).map_err(failed)?;
        let zip = mem::replace(&mut self.zip, ZipWriter::new_stream(Buffer::default()));
        zip.finish().map(drop).map_err(failed)
    }

    /// Not stored as they are: readers such as Java's want to know the length of that before it comes.
    fn start(&mut self, name: &str) -> Result<(), WebError> {
        let deflated = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        let fastest = deflated.compression_level(Some(1)).large_file(true);
        self.zip.start_file(name, fastest).map_err(failed)
    }
}

fn failed(error: impl ToString) -> WebError {
    WebError::Refused(Failure::Internal, error.to_string())
}
