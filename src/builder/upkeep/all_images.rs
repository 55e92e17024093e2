//! The application's own images of one stage, hidden ones among them: revisions that were in use are hidden.

use crate::builder::ownership::labels::{self, Stage};
use crate::model::Deadline;
use crate::openstack_cloud::{Cloud, Image, OpenStackError};
use crate::record::Owner;

/// All images of `stage` in the project of `cloud`, whatever their state; each part newest first.
pub fn all_images(
    cloud: &Cloud,
    owner: &Owner,
    stage: Stage,
    deadline: Deadline,
) -> Result<Vec<Image>, OpenStackError> {
    let mut images = labels::images(cloud, owner, stage, None, deadline)?;
    images.extend(labels::hidden_images(cloud, owner, stage, None, deadline)?);
    Ok(images)
}
