//! How what we create in a cloud is marked, and when something is ours: by label and owning project and, for images, a
//! proof that the label was put on this very image, since Nova copies an image's properties into every snapshot of a
//! server that was booted from it. Anything less is never touched.
//!
//! The proof is a property that equals the image's own id. Of a snapshot that was just taken, whose id only Nova knows,
//! it is that the server that our label names is the one that Nova itself notes as the snapshot's source
//! (`instance_uuid`): in a snapshot that somebody takes of a server booted from ours the two differ.

use std::collections::BTreeMap;
use std::time::Duration;

use super::identity::Origin;
use crate::model::{Deadline, Target, Timestamp};
use crate::openstack_cloud::{
    Cloud, Hidden, Image, ImageChange, ImageFilter, ImageId, ImageStatus, OpenStackError, Server, ServerId,
};
use crate::record::{JobId, Owner};

/// `MODEL-UUID/APPLICATION`.
const OWNER: &str = "runner_image_builder_owner";
/// The number of the unit that made it.
const UNIT: &str = "runner_image_builder_unit";
/// The job that made it.
const JOB: &str = "runner_image_builder_job";
/// What a server is that stays until it expires.
const ROLE: &str = "runner_image_builder_role";
/// A runner that an operator has launched.
const RUNNER: &str = "runner";
/// What an image is for: one of [`Stage`].
const STAGE: &str = "runner_image_builder_stage";
/// An image's own id.
const SELF: &str = "runner_image_builder_self";
/// The builder VM that a snapshot was taken of.
const SERVER: &str = "runner_image_builder_server";
/// What Nova notes as the source of a snapshot.
const NOVA_SOURCE: &str = "instance_uuid";
/// The target that a snapshot is for.
const TARGET: &str = "runner_image_builder_target";
/// Seconds since the epoch after which any unit of the application may remove a server.
const EXPIRES: &str = "runner_image_builder_expires";
/// What went into a published image.
pub const FINGERPRINT: &str = "runner_image_builder_fingerprint";
/// The checked SHA-256 of a base image; an image without it has not been checked.
pub const DIGEST: &str = "runner_image_builder_sha256";
/// What went into a prepared image.
pub const PREPARATION: &str = "runner_image_builder_preparation";

/// What an image of ours is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// An Ubuntu cloud image to boot builders from.
    Base,
    /// One that has the recipe's packages and snaps already.
    Prepared,
    /// A snapshot of a builder, or a build that was uploaded to be verified; to be delivered.
    Snapshot,
    /// A finished build, of which copies are made.
    Revision,
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
            Self::Prepared => "prepared",
            Self::Snapshot => "snapshot",
            Self::Revision => "revision",
            Self::Delivering => "delivering",
            Self::Published => "published",
            Self::Rejected => "rejected",
        }
    }
}

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

/// The labels of a runner that an operator has launched and that may live until it `expires`.
pub fn of_runner(owner: &Owner, launch: &JobId, expires: Timestamp) -> BTreeMap<String, String> {
    let mut labels = mark_of_runner(owner, launch);
    labels.insert(EXPIRES.into(), expires.0.to_string());
    labels
}

/// Those of them by which the runner of a launch is known.
pub fn mark_of_runner(owner: &Owner, launch: &JobId) -> BTreeMap<String, String> {
    let mut labels = common(owner, launch);
    labels.insert(ROLE.into(), RUNNER.into());
    labels
}

/// The labels of an image that we make under an id of our choice.
pub fn of_image(owner: &Owner, job: &JobId, stage: Stage, id: &ImageId) -> BTreeMap<String, String> {
    let mut labels = common(owner, job);
    labels.insert(STAGE.into(), stage.as_str().into());
    labels.insert(SELF.into(), id.to_string());
    labels
}

/// The labels of an image that somebody builds by hand, for whoever builds the next one in its project.
pub fn of_image_by_hand(target: Target, id: &ImageId) -> BTreeMap<String, String> {
    let labels = [(OWNER, "by-hand".to_owned()), (TARGET, target.to_string()), (SELF, id.to_string())];
    labels.map(|(name, value)| (name.to_owned(), value)).into()
}

/// The labels of an image that is made of bytes that we send, until it is complete and compared.
pub fn of_copy(owner: &Owner, job: &JobId, id: &ImageId, fingerprint: &str) -> BTreeMap<String, String> {
    let mut labels = of_image(owner, job, Stage::Delivering, id);
    labels.insert(FINGERPRINT.into(), fingerprint.into());
    labels
}

