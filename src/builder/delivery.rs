//! From one image to many clouds: one read of the bytes feeds every upload at once, in bounded memory and without a
//! file. A cloud that fails does not hold up the others.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use super::config::{CloudName, JobId, Owner};
use super::journal::JournalError;
use super::labels;
use super::ledger::Ledger;
use super::resource::{Resource, ResourceKind};
use super::source::{Source, SourceDigest};
use crate::deadline::Deadline;
use crate::host::random_uuid;
use crate::openstack_cloud::{Cloud, ErrorKind, Image, ImageId, NewImage, OpenStackError};
use crate::target::Target;

/// The size of a piece in flight.
const PIECE: usize = 256 << 10;
/// How many pieces may wait for each cloud.
const AHEAD: usize = 8;
/// How long a cloud may take to make a complete upload active.
const SETTLE: Duration = Duration::from_secs(1800);

/// A cloud did not get its copy.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The cloud refused or broke off.
    #[error(transparent)]
    Cloud(#[from] OpenStackError),
    /// The copy is not what was sent.
    #[error("the copy {id} has another {algorithm} digest than its source; it was removed")]
    Different {
        /// The copy.
        id: ImageId,
        /// The algorithm that both clouds used.
        algorithm: String,
    },
    /// The copy could not be noted in the journal, and was not begun.
    #[error("{0}; nothing is delivered that cannot be noted")]
    Journal(#[from] JournalError),
    /// No id could be made for the copy.
    #[error("no random image id could be made")]
    NoId,
}

impl DeliveryError {
    /// Whether time alone will not mend it.
    pub fn operator_must_act(&self) -> bool {
        matches!(self, Self::Cloud(error) if error.operator_must_act())
    }

    /// Whether the image to be copied is at fault, and not the cloud that was to get it.
    pub fn is_of_the_source(&self) -> bool {
        match self {
            Self::Cloud(error) => error.kind() == ErrorKind::Source,
            Self::Different { .. } => true,
            Self::Journal(_) | Self::NoId => false,
        }
    }
}

/// How far an image has come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// At least one cloud has it.
    ToSome,
    /// No cloud has taken it: another try may do.
    ToNobody,
    /// It cannot be read, or not unchanged: another try would not do.
    Impossible,
}

/// An image on its way.
pub struct Parcel<'a> {
    /// Whose image it is.
    pub owner: &'a Owner,
    /// The job that delivers it.
    pub job: &'a JobId,
    /// What it is for.
    pub target: Target,
    /// What went into it.
    pub fingerprint: &'a str,
    /// Where it comes from.
    pub source: Source<'a>,
    /// Where copies are noted.
    pub ledger: Ledger<'a>,
}

type Piece = Result<Arc<[u8]>, String>;

