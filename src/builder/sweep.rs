//! What a run that was killed has left in the clouds, found by its labels and removed.

use super::config::{BuildMode, BuilderRunConfig, Owner};
use super::labels::{self, Stage};
use crate::deadline::Deadline;
use crate::openstack_cloud::Cloud;

/// Removes the builder VMs and snapshots of this unit from the build cloud, and its unfinished copies from all clouds.
/// For whoever holds the worker's lock: then nothing of this unit is in use. What cannot be removed now is told of and
/// found again.
pub fn sweep<'a>(
    build_cloud: &Cloud,
    clouds: impl Iterator<Item = &'a Cloud>,
    config: &BuilderRunConfig,
    deadline: Deadline,
) {
    let owner = &config.owner;
    let compute = build_cloud.compute();
    let servers = compute.servers(None, deadline).unwrap_or_else(|error| {
        log::warn!("builder VMs that an earlier run may have left stay for the next sweep: {error}");
        Vec::new()
    });
    for server in servers.iter().filter(|server| labels::may_remove_server(owner, server)) {
        log::warn!("removing builder VM {} ({}) that an earlier run left", server.name, server.id);
        let gone = compute.delete_server(&server.id, deadline);
        if let Err(error) = gone.and_then(|_| compute.wait_until_gone(&server.id, deadline)) {
            log::warn!("builder VM {} stays for the next sweep: {error}", server.id);
        }
    }
    remove_images(build_cloud, owner, Stage::Snapshot, deadline);
    // Only builder VMs boot from base images.
    if config.build_mode == BuildMode::Local {
        remove_images(build_cloud, owner, Stage::Base, deadline);
    }
    clouds.for_each(|cloud| remove_images(cloud, owner, Stage::Delivering, deadline));
}

fn remove_images(cloud: &Cloud, owner: &Owner, stage: Stage, deadline: Deadline) {
    let found = labels::images(cloud, owner, stage, None, deadline).unwrap_or_else(|error| {
        log::warn!("images that an earlier run may have left stay for the next sweep: {error}");
        Vec::new()
    });
    for image in found.iter().filter(|image| labels::is_of_this_unit(owner, image)) {
        log::warn!("removing image {} ({}) that an earlier run left", image.name, image.id);
        if let Err(error) = cloud.images().delete(&image.id, deadline) {
            log::warn!("image {} stays for the next sweep: {error}", image.id);
        }
    }
}
