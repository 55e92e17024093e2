//! From a build to many projects: one read of its bytes feeds several uploads at once, in bounded memory and without a
//! file. Each has a result of its own, told as soon as it is there; one that is slow gets a read of its own.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Scope;
use std::time::{Duration, Instant};

use sha2::Sha512;

use super::publisher::Publisher;
use super::queue::{DeliveryQueue, Slots};
use super::sharing::SharingError;
use super::source::Artifact;
use super::window::{Feeder, PIECE, Pieces, Window};
use super::yielding::Yielding;
use crate::builder::ownership::{description, labels};
use crate::host::random_uuid;
use crate::model::{Cause, Classified, Deadline, Digesting, Elapsed};
use crate::openstack_cloud::{Cloud, ErrorKind, ImageId, Images, NewImage, OpenStackError};
use crate::record::{
    BuilderRunConfig, CloudName, Comparison, Delivery, Failure, Image, JobId, Owner, Proof, RecordError,
    Resource, ResourceKind, ResourceTracker, Revision,
};

/// How many uploads there are at a time.
const TRANSFERS: usize = 8;
/// How long one upload may take, its checks included.
const LIMIT: Duration = Duration::from_secs(3600);
/// How long a project may take to make a complete upload active.
const SETTLE: Duration = Duration::from_secs(600);
/// A read that waits so long for those that it feeds may be cut off by what stands before its Glance.
const HELD_UP: Duration = Duration::from_secs(20);
/// How often a project is served when the build project's read broke off.
const TRIES: u32 = 2;

/// A project did not get its copy.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// Its cloud refused or broke off.
    #[error(transparent)]
    Cloud(#[from] OpenStackError),
    /// The copy is not what was sent.
    #[error("comparing image {0} with the uploaded data: the content differs; the image was deleted")]
    Different(ImageId),
    /// The copy could not be read back, and its Glance names no digest that could be compared.
    #[error("reading image {id} back, as Glance reports no SHA-512: {problem}; the image was deleted")]
    Unread {
        /// The copy.
        id: ImageId,
        /// Why.
        problem: String,
    },
    /// It takes its image slowly, and others wait.
    #[error("delivering: the transfer is too slow and other work is waiting; it is retried later")]
    Slow,
    /// The copy could not be noted in the journal, and was not begun.
    #[error("{0}; the image is not delivered, because the delivery cannot be recorded")]
    Journal(#[from] RecordError),
    /// It could not be shared.
    #[error(transparent)]
    Sharing(#[from] SharingError),
    /// No id could be made for the copy.
    #[error("generating an image ID failed; please report this")]
    NoId,
}

impl DeliveryError {
    /// Whether time alone will not mend it.
    pub fn operator_must_act(&self) -> bool {
        match self {
            Self::Cloud(error) => error.operator_must_act(),
            Self::Sharing(error) => error.operator_must_act(),
            _ => false,
        }
    }

    /// Whether the build project's read is at fault, and not the project that was to get the image.
    fn is_of_the_source(&self) -> bool {
        match self {
            Self::Cloud(error) => error.kind() == ErrorKind::Source,
            Self::Sharing(error) => matches!(error, SharingError::Unproven(_)),
            _ => false,
        }
    }
}

impl Classified for DeliveryError {
    fn cause(&self) -> Cause {
        match self {
            Self::Cloud(error) => error.cause(),
            Self::Sharing(error) => error.cause(),
            Self::Slow => Cause::Network,
            Self::Different(_) | Self::Unread { .. } => Cause::Cloud,
            Self::Journal(_) | Self::NoId => Cause::Unit,
        }
    }

    fn summary(&self) -> String {
        match self {
            Self::Cloud(error) => error.summary(),
            Self::Sharing(error) => error.summary(),
            _ => self.to_string(),
        }
    }
}

/// How a project gets an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The build project shares its own.
    Share,
    /// By a copy.
    Copy,
}

/// A related project that lacks an image.
#[derive(Clone, Debug)]
pub struct Recipient {
    /// Its name in clouds.yaml.
    pub name: CloudName,
    /// The connection to it.
    pub cloud: Cloud,
    /// How it gets it.
    pub way: Way,
    /// The copy that it has, and that will do if nothing can be shared.
    pub copy: Option<Image>,
    /// How often it was tried in vain.
    pub tries: u32,
}

/// What brings images from the build project to related projects.
pub struct Distributor<'a> {
    /// The build project.
    pub build_cloud: &'a Cloud,
    /// Whose images they are.
    pub owner: &'a Owner,
    /// The job that delivers them.
    pub job: &'a JobId,
    /// How they are to be delivered.
    pub delivery: Delivery,
    /// Who hears of it.
    pub publisher: Publisher<'a>,
    /// Who lacks what.
    pub queue: &'a DeliveryQueue<Recipient>,
    slots: Slots,
    /// For those who keep others waiting: one at a time.
    slow: Mutex<()>,
}

