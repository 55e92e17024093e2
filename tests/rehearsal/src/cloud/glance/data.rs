//! The bytes of images: in, hashed on the way, and out.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::thread;

use md5::Md5;
use sha2::{Digest, Sha512};

use super::super::time::Stamp;
use super::{Answer, Call, Image, Refusal, editable, no_content, visible};
use crate::servers::http::{Payload, Response};

/// What is known of bytes once they are stored.
#[derive(Clone, Debug)]
pub(in super::super) struct Stored {
    pub size: u64,
    pub md5: String,
    pub sha512: String,
}

impl Stored {
    /// Makes an image of it.
    pub fn complete(self, image: &mut Image) {
        image.size = Some(self.size);
        if image.disk_format.as_deref() == Some("raw") {
            image.virtual_size = Some(self.size);
        }
        image.checksum = Some(self.md5);
        image.hash = Some(self.sha512);
        image.status = "active".into();
        image.updated = Stamp::now();
    }
}

/// Copies a stream into a file and hashes it.
pub(in super::super) fn receive(from: &mut dyn Read, path: &Path) -> io::Result<Stored> {
    let mut file = File::create(path)?;
    let (mut md5, mut sha512) = (Md5::new(), Sha512::new());
    let mut buffer = vec![0; 256 << 10];
    let mut size = 0;
    loop {
        let n = from.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        let bytes = &buffer[..n];
        md5.update(bytes);
        sha512.update(bytes);
        file.write_all(bytes)?;
        size += n as u64;
    }
    Ok(Stored { size, md5: hex(&md5.finalize()), sha512: hex(&sha512.finalize()) })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `PUT /v2/images/ID/file`
pub(super) fn upload(call: Call<'_, '_>, id: &str) -> Answer {
    if call.request.header("content-type") != Some("application/octet-stream") {
        let media_type = call.request.header("content-type").unwrap_or_default();
        let message = format!("The request media type {media_type} is not supported by this server.");
        return Err(Refusal::new(415, message));
    }
    let image = editable(&call, id, "upload_image")?;
    if image.status != "queued" {
        let message = format!("Image status transition from {} to saving is not allowed", image.status);
        return Err(Refusal::new(409, message));
    }
    if image.disk_format.is_none() || image.container_format.is_none() {
        let message = "Properties disk_format, container_format must be set prior to saving data.";
        return Err(Refusal::new(400, message));
    }
    call.region.with_image(id, |image| image.status = "saving".into());
    let path = call.region.image_file(id);
    let declared = call.request.header("content-length").and_then(|len| len.parse::<u64>().ok());
    let stored = match receive(call.request.body, &path) {
        Ok(stored) if declared.is_none_or(|len| len == stored.size) => stored,
        _ => {
            // A client that goes away in the middle leaves a queued image without bytes.
            drop(std::fs::remove_file(&path));
            call.region.with_image(id, |image| image.status = "queued".into());
            return Err(Refusal::new(400, format!("Error occurred in reading upload data of image {id}")));
        }
    };
    let pause = call.core.setup.latencies.image;
    if pause.is_zero() {
        call.region.with_image(id, |image| stored.complete(image));
    } else {
        let (region, id) = (call.region.clone(), id.to_owned());
        thread::spawn(move || {
            thread::sleep(pause);
            region.with_image(&id, |image| stored.complete(image));
        });
    }
    Ok(no_content())
}

/// `GET /v2/images/ID/file`
pub(super) fn download(call: &Call<'_, '_>, id: &str) -> Answer {
    let image = visible(call, id)?;
    match image.status.as_str() {
        "active" => {}
        "deactivated" => {
            return Err(Refusal::new(
                403,
                "The requested image has been deactivated. Image data download is forbidden.",
            ));
        }
        _ => return Ok(Response::empty(204)),
    }
    let gone = |_| Refusal::new(404, format!("Image {id} has no data"));
    let mut file = File::open(call.region.image_file(id)).map_err(gone)?;
    let size = file.metadata().map_err(gone)?.len();
    let range = call.request.header("range").and_then(|range| parse_range(range, size));
    let (status, first, len) = range.map_or((200, 0, size), |(first, len)| (206, first, len));
    file.seek(SeekFrom::Start(first)).map_err(gone)?;
    let response = Response { status, headers: Vec::new(), payload: Payload::File(file, len) }
        .with("Content-Type", "application/octet-stream");
    Ok(match status {
        206 => response.with("Content-Range", format!("bytes {first}-{}/{size}", first + len - 1)),
        _ => response.with("Content-Md5", image.checksum.unwrap_or_default()),
    })
}

/// First byte and length of `bytes=FIRST-LAST`.
fn parse_range(range: &str, size: u64) -> Option<(u64, u64)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let first: u64 = first.parse().ok()?;
    let last = if last.is_empty() { size.checked_sub(1)? } else { last.parse().ok()? };
    let last = last.min(size.checked_sub(1)?);
    (first <= last).then(|| (first, last - first + 1))
}
