//! Prepared images of the build project: base images that have a recipe's packages and snaps already, on which builds begin
//! whose packages are the same. They are worth nothing but time: whatever is wrong with one, the build begins on the base image.

use crate::builder::ownership::labels::{self, PREPARATION, Stage};
use crate::model::{Deadline, Target, Timestamp};
use crate::openstack_cloud::{Cloud, Deletion, Image, ImageId, ImageStatus, OpenStackError};
use crate::record::BuilderRunConfig;

/// The prepared images of a target.
pub struct PreparedImages<'a> {
    /// The build project.
    pub cloud: &'a Cloud,
    /// What is configured.
    pub config: &'a BuilderRunConfig,
    /// What they are for.
    pub target: Target,
}

impl PreparedImages<'_> {
    /// The image with this key that a build may begin on: active, proven to be ours, and young.
    pub fn find(&self, key: &str, deadline: Deadline) -> Result<Option<Image>, OpenStackError> {
        let name = prepared_image_name(&self.config.owner.application, self.target);
        let found = labels::images(self.cloud, &self.config.owner, Stage::Prepared, Some(&name), deadline)?;
        let is_it = |image: &&Image| {
            image.status == ImageStatus::Active
                && image.properties.get(PREPARATION).is_some_and(|made_of| made_of == key)
                && is_young(image, self.config)
        };
        Ok(found.into_iter().find(|image| is_it(&image)))
    }

    /// Removes one that is of no use. What cannot be removed goes with its age.
    pub fn remove(&self, image: &ImageId, deadline: Deadline) {
        let target = self.target;
        match self.cloud.images().delete(image, deadline) {
            Ok(Deletion::Deleted | Deletion::Absent) => {
                log::info!("{target}: prepared image {image} deleted")
            }
            Ok(Deletion::InUse(why)) => log::warn!("{target}: prepared image {image} stays, in use: {why}"),
            Err(error) => log::warn!("{target}: prepared image {image} could not be deleted: {error}"),
        }
    }
}

/// Whether a prepared image is young enough to be built on.
pub fn is_young(image: &Image, config: &BuilderRunConfig) -> bool {
    Timestamp::of_rfc3339(&image.created_at).is_some_and(|made| made.age() <= config.prepared_image_age())
}

/// The name of an application's prepared images of a target.
pub fn prepared_image_name(application: &str, target: Target) -> String {
    format!("{application}-image-builder-prepared-{target}")
}
