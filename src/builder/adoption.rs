//! Images that the Python charm has left: taken over when the operator says so (option `adopt`). They have no labels,
//! only the names that ours have too.

use super::config::{BuilderRunConfig, CloudName, JobId, Owner};
use super::connect::visit_each;
use super::labels;
use crate::deadline::Deadline;
use crate::openstack_cloud::{Cloud, ImageFilter, OpenStackError};
use crate::target::Target;

/// Takes over the images of all targets in `clouds`. What fails is tried again with the next job.
pub fn adopt<'a>(
    clouds: impl Iterator<Item = (&'a CloudName, &'a Cloud)>,
    config: &BuilderRunConfig,
    job: &JobId,
    deadline: Deadline,
) {
    visit_each(clouds, |name, cloud| {
        for target in &config.targets {
            if let Err(error) = adopt_in(cloud, &config.owner, job, *target, deadline) {
                log::warn!("taking over images of {target} in {name}: {error}");
            }
        }
    });
}

/// Labels the images of `target` in the cloud's project that have our name for them and nobody's label: from now on
/// they are revisions like our own.
fn adopt_in(
    cloud: &Cloud,
    owner: &Owner,
    job: &JobId,
    target: Target,
    deadline: Deadline,
) -> Result<(), OpenStackError> {
    let filter = ImageFilter {
        name: Some(super::image_name(&owner.application, target)),
        owner: Some(cloud.project_id()),
        ..ImageFilter::default()
    };
    let mut found = cloud.images().list(&filter, deadline)?;
    found.retain(|image| image.owner.as_ref() == Some(&cloud.project_id()) && labels::may_be_adopted(image));
    for image in found {
        log::info!("taking over image {} ({})", image.name, image.id);
        if let Err(error) = cloud.images().update(&image.id, &labels::adopt(owner, job, &image), deadline) {
            log::warn!("image {} ({}) is not taken over: {error}", image.name, image.id);
        }
    }
    Ok(())
}
