//! How what we create in a cloud is marked, and when something is ours: by label and owning project and, for images, a
//! property that equals the image's own id, since Nova copies an image's properties into every snapshot of a server
//! that was booted from it. Anything less is never touched.

use std::collections::BTreeMap;
use std::time::Duration;

use super::config::{JobId, Owner};
use super::journal::Timestamp;
use crate::deadline::Deadline;
use crate::openstack_cloud::{Cloud, Hidden, Image, ImageFilter, ImageId, OpenStackError, Server};

/// `MODEL-UUID/APPLICATION`.
const OWNER: &str = "runner_image_builder_owner";
/// The number of the unit that made it.
const UNIT: &str = "runner_image_builder_unit";
/// The job that made it.
const JOB: &str = "runner_image_builder_job";
/// What an image is for: one of [`Stage`].
const STAGE: &str = "runner_image_builder_stage";
/// An image's own id.
const SELF: &str = SELF_LABEL;
/// Seconds since the epoch after which any unit of the application may remove a server.
const EXPIRES: &str = "runner_image_builder_expires";
/// What went into a published image.
pub const FINGERPRINT: &str = "runner_image_builder_fingerprint";
/// The checked SHA-256 of a base image; an image without it has not been checked.
pub const DIGEST: &str = "runner_image_builder_sha256";

/// What an image of ours is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// An Ubuntu cloud image to boot builders from.
    Base,
    /// A snapshot of a builder, to be delivered.
    Snapshot,
    /// A copy that is not complete or not checked.
    Delivering,
    /// A complete, checked runner image.
    Published,
    /// A snapshot that failed its verification, kept hidden for inspection.
    Rejected,
}

impl Stage {
    /// The value of the label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Snapshot => "snapshot",
            Self::Delivering => "delivering",
            Self::Published => "published",
            Self::Rejected => "rejected",
        }
    }
}

/// The label that holds an image's stage.
pub const STAGE_LABEL: &str = STAGE;
/// The label that holds an image's own id.
pub const SELF_LABEL: &str = "runner_image_builder_self";

/// The value of the owner's label.
pub fn owner_label(owner: &Owner) -> String {
    format!("{}/{}", owner.model_uuid, owner.application)
}

fn common(owner: &Owner, job: &JobId) -> BTreeMap<String, String> {
    BTreeMap::from([
        (OWNER.into(), owner_label(owner)),
        (UNIT.into(), owner.unit.to_string()),
        (JOB.into(), job.to_string()),
    ])
}

/// The labels of a server that may live for `life`.
pub fn of_server(owner: &Owner, job: &JobId, life: Duration) -> BTreeMap<String, String> {
    let mut labels = common(owner, job);
    labels.insert(EXPIRES.into(), Timestamp::now().plus(life).0.to_string());
    labels
}

/// The labels of an image that we make under an id of our choice.
pub fn of_image(owner: &Owner, job: &JobId, stage: Stage, id: &ImageId) -> BTreeMap<String, String> {
    let mut labels = of_snapshot(owner, job);
    labels.insert(STAGE.into(), stage.as_str().into());
    labels.insert(SELF.into(), id.to_string());
    labels
}

/// The labels of a snapshot, whose id Nova chooses. Only our own request for a snapshot says that an image is one, so
/// it needs no proof by its id.
pub fn of_snapshot(owner: &Owner, job: &JobId) -> BTreeMap<String, String> {
    let mut labels = common(owner, job);
    labels.insert(STAGE.into(), Stage::Snapshot.as_str().into());
    labels
}

/// Whether this unit may remove a server: it made it, or another unit of the application did and it has expired.
pub fn may_remove_server(owner: &Owner, server: &Server) -> bool {
    let label = |name: &str| server.metadata.get(name).map(String::as_str);
    let expired =
        label(EXPIRES).and_then(|at| at.parse().ok()).is_some_and(|at| Timestamp(at) < Timestamp::now());
    label(OWNER) == Some(owner_label(owner).as_str())
        && (label(UNIT) == Some(owner.unit.to_string().as_str()) || expired)
}

/// Whether an image was made by this very unit, and not by another of the application.
pub fn is_of_this_unit(owner: &Owner, image: &Image) -> bool {
    image.properties.get(UNIT).is_some_and(|unit| *unit == owner.unit.to_string())
}

/// The images of `stage` that are the application's own in this project, whatever their state, newest first.
pub fn images(
    cloud: &Cloud,
    owner: &Owner,
    stage: Stage,
    name: Option<&str>,
    deadline: Deadline,
) -> Result<Vec<Image>, OpenStackError> {
    let project = cloud.project_id();
    let filter = ImageFilter {
        name: name.map(str::to_owned),
        owner: Some(project.clone()),
        properties: vec![(OWNER.into(), owner_label(owner)), (STAGE.into(), stage.as_str().into())],
        hidden: if stage == Stage::Rejected { Hidden::Yes } else { Hidden::No },
        ..ImageFilter::default()
    };
    let mut images = cloud.images().list(&filter, deadline)?;
    images.retain(|image| is_ours(owner, &project.to_string(), stage, image));
    images.sort_by(|a, b| b.created_at.cmp(&a.created_at));
    Ok(images)
}

/// Filters are a convenience of the cloud; what we may touch is decided here.
fn is_ours(owner: &Owner, project: &str, stage: Stage, image: &Image) -> bool {
    let label = |name: &str| image.properties.get(name).map(String::as_str);
    let proven = stage == Stage::Snapshot || label(SELF) == Some(image.id.as_str());
    proven
        && label(OWNER) == Some(owner_label(owner).as_str())
        && label(STAGE) == Some(stage.as_str())
        && image.owner.as_ref().is_some_and(|owner| owner.to_string() == project)
}
