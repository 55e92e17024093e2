//! What earlier runs have left in the clouds, found by its labels: removed, unless it is good enough to be used.

use std::collections::BTreeSet;
use std::slice;

use super::all_images::all_images;
use crate::builder::delivery::revisions;
use crate::builder::image::base_image::base_image_name;
use crate::builder::image::site::{remove_security_group, remove_security_groups};
use crate::builder::ownership::labels::{self, DIGEST, Stage};
use crate::model::{Deadline, Target};
use crate::openstack_cloud::{Cloud, Deletion, Image, ImageStatus, OpenStackError, Server, Visibility};
use crate::record::{BuildMode, BuilderRunConfig, JobId, Owner, Told};

/// What a sweep leaves in place.
#[derive(Clone, Copy)]
pub enum Keep<'a> {
    /// What the next run of this configuration can go on with: complete snapshots, finished builds, base images; the last
    /// image of each target that failed its verification; and what this job makes.
    Usable(&'a BuilderRunConfig, &'a JobId),
    /// The same without snapshots.
    BaseImages(&'a BuilderRunConfig),
    /// What stays when the unit goes.
    After(Extent),
    /// Nothing but what this job makes there for others, of a cloud that is not used any more: of what other units have
    /// made there, what they may still work with stays for the next try.
    OfJob(&'a JobId),
}

/// What a unit takes with it when it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// What it made itself and nobody else needs: VMs, snapshots, images that failed, copies that are not complete, its
    /// security group. Other units stay.
    Unit,
    /// The same of all units, base images and finished builds that are not shared. It is the last unit.
    Application,
    /// Published images as well, the shared ones among them.
    ApplicationAndImages,
}

impl<'a> Keep<'a> {
    /// Whether all units of the application are gone.
    fn is_the_end(self) -> bool {
        matches!(self, Self::After(Extent::Application | Extent::ApplicationAndImages))
    }

    /// The job under way: what it makes is in use.
    fn job(self) -> Option<&'a JobId> {
        match self {
            Self::Usable(_, job) | Self::OfJob(job) => Some(job),
            Self::BaseImages(_) | Self::After(_) => None,
        }
    }

    fn config(&self) -> Option<&BuilderRunConfig> {
        match self {
            Self::Usable(config, _) | Self::BaseImages(config) => Some(config),
            Self::After(_) | Self::OfJob(_) => None,
        }
    }
}

/// Removes from a cloud what this unit has made there, and what other units have abandoned: VMs, snapshots, images that
/// failed, base images, finished builds, copies, the security group; published images only when `keep` says so. For whoever holds the
/// worker's lock: then nothing of this unit is in use. What relations are `told` of stays. Returns what had to stay, and
/// why.
pub fn sweep_cloud(
    cloud: &Cloud,
    owner: &Owner,
    keep: Keep<'_>,
    told: &Told,
    deadline: Deadline,
) -> Vec<String> {
    let servers = sweep_servers(cloud, owner, keep, deadline);
    let mut left = servers.unwrap_or_else(|error| vec![format!("VMs: {error}")]);
    let mut remove = |stage, stays: &mut dyn FnMut(&Image) -> bool| {
        left.extend(remove_images(cloud, owner, stage, keep, deadline, stays));
    };
    remove(Stage::Snapshot, &mut |image| is_usable(image, keep));
    let mut failed = BTreeSet::new();
    // The newest comes first.
    remove(Stage::Rejected, &mut |image| is_of_a_target(image, keep) && failed.insert(image.name.clone()));
    remove(Stage::Base, &mut |image| is_wanted_base(image, keep));
    let mut named = Vec::new();
    remove(Stage::Revision, &mut |image| {
        let is_wanted = is_wanted_revision(image, keep);
        let is_told = !keep.is_the_end() && told.names(&image.id);
        if is_told && !is_wanted {
            named.push(format!("{}: relations name it", image.name));
        }
        is_wanted || is_told
    });
    if matches!(keep, Keep::After(Extent::ApplicationAndImages)) {
        remove(Stage::Published, &mut |_| false);
    }
    left.extend(named);
    left.extend(sweep_copies(cloud, owner, keep, deadline));
    left.extend(match keep {
        // A run that goes on needs it, and removes it at its end.
        Keep::Usable(..) => Vec::new(),
        Keep::OfJob(_) => remove_security_groups(cloud, owner, deadline),
        _ if keep.is_the_end() => remove_security_groups(cloud, owner, deadline),
        _ => remove_security_group(cloud, owner, deadline),
    });
    left
}