/// The labels of a snapshot of our `server`, whose own id Nova chooses.
pub fn of_snapshot(
    owner: &Owner,
    job: &JobId,
    server: &ServerId,
    target: Target,
    fingerprint: &str,
    origin: &Origin,
) -> BTreeMap<String, String> {
    let mut labels = common(owner, job);
    labels.insert(STAGE.into(), Stage::Snapshot.as_str().into());
    labels.extend(origin.labels());
    labels.insert(SERVER.into(), server.to_string());
    labels.extend([for_target(target)]);
    labels.insert(FINGERPRINT.into(), fingerprint.into());
    labels
}

/// The labels of a snapshot of our `server` that is to become a prepared image. They name no target: nobody goes on with it
/// as with the snapshot of a build, and a sweep removes it.
pub fn of_preparation(
    owner: &Owner,
    job: &JobId,
    server: &ServerId,
    key: &str,
    origin: &Origin,
) -> BTreeMap<String, String> {
    let mut labels = common(owner, job);
    labels.insert(STAGE.into(), Stage::Snapshot.as_str().into());
    labels.extend(origin.labels());
    labels.insert(SERVER.into(), server.to_string());
    labels.insert(PREPARATION.into(), key.into());
    labels
}

/// What turns a complete snapshot into one that proves itself, and rids it of what it inherited from the image that its
/// builder was booted from.
pub fn seal(snapshot: &Image) -> Vec<ImageChange> {
    prove(snapshot, &[DIGEST, PREPARATION])
}

fn prove(snapshot: &Image, inherited: &[&str]) -> Vec<ImageChange> {
    let own_id = ImageChange::Add(SELF.into(), snapshot.id.as_str().into());
    let inherited = inherited.iter().filter(|label| snapshot.properties.contains_key(**label));
    std::iter::once(own_id).chain(inherited.map(|label| ImageChange::Remove((*label).into()))).collect()
}

/// What turns a complete snapshot of a preparation into a prepared image.
pub fn keep_prepared(snapshot: &Image, name: &str) -> Vec<ImageChange> {
    let mut changes = prove(snapshot, &[DIGEST]);
    changes.push(ImageChange::Replace("name".into(), name.into()));
    changes.push(ImageChange::Replace(STAGE.into(), Stage::Prepared.as_str().into()));
    changes
}

/// The machine that a snapshot was taken of.
pub fn origin(snapshot: &Image) -> Origin {
    Origin::of_labels(&snapshot.properties)
}

/// The name of the image of `target` that failed last.
pub fn rejected_name(owner: &Owner, target: Target) -> String {
    format!("{}-image-builder-rejected-{target}", owner.application)
}

/// What turns a snapshot that failed its verification into a hidden image that nothing takes for a snapshot.
pub fn reject(snapshot: &ImageId, name: &str) -> Vec<ImageChange> {
    vec![
        ImageChange::Replace("name".into(), name.into()),
        ImageChange::Replace("os_hidden".into(), true.into()),
        ImageChange::Add(STAGE.into(), Stage::Rejected.as_str().into()),
        ImageChange::Add(SELF.into(), snapshot.as_str().into()),
    ]
}

/// What turns a complete copy into a published image.
pub fn publish() -> Vec<ImageChange> {
    vec![ImageChange::Replace(STAGE.into(), Stage::Published.as_str().into())]
}

/// What turns a snapshot that was proven into a finished build.
pub fn keep(snapshot: &Image, name: &str) -> Vec<ImageChange> {
    let mut changes = seal(snapshot);
    changes.push(ImageChange::Replace("name".into(), name.into()));
    changes.push(ImageChange::Replace(STAGE.into(), Stage::Revision.as_str().into()));
    changes
}

/// The label that says what a snapshot is for.
pub fn for_target(target: Target) -> (String, String) {
    (TARGET.to_owned(), target.to_string())
}

/// What turns an uploaded file that is complete into one to be verified, like the snapshots of builder VMs.
pub fn await_verification() -> Vec<ImageChange> {
    vec![ImageChange::Replace(STAGE.into(), Stage::Snapshot.as_str().into())]
}

/// What turns an uploaded file that is complete into a finished build.
pub fn keep_file() -> Vec<ImageChange> {
    vec![ImageChange::Replace(STAGE.into(), Stage::Revision.as_str().into())]
}

/// Whether this job has made `server`.
pub fn is_server_of_job(job: &JobId, server: &Server) -> bool {
    server.metadata.get(JOB).is_some_and(|made_by| made_by == job.as_str())
}

/// Whether one of these jobs made the image.
pub fn is_of_job(jobs: &[JobId], image: &Image) -> bool {
    image.properties.get(JOB).is_some_and(|made_by| jobs.iter().any(|job| job.as_str() == made_by))
}

