//! Finished builds, kept as images of the build project: what related projects get is copied from there and from nowhere
//! else.

use std::collections::BTreeMap;
use std::fs::File;
use std::time::Duration;

use sha2::Sha512;

use super::distribution::{DeliveryError, compare};
use crate::builder::image::local::LocalImage;
use crate::builder::ownership::description::{self, Description};
use crate::builder::ownership::labels::{self, Stage};
use crate::host::random_uuid;
use crate::model::{Cause, Classified, Deadline, Digesting, Metered, Target, Timestamp};
use crate::openstack_cloud::{Cloud, Image, ImageId, ImageStatus, NewImage, OpenStackError};
use crate::record::{
    CloudName, Comparison, Contents, JobId, Owner, Proof, Resource, ResourceKind, ResourceTracker, Revision,
};

/// How long it may take to make a build a revision.
const KEEP: Duration = Duration::from_secs(300);

/// A finished build could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum RevisionError {
    /// The file that was built could not be read.
    #[error("opening {path}: {source}")]
    File {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The build project did not take it.
    #[error("keeping the build in the build project: {0}")]
    Delivery(#[from] DeliveryError),
}

impl From<OpenStackError> for RevisionError {
    fn from(error: OpenStackError) -> Self {
        Self::Delivery(error.into())
    }
}

impl RevisionError {
    /// Whether time alone will not mend it.
    pub fn operator_must_act(&self) -> bool {
        matches!(self, Self::Delivery(error) if error.operator_must_act())
    }
}

impl Classified for RevisionError {
    fn cause(&self) -> Cause {
        match self {
            Self::File { .. } => Cause::Unit,
            Self::Delivery(error) => error.cause(),
        }
    }

    fn summary(&self) -> String {
        match self {
            Self::File { .. } => self.to_string(),
            Self::Delivery(error) => error.summary(),
        }
    }
}

/// The finished builds of one target.
pub struct Revisions<'a> {
    /// The build project.
    pub cloud: &'a Cloud,
    /// Its name.
    pub cloud_name: &'a CloudName,
    /// Whose they are.
    pub owner: &'a Owner,
    /// The job that builds.
    pub job: &'a JobId,
    /// What is inside.
    pub contents: Contents,
    /// Where they are noted.
    pub tracker: ResourceTracker<'a>,
}

/// The images of finished builds of `target`, whatever their state, newest first.
pub fn images(
    cloud: &Cloud,
    owner: &Owner,
    target: Target,
    deadline: Deadline,
) -> Result<Vec<Image>, OpenStackError> {
    labels::images(cloud, owner, Stage::Revision, Some(&name(&owner.application, target)), deadline)
}

/// The image of `revision`, unless it is not there, or not what it was.
pub fn image(
    cloud: &Cloud,
    owner: &Owner,
    revision: &Revision,
    deadline: Deadline,
) -> Result<Option<Image>, OpenStackError> {
    let found = images(cloud, owner, revision.target, deadline)?;
    Ok(find(&found, owner, revision).cloned())
}

/// The same among the finished `builds` of all targets.
pub fn find<'i>(builds: &'i [Image], owner: &Owner, revision: &Revision) -> Option<&'i Image> {
    let name = name(&owner.application, revision.target);
    let is_it =
        |image: &&Image| image.id == revision.id && image.name == name && image.status == ImageStatus::Active;
    let is_unchanged = |image: &&Image| {
        revision.proof.as_ref().is_none_or(|proof| proof.compare(image) != Comparison::Different)
    };
    builds.iter().find(|image| is_it(image) && is_unchanged(image))
}

/// The name of an application's finished builds of a target.
pub fn name(application: &str, target: Target) -> String {
    format!("{application}-image-builder-revision-{target}")
}

fn new_id() -> Result<ImageId, RevisionError> {
    random_uuid().parse().map_err(|_| DeliveryError::NoId.into())
}