/// Removes this unit's VMs from a cloud, and those that have expired: runners that were launched before, above all.
/// Returns what had to stay, and why.
pub fn sweep_servers(
    cloud: &Cloud,
    owner: &Owner,
    keep: Keep<'_>,
    deadline: Deadline,
) -> Result<Vec<String>, OpenStackError> {
    let compute = cloud.compute();
    let ours = |server: &Server| labels::is_of_this_application(owner, server);
    let servers = compute.servers_that(&ours, deadline)?;
    let (mut servers, others): (Vec<Server>, Vec<Server>) =
        servers.into_iter().partition(|server| keep.is_the_end() || labels::may_remove_server(owner, server));
    servers.retain(|server| !keep.job().is_some_and(|job| labels::is_server_of_job(job, server)));
    let mut left = match keep {
        Keep::OfJob(_) => others
            .iter()
            .filter(|server| !labels::is_runner(server))
            .map(|server| others_have(&server.name))
            .collect(),
        _ => Vec::new(),
    };
    // Only those go that have not been refused.
    servers.retain(|server| {
        log::warn!("deleting VM {} ({}): no longer needed", server.name, server.id);
        let refusal = refusal(&server.name, compute.delete_server(&server.id, deadline));
        let goes = refusal.is_none();
        left.extend(refusal);
        goes
    });
    for server in &servers {
        let gone = compute.wait_until_gone(&server.id, deadline);
        left.extend(gone.err().map(|error| format!("{}: {error}", server.name)));
    }
    Ok(left)
}

/// Removes this unit's copies in a cloud that are not published, and those that others have abandoned. Returns what had to
/// stay, and why.
pub fn sweep_copies(cloud: &Cloud, owner: &Owner, keep: Keep<'_>, deadline: Deadline) -> Vec<String> {
    // Another relation may lead to the same project, and be served there meanwhile.
    let is_being_made =
        |image: &Image| keep.job().is_some_and(|job| labels::is_of_job(slice::from_ref(job), image));
    remove_images(cloud, owner, Stage::Delivering, keep, deadline, &mut |image| is_being_made(image))
}

fn is_usable(snapshot: &Image, keep: Keep<'_>) -> bool {
    let Keep::Usable(config, _) = keep else { return false };
    let wanted = config.targets.iter().any(|target| labels::is_for(*target, snapshot));
    wanted && snapshot.status == ImageStatus::Active && snapshot.size.is_some_and(|size| size > 0)
}

fn is_of_a_target(rejected: &Image, keep: Keep<'_>) -> bool {
    let Some(config) = keep.config() else { return false };
    config.targets.iter().any(|target| labels::rejected_name(&config.owner, *target) == rejected.name)
}

fn is_wanted_base(image: &Image, keep: Keep<'_>) -> bool {
    // Others may boot from it.
    let Some(config) = keep.config() else { return matches!(keep, Keep::After(Extent::Unit)) };
    let is_of = |target: &Target| base_image_name(&config.owner.application, *target) == image.name;
    // Only builder VMs boot from base images.
    config.build_mode == BuildMode::External
        && config.targets.iter().any(is_of)
        && image.properties.contains_key(DIGEST)
}

fn is_wanted_revision(image: &Image, keep: Keep<'_>) -> bool {
    let Some(config) = keep.config() else {
        return match keep {
            // The next leader may deliver it.
            Keep::After(Extent::Unit) => true,
            // Of a shared one, it is the published image.
            Keep::After(Extent::Application) => image.visibility == Visibility::Shared,
            _ => false,
        };
    };
    config.targets.iter().any(|target| revisions::name(&config.owner.application, *target) == image.name)
}

/// Removes the images of `stage` except those of which `stays` is true. Returns what had to stay, and why.
fn remove_images(
    cloud: &Cloud,
    owner: &Owner,
    stage: Stage,
    keep: Keep<'_>,
    deadline: Deadline,
    stays: &mut dyn FnMut(&Image) -> bool,
) -> Vec<String> {
    let listed = match stage {
        Stage::Rejected => labels::hidden_images(cloud, owner, stage, None, deadline),
        Stage::Published | Stage::Revision => all_images(cloud, owner, stage, deadline),
        _ => labels::images(cloud, owner, stage, None, deadline),
    };
    let mut found = match listed {
        Ok(found) => found,
        Err(error) => return vec![format!("images of stage {}: {error}", stage.as_str())],
    };
    let mut left = Vec::new();
    found.retain(|image| match keep {
        Keep::After(Extent::Unit) => labels::is_of_this_unit(owner, image),
        Keep::After(_) => true,
        // No unit is configured to boot or to copy from it.
        Keep::OfJob(_) if matches!(stage, Stage::Base | Stage::Revision) => true,
        Keep::OfJob(_) => {
            let goes = labels::is_abandoned(owner, image);
            left.extend((!goes).then(|| others_have(&image.name)));
            goes
        }
        Keep::Usable(..) | Keep::BaseImages(_) => labels::is_abandoned(owner, image),
    });
    for image in found.iter().filter(|image| !stays(image)) {
        log::warn!("deleting image {} ({}), stage {}", image.name, image.id, stage.as_str());
        left.extend(refusal(&image.name, cloud.images().delete(&image.id, deadline)));
    }
    left
}

/// Why something of another unit stays.
fn others_have(name: &str) -> String {
    format!("{name}: another unit may still need it")
}

fn refusal(name: &str, deletion: Result<Deletion, OpenStackError>) -> Option<String> {
    match deletion {
        Ok(Deletion::Deleted | Deletion::Absent) => None,
        Ok(Deletion::InUse(why)) => Some(format!("{name}: in use: {why}")),
        Err(error) => Some(format!("{name}: {error}")),
    }
}
