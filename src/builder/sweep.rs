//! What earlier runs have left in the clouds, found by its labels: removed, unless it is good enough to be used.

use std::collections::BTreeSet;

use super::base_image::base_image_name;
use super::config::{BuildMode, BuilderRunConfig, Owner};
use super::labels::{self, DIGEST, Stage};
use super::site::remove_security_group;
use crate::deadline::Deadline;
use crate::openstack_cloud::{Cloud, Deletion, Image, ImageStatus, OpenStackError};
use crate::target::Target;

/// What a sweep leaves in place, beside published images and, unless nothing is kept, the last image of each target that
/// failed its verification.
#[derive(Clone, Copy)]
pub enum Keep<'a> {
    /// What the next run of this configuration can go on with: complete snapshots, complete copies, base images.
    Usable(&'a BuilderRunConfig),
    /// The base images that it needs, and copies that are complete.
    BaseImages(&'a BuilderRunConfig),
    /// Nothing.
    Nothing,
}

/// Removes from the build cloud what this unit has made there: VMs and those of other units that have
/// expired, snapshots, images that failed, base images, copies, the security group. For whoever holds the worker's lock: then nothing of
/// this unit is in use. Returns what had to stay, and why.
pub fn sweep_build_cloud(cloud: &Cloud, owner: &Owner, keep: Keep<'_>, deadline: Deadline) -> Vec<String> {
    let mut left = Vec::new();
    let compute = cloud.compute();
    match compute.servers(None, deadline) {
        Err(error) => left.push(format!("VMs: {error}")),
        Ok(mut servers) => {
            servers.retain(|server| labels::may_remove_server(owner, server));
            for server in &servers {
                log::warn!("removing VM {} ({}) that an earlier run left", server.name, server.id);
                left.extend(refusal(&server.name, compute.delete_server(&server.id, deadline)));
            }
            for server in &servers {
                let gone = compute.wait_until_gone(&server.id, deadline);
                left.extend(gone.err().map(|error| format!("{}: {error}", server.name)));
            }
        }
    }
    remove_images(cloud, owner, Stage::Snapshot, &mut left, deadline, |image| is_usable(image, keep));
    let mut failed = BTreeSet::new();
    remove_images(cloud, owner, Stage::Rejected, &mut left, deadline, |image| {
        // The newest comes first.
        is_of_a_target(image, keep) && failed.insert(image.name.clone())
    });
    remove_images(cloud, owner, Stage::Base, &mut left, deadline, |image| is_wanted_base(image, keep));
    left.extend(sweep_copies(cloud, owner, keep, deadline));
    // A run that goes on needs it, and removes it at its end.
    if !matches!(keep, Keep::Usable(_))
        && let Err(error) = remove_security_group(cloud, owner, deadline)
    {
        left.push(format!("security group: {error}"));
    }
    left
}

/// Publishes this unit's copies in a cloud that are complete, and removes those that are not. Returns what had to
/// stay, and why.
pub fn sweep_copies(cloud: &Cloud, owner: &Owner, keep: Keep<'_>, deadline: Deadline) -> Vec<String> {
    let mut left = Vec::new();
    remove_images(cloud, owner, Stage::Delivering, &mut left, deadline, |copy| {
        let complete = !matches!(keep, Keep::Nothing) && labels::is_complete_copy(copy);
        complete && cloud.images().update(&copy.id, &labels::publish(), deadline).is_ok()
    });
    left
}

fn is_usable(snapshot: &Image, keep: Keep<'_>) -> bool {
    let Keep::Usable(config) = keep else { return false };
    let wanted = config.targets.iter().any(|target| labels::is_for(*target, snapshot));
    wanted && snapshot.status == ImageStatus::Active && snapshot.size.is_some_and(|size| size > 0)
}

fn is_of_a_target(rejected: &Image, keep: Keep<'_>) -> bool {
    let (Keep::Usable(config) | Keep::BaseImages(config)) = keep else { return false };
    config.targets.iter().any(|target| labels::rejected_name(&config.owner, *target) == rejected.name)
}

fn is_wanted_base(image: &Image, keep: Keep<'_>) -> bool {
    let (Keep::Usable(config) | Keep::BaseImages(config)) = keep else { return false };
    let is_of = |target: &Target| base_image_name(&config.owner.application, *target) == image.name;
    // Only builder VMs boot from base images.
    config.build_mode == BuildMode::External
        && config.targets.iter().any(is_of)
        && image.properties.contains_key(DIGEST)
}

fn remove_images(
    cloud: &Cloud,
    owner: &Owner,
    stage: Stage,
    left: &mut Vec<String>,
    deadline: Deadline,
    mut stays: impl FnMut(&Image) -> bool,
) {
    let found = match stage {
        Stage::Rejected => labels::hidden_images(cloud, owner, stage, None, deadline),
        _ => labels::images(cloud, owner, stage, None, deadline),
    };
    let found = match found {
        Ok(found) => found,
        Err(error) => return left.push(format!("images of stage {}: {error}", stage.as_str())),
    };
    let ours = found.iter().filter(|image| labels::is_of_this_unit(owner, image));
    for image in ours.filter(|image| !stays(image)) {
        log::warn!(
            "removing image {} ({}), {}, that an earlier run left",
            image.name,
            image.id,
            stage.as_str()
        );
        left.extend(refusal(&image.name, cloud.images().delete(&image.id, deadline)));
    }
}

fn refusal(name: &str, deletion: Result<Deletion, OpenStackError>) -> Option<String> {
    match deletion {
        Ok(Deletion::Deleted | Deletion::Absent) => None,
        Ok(Deletion::InUse(why)) => Some(format!("{name}: in use: {why}")),
        Err(error) => Some(format!("{name}: {error}")),
    }
}