impl Revisions<'_> {
    /// Makes a snapshot a finished build; `proof` is known of one that we have uploaded. It keeps its id, and is noted first:
    /// a snapshot of that id is taken up again.
    pub fn keep_snapshot(
        &self,
        snapshot: &Image,
        fingerprint: &str,
        built: Timestamp,
        proof: Option<Proof>,
    ) -> Result<(Revision, Image), RevisionError> {
        let revision = self.revision(snapshot.id.clone(), fingerprint, built, proof);
        self.tracker.progress.revision(&revision);
        let name = name(&self.owner.application, self.tracker.target);
        let (images, changes) = (self.cloud.images(), labels::keep(snapshot, &name));
        let image =
            description::update(&images, &snapshot.id, changes, self.properties(), Deadline::after(KEEP))?;
        Ok((revision, image))
    }

    /// Uploads a file that was built on this machine as a finished build.
    pub fn keep_file(
        &self,
        file: &LocalImage,
        fingerprint: &str,
        deadline: Deadline,
    ) -> Result<(Revision, Image), RevisionError> {
        let id = new_id()?;
        let labels = labels::of_copy(self.owner, self.job, &id, fingerprint);
        let new = self.new_image(file, &id, name(&self.owner.application, self.tracker.target), labels);
        let noted = self.noted(ResourceKind::Revision, &new);
        self.tracker.makes(&noted).map_err(DeliveryError::from)?;
        let images = self.cloud.images();
        let result = self.upload(file, &id, &new, deadline).and_then(|proof| {
            let revision = self.revision(id.clone(), fingerprint, Timestamp::now(), Some(proof));
            self.tracker.progress.revision(&revision);
            let image = description::update(&images, &id, labels::keep_file(), self.properties(), deadline)?;
            Ok((revision, image))
        });
        self.tracker.conclude(&images, &id, &noted, &result);
        result
    }

    /// Uploads a file that was built on this machine to be verified: from then on it is a snapshot like any other, but that
    /// its bytes are known.
    pub fn upload_unverified(
        &self,
        file: &LocalImage,
        fingerprint: &str,
        deadline: Deadline,
    ) -> Result<(Image, Proof), RevisionError> {
        let (id, target) = (new_id()?, self.tracker.target);
        let mut labels = labels::of_copy(self.owner, self.job, &id, fingerprint);
        labels.extend([labels::for_target(target)]);
        labels.extend(file.manifest.iter().flat_map(|known| Description::of_manifest(known).labels()));
        let name = format!("{}-image-builder-{target}-{}", self.owner.application, self.job);
        let new = self.new_image(file, &id, name, labels);
        let noted = self.noted(ResourceKind::Snapshot, &new);
        self.tracker.makes(&noted).map_err(DeliveryError::from)?;
        let images = self.cloud.images();
        let result = self.upload(file, &id, &new, deadline).and_then(|proof| {
            let image = images.update(&id, &labels::await_verification(), deadline)?;
            Ok((image, proof))
        });
        // It stays noted until it is kept, or put aside.
        if result.is_err() {
            self.tracker.conclude(&images, &id, &noted, &result);
        }
        result
    }

    fn new_image(
        &self,
        file: &LocalImage,
        id: &ImageId,
        name: String,
        mut properties: BTreeMap<String, String>,
    ) -> NewImage {
        properties.insert("architecture".into(), self.tracker.target.arch.glance().into());
        NewImage {
            id: Some(id.clone()),
            name,
            disk_format: file.format.as_str().into(),
            container_format: "bare".into(),
            min_disk: file.min_disk,
            min_ram: 0,
            properties,
        }
    }

    fn noted(&self, kind: ResourceKind, image: &NewImage) -> Resource {
        let id = image.id.as_ref().map(ToString::to_string);
        Resource { kind, cloud: self.cloud_name.clone(), name: image.name.clone(), id, revision: None }
    }

    /// Sends a file to the build project, and compares what arrived.
    fn upload(
        &self,
        file: &LocalImage,
        id: &ImageId,
        new: &NewImage,
        deadline: Deadline,
    ) -> Result<Proof, RevisionError> {
        let (path, images) = (file.path(), self.cloud.images());
        let failed = |source| RevisionError::File { path: path.display().to_string(), source };
        let opened = File::open(&path).map_err(failed)?;
        let size = opened.metadata().map_err(failed)?.len();
        images.create(new, deadline)?;
        let opened = Metered::new(opened, "uploading the build", Some(size));
        let mut bytes = Digesting::<_, Sha512>::new(opened);
        images.upload(id, Some(size), &mut bytes, deadline)?;
        let proof = Proof { sha512: bytes.hex(), size };
        compare(&images, id, &proof, deadline)?;
        Ok(proof)
    }

    fn properties(&self) -> BTreeMap<String, String> {
        description::properties(self.tracker.target, Some(&self.contents))
    }

    fn revision(&self, id: ImageId, fingerprint: &str, built: Timestamp, proof: Option<Proof>) -> Revision {
        let (target, job, fingerprint) = (self.tracker.target, self.job.clone(), fingerprint.to_owned());
        let contents = Some(self.contents.clone());
        let (failed_reads, copies) = (0, Vec::new());
        Revision { target, id, job, fingerprint, built, proof, failed_reads, contents, copies }
    }
}
