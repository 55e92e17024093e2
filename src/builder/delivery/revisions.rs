//! Finished builds, kept as images of the build project: what related projects get is copied from there and from nowhere
//! else.

use std::collections::BTreeMap;
use std::fs::File;
use std::time::Duration;

use sha2::Sha512;

use super::distribution::{DeliveryError, compare};
use crate::builder::image::local::LocalImage;
use crate::builder::ownership::description;
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
    let is_it = |image: &Image| image.id == revision.id && image.status == ImageStatus::Active;
    let is_unchanged = |image: &Image| {
        revision.proof.as_ref().is_none_or(|proof| proof.compare(image) != Comparison::Different)
    };
    let found = images(cloud, owner, revision.target, deadline)?;
    Ok(found.into_iter().find(|image| is_it(image) && is_unchanged(image)))
}

/// The name of an application's finished builds of a target.
pub fn name(application: &str, target: Target) -> String {
    format!("{application}-image-builder-revision-{target}")
}

impl Revisions<'_> {
    /// Makes a snapshot a finished build. It keeps its id, and is noted first: a snapshot of that id is taken up again.
    pub fn keep_snapshot(
        &self,
        snapshot: &Image,
        fingerprint: &str,
        built: Timestamp,
    ) -> Result<(Revision, Image), RevisionError> {
        let revision = self.revision(snapshot.id.clone(), fingerprint, built, None);
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
        let path = file.path();
        let failed = |source| RevisionError::File { path: path.display().to_string(), source };
        let opened = File::open(&path).map_err(failed)?;
        let size = opened.metadata().map_err(failed)?.len();
        let id: ImageId = random_uuid().parse().map_err(|_| DeliveryError::NoId)?;
        let target = self.tracker.target;
        let mut properties = labels::of_copy(self.owner, self.job, &id, fingerprint);
        properties.insert("architecture".into(), target.arch.glance().into());
        let new = NewImage {
            id: Some(id.clone()),
            name: name(&self.owner.application, target),
            disk_format: file.format.as_str().into(),
            container_format: "bare".into(),
            min_disk: file.min_disk,
            min_ram: 0,
            properties,
        };
        let noted = Resource {
            kind: ResourceKind::Revision,
            cloud: self.cloud_name.clone(),
            name: new.name.clone(),
            id: Some(id.to_string()),
            revision: None,
        };
        self.tracker.makes(&noted).map_err(DeliveryError::from)?;
        let images = self.cloud.images();
        let result = (|| {
            images.create(&new, deadline)?;
            let opened = Metered::new(opened, "uploading the build", Some(size));
            let mut bytes = Digesting::<_, Sha512>::new(opened);
            images.upload(&id, Some(size), &mut bytes, deadline)?;
            let proof = Proof { sha512: bytes.hex(), size };
            compare(&images, &id, &proof, deadline)?;
            let revision = self.revision(id.clone(), fingerprint, Timestamp::now(), Some(proof));
            self.tracker.progress.revision(&revision);
            let image = description::update(&images, &id, labels::keep_file(), self.properties(), deadline)?;
            Ok((revision, image))
        })();
        self.tracker.conclude(&images, &id, &noted, &result);
        result
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