impl<'a> Distributor<'a> {
    /// A distributor that has nothing to do yet.
    pub fn new(
        build_cloud: &'a Cloud,
        config: &'a BuilderRunConfig,
        job: &'a JobId,
        publisher: Publisher<'a>,
        queue: &'a DeliveryQueue<Recipient>,
    ) -> Self {
        let (slots, slow) = (Slots::new(TRANSFERS), Mutex::new(()));
        let (owner, delivery) = (&config.owner, config.delivery);
        Self { build_cloud, owner, job, delivery, publisher, queue, slots, slow }
    }

    /// Delivers to those who lack `artifact` now, side by side; returns when all of it was read. What comes of each upload
    /// is told by a thread of `scope`.
    pub fn deliver<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        artifact: &Arc<Artifact>,
        deadline: Deadline,
    ) {
        let target = artifact.target();
        let room = self.slots.take_all();
        let recipients = self.queue.next(target, room);
        let (sharers, recipients): (Vec<_>, Vec<_>) =
            recipients.into_iter().partition(|recipient| recipient.way == Way::Share);
        let count = recipients.len();
        self.slots.give(room - count);
        self.share_with(scope, artifact, sharers, deadline.at_most(LIMIT));
        if count == 0 {
            return;
        }
        let (feeder, pieces) = Window::open(count);
        for (recipient, pieces) in recipients.into_iter().zip(pieces) {
            let artifact = Arc::clone(artifact);
            scope.spawn(move || self.serve(&artifact, recipient, pieces, deadline));
        }
        let dropped = self.feed(artifact, feeder, deadline.at_most(LIMIT));
        // What is still to be answered or compared keeps nobody waiting.
        self.slots.give(count - dropped);
    }

    /// Reads the build once and gives each piece to every upload that still lives. Returns how many were dropped, whose
    /// slots are free since.
    fn feed(&self, artifact: &Artifact, feeder: Feeder, deadline: Deadline) -> usize {
        let target = artifact.target();
        let others_wait = || {
            self.queue.others_wait(target)
                || self.slots.is_waited_for()
                || self.publisher.progress.is_waited_for()
        };
        let mut source = match artifact.open(self.build_cloud, self.publisher.progress, deadline) {
            Ok(source) => source,
            Err(error) => {
                self.could_not_be_read(artifact);
                feeder.end(Err(error.to_string()));
                return 0;
            }
        };
        let (mut buffer, mut laggards, mut was_held_up) = (vec![0; PIECE], 0, false);
        let end = loop {
            let piece: Arc<[u8]> = match source.read(&mut buffer) {
                Ok(0) => break Ok(()),
                Ok(read) => Arc::from(&buffer[..read]),
                Err(error) => break Err(error),
            };
            let began = Instant::now();
            let given = feeder.give(piece, &others_wait);
            was_held_up |= began.elapsed() > HELD_UP;
            self.slots.give(given.dropped);
            laggards += given.dropped;
            if !given.anybody {
                return laggards;
            }
        };
        // A download that was kept waiting may have been cut off for that: it says nothing about the build.
        if end.is_err() && laggards == 0 && !was_held_up && !deadline.passed() {
            self.could_not_be_read(artifact);
        }
        feeder.end(end.map_err(|error| error.to_string()));
        laggards
    }

    /// The build project did not give the build: after a few times it is built anew.
    pub(super) fn could_not_be_read(&self, artifact: &Artifact) {
        let revision = artifact.revision.clone();
        let proof = artifact.proof().cloned();
        let failed_reads = revision.failed_reads.saturating_add(1);
        self.publisher.progress.revision(&Revision { proof, failed_reads, ..revision });
    }

    /// One recipient's share.
    fn serve(&self, artifact: &Artifact, recipient: Recipient, mut pieces: Pieces, deadline: Deadline) {
        let mut result = self.copy(artifact, &recipient, &mut pieces, deadline.at_most(LIMIT));
        if pieces.close() && result.is_err() {
            result = self.serve_slowly(artifact, &recipient, deadline);
        }
        self.conclude(artifact, recipient, result);
    }

    /// What comes of one recipient: it is served, or served again, or another relation to its project, or given up.
    pub(super) fn conclude(
        &self,
        artifact: &Artifact,
        recipient: Recipient,
        result: Result<(), DeliveryError>,
    ) {
        let target = artifact.target();
        match result {
            Ok(()) => self.queue.is_served(target),
            Err(DeliveryError::Sharing(error)) if error.asks_for_a_copy(self.delivery) => {
                log::warn!("{target} for {}: {error}; copied instead", recipient.name);
                match &recipient.copy {
                    Some(copy) => {
                        self.publisher.published(copy);
                        self.queue.is_served(target);
                    }
                    None => self.queue.again(target, Recipient { way: Way::Copy, ..recipient }),
                }
            }
            Err(error) if error.is_of_the_source() && recipient.tries + 1 < TRIES => {
                let tries = recipient.tries + 1;
                log::warn!("{target} for {}: attempt {tries} of {TRIES} failed: {error}", recipient.name);
                self.queue.again(target, Recipient { tries, ..recipient });
            }
            Err(error) => {
                if let Some((name, cloud)) = self.publisher.projects.next_after(&recipient.name) {
                    log::warn!("{target} for {}: {error}; retrying as {name} (same project)", recipient.name);
                    let next = Recipient { name, cloud, tries: 0, copy: None, ..recipient };
                    return self.queue.again(target, next);
                }
                let failure = Failure::of(&error, error.operator_must_act());
                let (of, cloud) = (Some(target), Some(recipient.name));
                self.publisher.outcome.fail(Failure { target: of, cloud, ..failure });
                self.queue.is_given_up(target);
            }
        }
    }

    /// Serves one that keeps others waiting, with a read of its own.
    fn serve_slowly(
        &self,
        artifact: &Artifact,
        recipient: &Recipient,
        deadline: Deadline,
    ) -> Result<(), DeliveryError> {
        let name = &recipient.name;
        log::warn!("{} for {name}: the upload delays others; restarting it separately", artifact.target());
        let _turn = self.slow.lock().unwrap_or_else(PoisonError::into_inner);
        let deadline = deadline.at_most(LIMIT);
        let progress = self.publisher.progress;
        let source = artifact.open(self.build_cloud, progress, deadline)?;
        let mut source = Yielding::new(source, progress);
        self.copy(artifact, recipient, &mut source, deadline).map_err(|error| {
            let yields = error.is_of_the_source() && progress.is_waited_for();
            if yields { DeliveryError::Slow } else { error }
        })
    }

    /// Copies what `bytes` gives. It is told as soon as it is there and compared.
    fn copy(
        &self,
        artifact: &Artifact,
        recipient: &Recipient,
        bytes: &mut dyn Read,
        deadline: Deadline,
    ) -> Result<(), DeliveryError> {
        let Recipient { name, cloud, .. } = recipient;
        let (target, revision) = (artifact.target(), &artifact.revision);
        let id: ImageId = random_uuid().parse().map_err(|_| DeliveryError::NoId)?;
        let mut properties = labels::of_copy(self.owner, self.job, &id, &revision.fingerprint);
        properties.extend(description::firmware(target, &artifact.image));
        let new = NewImage {
            id: Some(id.clone()),
            name: crate::model::image_name(&self.owner.application, target),
            disk_format: artifact.image.disk_format.clone().unwrap_or_else(|| "qcow2".into()),
            container_format: "bare".into(),
            min_disk: artifact.image.min_disk,
            min_ram: 0,
            properties,
        };
        let noted = Resource {
            kind: ResourceKind::Copy,
            cloud: name.clone(),
            name: new.name.clone(),
            id: Some(id.to_string()),
            revision: Some(revision.id.clone()),
        };
        let tracker = ResourceTracker { progress: self.publisher.progress, target };
        tracker.makes(&noted)?;
        let (images, began) = (cloud.images(), Instant::now());
        let result = (|| {
            images.create(&new, deadline)?;
            images.upload(&id, artifact.image.size, bytes, deadline)?;
            let proof = artifact.proof().ok_or_else(|| DeliveryError::Different(id.clone()))?;
            compare(&images, &id, proof, deadline)?;
            Ok(description::publish_copy(&images, &id, revision, &artifact.image, deadline)?)
        })();
        match result {
            Ok(()) => {
                let bytes = artifact.proof().map_or(0, |proof| proof.size);
                let (build, after) = (&revision.id, Elapsed::since(began));
                log::info!(
                    "{target}: build {build} delivered to {name} as image {id}: {bytes} bytes after {after}"
                );
                let image = revision.image(name, id);
                self.publisher.progress.sent(&image, bytes);
                self.publisher.published(&image);
                tracker.settled(&noted);
                Ok(())
            }
            Err(error) => {
                tracker.conclude(&images, &id, &noted, &Err::<(), _>(()));
                Err(error)
            }
        }
    }
}

/// Waits for an image that was sent and makes sure that it has the bytes that `proof` tells of. Where its Glance names no
/// digest that could be compared, all of it is read back.
pub fn compare(
    images: &Images<'_>,
    id: &ImageId,
    proof: &Proof,
    deadline: Deadline,
) -> Result<(), DeliveryError> {
    let copy = images.wait_until_active(id, deadline.at_most(SETTLE))?;
    match proof.compare(&copy) {
        Comparison::Same => Ok(()),
        Comparison::Different => Err(DeliveryError::Different(id.clone())),
        Comparison::Unknown => {
            let stream = images.download(id, deadline)?;
            // What is longer than it should be is as good as endless.
            let mut stream = Digesting::<_, Sha512>::new(stream.take(proof.size + 1));
            let read = io::copy(&mut stream, &mut io::sink());
            let size = read.map_err(|error| {
                let problem = error.to_string();
                DeliveryError::Unread { id: id.clone(), problem }
            })?;
            let found = Proof { sha512: stream.hex(), size };
            if found == *proof { Ok(()) } else { Err(DeliveryError::Different(id.clone())) }
        }
    }
}
