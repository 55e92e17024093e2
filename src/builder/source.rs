//! What is delivered: an image that a cloud has, or a file of this machine; both read once, as a stream.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::sync::{Arc, OnceLock};

use sha2::Sha512;

use super::local::LocalImage;
use crate::deadline::Deadline;
use crate::digest::Digesting;
use crate::openstack_cloud::{Cloud, Image};

/// Where the bytes of an image come from.
pub enum Source<'a> {
    /// An image of this cloud.
    Cloud(&'a Cloud, &'a Image),
    /// An image that was built on this machine.
    File(&'a LocalImage),
}

/// The digest of what was read, once all of it was.
#[derive(Clone, Debug, Default)]
pub struct SourceDigest(Arc<OnceLock<String>>);

/// What Glance calls the algorithm of [`SourceDigest`], which is also the one that it uses unless it is told otherwise.
const ALGORITHM: &str = "sha512";

impl Source<'_> {
    /// The bytes from the first to the last; `digest` is known when the last was read.
    pub fn open(&self, digest: &SourceDigest, deadline: Deadline) -> Result<Box<dyn Read>, String> {
        match self {
            Self::Cloud(cloud, image) => match cloud.images().download(&image.id, deadline) {
                Ok(stream) => Ok(Box::new(stream)),
                Err(error) => Err(error.to_string()),
            },
            Self::File(image) => match File::open(image.path()) {
                Ok(file) => Ok(Box::new(Telling { file: Digesting::new(file), digest: digest.clone() })),
                Err(error) => Err(format!("opening {}: {error}", image.path().display())),
            },
        }
    }

    /// The algorithm and the digest of all bytes, where they are known.
    pub fn digest(&self, read: &SourceDigest) -> Option<(String, String)> {
        match self {
            Self::Cloud(_, image) => image.hash_algorithm.clone().zip(image.hash.clone()),
            Self::File(_) => Some((ALGORITHM.to_owned(), read.0.get()?.clone())),
        }
    }

    /// The number of bytes, where it is known.
    pub fn size(&self) -> Option<u64> {
        match self {
            Self::Cloud(_, image) => image.size,
            Self::File(image) => std::fs::metadata(image.path()).ok().map(|metadata| metadata.len()),
        }
    }

    /// The format of the bytes.
    pub fn disk_format(&self) -> String {
        match self {
            Self::Cloud(_, image) => image.disk_format.clone(),
            Self::File(_) => None,
        }
        .unwrap_or_else(|| "qcow2".into())
    }

    /// The smallest disk that the image fits on, in GiB.
    pub fn min_disk(&self) -> u64 {
        match self {
            Self::Cloud(_, image) => image.min_disk,
            Self::File(image) => image.min_disk,
        }
    }

    /// The properties without which a copy would not boot as its source does.
    pub fn firmware(&self) -> BTreeMap<String, String> {
        const NAMES: [&str; 2] = ["hw_firmware_type", "hw_machine_type"];
        let Self::Cloud(_, image) = self else { return BTreeMap::new() };
        let property = |name: &str| Some((name.to_owned(), image.properties.get(name)?.clone()));
        NAMES.into_iter().filter_map(property).collect()
    }
}

/// A file whose digest is told when its end is reached.
struct Telling {
    file: Digesting<File, Sha512>,
    digest: SourceDigest,
}

impl Read for Telling {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        if read == 0 && !buffer.is_empty() {
            let _ = self.digest.0.set(self.file.hex());
        }
        Ok(read)
    }
}
