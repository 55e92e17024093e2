//! Old revisions go, after the new one is published; never one that a relation names.

use std::collections::BTreeSet;

use super::config::Owner;
use super::latest::published;
use crate::deadline::Deadline;
use crate::openstack_cloud::{Cloud, Deletion, OpenStackError};
use crate::target::Target;

/// Keeps the `limit` newest images of a target in a cloud, and all that `named` names; deletes the others. What
/// cannot be deleted now stays for the next time.
pub fn prune(
    cloud: &Cloud,
    owner: &Owner,
    target: Target,
    limit: u32,
    named: &BTreeSet<String>,
    deadline: Deadline,
) -> Result<(), OpenStackError> {
    let keep = usize::try_from(limit).unwrap_or(usize::MAX);
    let images = published(cloud, owner, target, deadline)?;
    for old in images.iter().skip(keep).filter(|image| !named.contains(image.id.as_str())) {
        match cloud.images().delete(&old.id, deadline) {
            Ok(Deletion::InUse(why)) => log::warn!("image {} ({target}) stays, it is in use: {why}", old.id),
            Ok(_) => log::info!("image {} ({target}) is pruned", old.id),
            Err(error) => log::warn!("image {} ({target}) stays: {error}", old.id),
        }
    }
    Ok(())
}