impl Parcel<'_> {
    /// Delivers to each cloud, side by side; returns what came of each.
    pub fn deliver(
        &self,
        to: &[(CloudName, Cloud)],
        deadline: Deadline,
    ) -> Vec<(CloudName, Result<Image, DeliveryError>)> {
        let digest = SourceDigest::default();
        let read = &digest;
        thread::scope(|scope| {
            let (senders, uploads): (Vec<_>, Vec<_>) = to
                .iter()
                .map(|(name, cloud)| {
                    let (sender, receiver) = sync_channel::<Piece>(AHEAD);
                    let upload = move || self.upload(name, cloud, receiver, read, deadline);
                    (sender, (name, scope.spawn(upload)))
                })
                .unzip();
            self.feed(senders, read, deadline);
            uploads
                .into_iter()
                .map(|(name, upload)| {
                    let result = upload.join().unwrap_or(Err(DeliveryError::NoId));
                    (name.clone(), result)
                })
                .collect()
        })
    }

    /// Reads the source once and gives each piece to every upload that still lives. Ends with an empty piece, or with
    /// the error that the read ended in: an upload must never take a part for the whole.
    fn feed(&self, mut uploads: Vec<SyncSender<Piece>>, digest: &SourceDigest, deadline: Deadline) {
        let mut give = |piece: Piece| {
            uploads.retain(|upload| upload.send(piece.clone()).is_ok());
            !uploads.is_empty()
        };
        let mut source = match self.source.open(digest, deadline) {
            Ok(source) => source,
            Err(problem) => {
                give(Err(problem));
                return;
            }
        };
        let mut buffer = vec![0; PIECE];
        loop {
            let piece = match source.read(&mut buffer) {
                Ok(read) => Ok(Arc::from(&buffer[..read])),
                Err(error) => Err(error.to_string()),
            };
            let is_last = !piece.as_ref().is_ok_and(|piece: &Arc<[u8]>| !piece.is_empty());
            if !give(piece) || is_last {
                return;
            }
        }
    }

    fn upload(
        &self,
        cloud_name: &CloudName,
        cloud: &Cloud,
        pieces: Receiver<Piece>,
        digest: &SourceDigest,
        deadline: Deadline,
    ) -> Result<Image, DeliveryError> {
        let id: ImageId = random_uuid().parse().map_err(|_| DeliveryError::NoId)?;
        let mut properties =
            labels::of_copy(self.owner, self.job, &id, self.fingerprint, self.source.digest(digest));
        properties.insert("architecture".into(), self.target.arch.glance().into());
        properties.extend(self.source.firmware());
        let image = NewImage {
            id: Some(id.clone()),
            name: super::image_name(&self.owner.application, self.target),
            disk_format: self.source.disk_format(),
            container_format: "bare".into(),
            min_disk: self.source.min_disk(),
            min_ram: 0,
            properties,
        };
        let noted = Resource {
            kind: ResourceKind::Copy,
            cloud: cloud_name.clone(),
            name: image.name.clone(),
            id: Some(id.to_string()),
        };
        self.ledger.makes(&noted)?;
        let images = cloud.images();
        let result = (|| {
            images.create(&image, deadline)?;
            images.upload(
                &id,
                self.source.size(),
                &mut Pieces { pieces, rest: Arc::from([]), at: 0 },
                deadline,
            )?;
            let copy = images.wait_until_active(&id, deadline.at_most(SETTLE))?;
            self.compare(&copy, digest)?;
            Ok(images.update(&id, &labels::publish(), deadline)?)
        })();
        self.ledger.conclude(&images, &id, &noted, &result);
        result
    }

    /// Glance digests what it stores: equal digests mean equal bytes.
    fn compare(&self, copy: &Image, digest: &SourceDigest) -> Result<(), DeliveryError> {
        let Some((algorithm, expected)) = self.source.digest(digest) else { return Ok(()) };
        if copy.hash_algorithm.as_ref() == Some(&algorithm) && copy.hash.as_ref() != Some(&expected) {
            return Err(DeliveryError::Different { id: copy.id.clone(), algorithm });
        }
        Ok(())
    }
}

/// The pieces of an image as one stream. It ends well only with the empty piece.
struct Pieces {
    pieces: Receiver<Piece>,
    rest: Arc<[u8]>,
    at: usize,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.rest.len() {
            (self.rest, self.at) = match self.pieces.recv() {
                Ok(Ok(piece)) => (piece, 0),
                Ok(Err(problem)) => return Err(io::Error::other(problem)),
                Err(_) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the source ended early")),
            };
        }
        let read = buffer.len().min(self.rest.len() - self.at);
        buffer[..read].copy_from_slice(&self.rest[self.at..self.at + read]);
        self.at += read;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(pieces: Vec<Piece>) -> Pieces {
        let (sender, receiver) = sync_channel(16);
        pieces.into_iter().for_each(|piece| sender.send(piece).unwrap());
        Pieces { pieces: receiver, rest: Arc::from([]), at: 0 }
    }

    #[test]
    fn pieces_are_one_stream_that_ends_with_the_empty_piece() {
        let mut bytes = Vec::new();
        let pieces = vec![Ok(Arc::from(*b"ab")), Ok(Arc::from(*b"c")), Ok(Arc::from([]))];
        stream(pieces).read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"abc");
    }

    #[test]
    fn a_part_is_never_taken_for_the_whole() {
        let mut bytes = Vec::new();
        assert!(stream(vec![Ok(Arc::from(*b"ab"))]).read_to_end(&mut bytes).is_err());
        assert!(stream(vec![Ok(Arc::from(*b"ab")), Err("reset".into())]).read_to_end(&mut bytes).is_err());
    }
}
