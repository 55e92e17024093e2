//! Sharing: a related project in the same cloud uses the build project's own image. It becomes a member of the image with
//! the builder's credentials, and accepts with its own; no byte moves, and a member cannot alter the image.

use std::io;
use std::sync::Arc;
use std::thread::Scope;
use std::time::{Duration, Instant};

use super::distribution::{DeliveryError, Distributor, Recipient};
use super::source::Artifact;
use crate::model::{Cause, Classified, Deadline, Elapsed};
use crate::openstack_cloud::{
    Cloud, ErrorKind, Image, ImageChange, ImageId, MemberStatus, OpenStackError, Visibility,
};
use crate::record::{Delivery, Proof};

/// How long it may take to share an image with one project.
const LIMIT: Duration = Duration::from_secs(120);

/// An image could not be shared with a project.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SharingError {
    /// The build project's Glance refused, or broke off.
    #[error(transparent)]
    Cloud(#[from] OpenStackError),
    /// The member does not see what was built.
    #[error("verifying shared image {0} as a member: the image is missing or differs from the build")]
    Different(ImageId),
    /// The build project did not give the build, to be proven.
    #[error("verifying the build before sharing it: {0}")]
    Unproven(String),
}

impl Classified for SharingError {
    fn cause(&self) -> Cause {
        match self {
            Self::Cloud(error) => error.cause(),
            Self::Different(_) | Self::Unproven(_) => Cause::Cloud,
        }
    }

    fn summary(&self) -> String {
        match self {
            Self::Cloud(error) => error.summary(),
            Self::Different(_) | Self::Unproven(_) => self.to_string(),
        }
    }
}

impl SharingError {
    /// Whether time alone will not mend it.
    pub fn operator_must_act(&self) -> bool {
        matches!(self, Self::Cloud(error) if error.operator_must_act())
    }

    /// Whether this cloud does not share this image with this project, now or later.
    fn is_refusal(&self) -> bool {
        use ErrorKind::{Conflict, Forbidden, Invalid, NotFound, Quota};
        match self {
            Self::Cloud(error) => {
                matches!(error.kind(), Forbidden | Quota | NotFound | Invalid | Conflict)
            }
            Self::Different(_) => true,
            Self::Unproven(_) => false,
        }
    }

    /// Whether it has as many members as it may have.
    fn is_of_the_quota(&self) -> bool {
        matches!(self, Self::Cloud(error) if error.kind() == ErrorKind::Quota)
    }

    /// Whether the project is to get a copy instead.
    pub fn asks_for_a_copy(&self, delivery: Delivery) -> bool {
        match delivery {
            Delivery::Auto => self.is_refusal(),
            Delivery::Share => self.is_of_the_quota(),
            Delivery::Copy => false,
        }
    }
}

/// Whether the project of `member` has `image` of the project of `build` by sharing, so that its lists show it.
pub fn is_shared(
    build: &Cloud,
    member: &Cloud,
    image: &Image,
    deadline: Deadline,
) -> Result<bool, OpenStackError> {
    if image.visibility != Visibility::Shared {
        return Ok(false);
    }
    let project = member.project_id();
    if project == build.project_id() {
        return Ok(true);
    }
    Ok(build.images().membership(&image.id, &project, deadline)? == Some(MemberStatus::Accepted))
}

/// Makes the project of `member` a member of image `id`, which the project of `build` owns, accepts for it, and makes sure
/// that it sees what `proof` tells of.
fn share(
    build: &Cloud,
    member: &Cloud,
    id: &ImageId,
    proof: &Proof,
    deadline: Deadline,
) -> Result<(), SharingError> {
    let (images, project) = (build.images(), member.project_id());
    let owner = build.project_id();
    if project != owner {
        let before = images.membership(id, &project, deadline)?;
        if before.is_none() {
            // The quota is checked before Glance finds that it is a member already.
            images.share(id, &project, deadline)?;
        }
        if before != Some(MemberStatus::Accepted)
            && let Err(error) = member.images().accept(id, deadline)
        {
            if before.is_none()
                && let Err(error) = images.unshare(id, &project, deadline)
            {
                log::warn!("not removed; the next job retries: {error}");
            }
            return Err(error.into());
        }
    }
    let found = member.images().get(id, deadline)?;
    let is_it = found.is_some_and(|found| proof.holds_for(&found, &owner));
    if is_it { Ok(()) } else { Err(SharingError::Different(id.clone())) }
}

impl Distributor<'_> {
    /// Shares `artifact` with `recipients`, side by side. What comes of each is told by a thread of `scope`.
    pub(super) fn share_with<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        artifact: &Arc<Artifact>,
        recipients: Vec<Recipient>,
        deadline: Deadline,
    ) {
        if recipients.is_empty() {
            return;
        }
        let prepared = self.prepare(artifact, deadline);
        for recipient in recipients {
            let (artifact, prepared) = (Arc::clone(artifact), prepared.clone());
            scope.spawn(move || {
                let shared = prepared.and_then(|proof| self.share(&artifact, &recipient, &proof));
                self.conclude(&artifact, recipient, shared.map_err(DeliveryError::from));
            });
        }
    }

    /// Makes sure that the build is proven, and lets its image have members.
    fn prepare(&self, artifact: &Artifact, deadline: Deadline) -> Result<Proof, SharingError> {
        let proof = self.prove(artifact, deadline)?;
        if artifact.image.visibility != Visibility::Shared {
            let change = ImageChange::Replace("visibility".into(), "shared".into());
            let images = self.build_cloud.images();
            images.update(&artifact.image.id, &[change], deadline.at_most(LIMIT))?;
        }
        Ok(proof)
    }

    /// What the build's bytes are. One of which nobody has read them yet is read once, for all who will ever have it.
    fn prove(&self, artifact: &Artifact, deadline: Deadline) -> Result<Proof, SharingError> {
        if let Some(proof) = artifact.proof() {
            return Ok(proof.clone());
        }
        let source = artifact.open(self.build_cloud, self.publisher.progress, deadline);
        let read =
            source.map_err(io::Error::other).and_then(|mut source| io::copy(&mut source, &mut io::sink()));
        read.map_err(|error| {
            if !deadline.passed() {
                self.could_not_be_read(artifact);
            }
            SharingError::Unproven(error.to_string())
        })?;
        let proof = artifact.proof().cloned();
        proof.ok_or_else(|| SharingError::Different(artifact.image.id.clone()))
    }

    fn share(
        &self,
        artifact: &Artifact,
        Recipient { name, cloud, .. }: &Recipient,
        proof: &Proof,
    ) -> Result<(), SharingError> {
        let id = &artifact.revision.id;
        let began = Instant::now();
        share(self.build_cloud, cloud, id, proof, Deadline::after(LIMIT))?;
        let (target, after) = (artifact.target(), Elapsed::since(began));
        log::info!("{target}: build {id} shared with {name} (project {}) after {after}", cloud.project_id());
        let image = artifact.revision.image(name, id.clone());
        self.publisher.progress.sent(&image, 0);
        self.publisher.published(&image);
        Ok(())
    }
}