/// Whether a snapshot is for `target`.
pub fn is_for(target: Target, image: &Image) -> bool {
    image.properties.get(TARGET).is_some_and(|known| *known == target.to_string())
}

/// What makes an image without any label of ours a published image of ours.
pub fn adopt(owner: &Owner, job: &JobId, image: &Image) -> Vec<ImageChange> {
    let labels = of_image(owner, job, Stage::Published, &image.id);
    labels.into_iter().map(|(name, value)| ImageChange::Add(name, value.into())).collect()
}

/// Whether an image could be one of the charm that we replace: nobody has labelled it, and it is no snapshot of a server.
pub fn may_be_adopted(image: &Image) -> bool {
    image.status == ImageStatus::Active && !is_labelled(image) && !image.properties.contains_key(NOVA_SOURCE)
}

/// Whether an image has a label of this charm's.
pub fn is_labelled(image: &Image) -> bool {
    [OWNER, STAGE, SELF].iter().any(|label| image.properties.contains_key(*label))
}

/// Whether this unit may remove a server: it made it for its own work, or a unit of the application did and it has
/// expired.
pub fn may_remove_server(owner: &Owner, server: &Server) -> bool {
    let label = |name: &str| server.metadata.get(name).map(String::as_str);
    let expired =
        label(EXPIRES).and_then(|at| at.parse().ok()).is_some_and(|at| Timestamp(at) < Timestamp::now());
    let own = label(UNIT) == Some(owner.unit.to_string().as_str()) && !is_runner(server);
    is_of_this_application(owner, server) && (own || expired)
}

/// Whether a server is a runner that an operator has launched.
pub fn is_runner(server: &Server) -> bool {
    server.metadata.get(ROLE).is_some_and(|role| role == RUNNER)
}

/// Whether a server was made by any unit of the application.
pub fn is_of_this_application(owner: &Owner, server: &Server) -> bool {
    server.metadata.get(OWNER).is_some_and(|label| *label == owner_label(owner))
}

/// Whether an image was made by this very unit, and not by another of the application.
pub fn is_of_this_unit(owner: &Owner, image: &Image) -> bool {
    image.properties.get(UNIT).is_some_and(|unit| *unit == owner.unit.to_string())
}

/// No job lives as long: what another unit has not completed by then, it never will.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// Whether an image that is ours but not complete is no other unit's work in progress: this very unit made it, or
/// it was made long ago.
pub fn is_abandoned(owner: &Owner, image: &Image) -> bool {
    let made = Timestamp::of_rfc3339(&image.created_at);
    is_of_this_unit(owner, image) || made.is_some_and(|made| made.age() > ABANDONED)
}

/// Whether an image that the leader announces is one that relations may name: active, and published by any unit of
/// the application in its own project.
pub fn is_published(owner: &Owner, project: &str, image: &Image) -> bool {
    image.status == ImageStatus::Active && is_ours(owner, project, Stage::Published, image)
}

/// The images of `stage` that are the application's own in this project, whatever their state, newest first.
pub fn images(
    cloud: &Cloud,
    owner: &Owner,
    stage: Stage,
    name: Option<&str>,
    deadline: Deadline,
) -> Result<Vec<Image>, OpenStackError> {
    list(cloud, owner, stage, name, Hidden::No, deadline)
}

/// Those that are left out of ordinary lists: revisions that are in use, images that failed.
pub fn hidden_images(
    cloud: &Cloud,
    owner: &Owner,
    stage: Stage,
    name: Option<&str>,
    deadline: Deadline,
) -> Result<Vec<Image>, OpenStackError> {
    list(cloud, owner, stage, name, Hidden::Yes, deadline)
}

fn list(
    cloud: &Cloud,
    owner: &Owner,
    stage: Stage,
    name: Option<&str>,
    hidden: Hidden,
    deadline: Deadline,
) -> Result<Vec<Image>, OpenStackError> {
    let project = cloud.project_id();
    let filter = ImageFilter {
        name: name.map(str::to_owned),
        owner: Some(project.clone()),
        properties: vec![(OWNER.into(), owner_label(owner)), (STAGE.into(), stage.as_str().into())],
        hidden,
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
    let taken_of_ours =
        stage == Stage::Snapshot && label(SERVER).is_some() && label(SERVER) == label(NOVA_SOURCE);
    let proven = taken_of_ours || label(SELF) == Some(image.id.as_str());
    proven
        && label(OWNER) == Some(owner_label(owner).as_str())
        && label(STAGE) == Some(stage.as_str())
        && image.owner.as_ref().is_some_and(|owner| owner.to_string() == project)
}

#[cfg(test)]
mod tests;
