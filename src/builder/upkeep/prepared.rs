//! Prepared images that go: all but the newest of each target that builds may begin on.

use std::collections::BTreeSet;

use crate::builder::image::prepared::{is_young, prepared_image_name};
use crate::builder::ownership::labels::{self, Stage};
use crate::model::Deadline;
use crate::openstack_cloud::{Cloud, Deletion, Image, ImageStatus};
use crate::record::BuilderRunConfig;

/// Chooses, of prepared images that come newest first, the one of each target that stays.
#[derive(Default)]
pub struct Newest(BTreeSet<String>);

impl Newest {
    /// Whether `image` stays under `config`.
    pub fn stays(&mut self, image: &Image, config: &BuilderRunConfig) -> bool {
        is_wanted(image, config)
            && image.status == ImageStatus::Active
            && is_young(image, config)
            && self.0.insert(image.name.clone())
    }
}

/// Whether a build of a configured target might begin on `image`, were it young.
pub fn is_wanted(image: &Image, config: &BuilderRunConfig) -> bool {
    let application = &config.owner.application;
    config.keeps_prepared_images()
        && config.targets.iter().any(|target| prepared_image_name(application, *target) == image.name)
}

/// Deletes prepared images that have made room for a newer one, that are too old, and that nobody wants any more. One that is in
/// use goes another time.
pub fn prune_prepared(cloud: &Cloud, config: &BuilderRunConfig, deadline: Deadline) {
    let found = match labels::images(cloud, &config.owner, Stage::Prepared, None, deadline) {
        Ok(found) => found,
        Err(error) => return log::warn!("prepared images are not pruned: {error}"),
    };
    let mut newest = Newest::default();
    for Image { id, name, .. } in found.iter().filter(|image| !newest.stays(image, config)) {
        match cloud.images().delete(id, deadline) {
            Ok(Deletion::Deleted | Deletion::Absent) => {
                log::info!("prepared image {id} ({name}) deleted: old")
            }
            Ok(Deletion::InUse(why)) => log::warn!("prepared image {id} ({name}) is kept, in use: {why}"),
            Err(error) => log::warn!("prepared image {id} ({name}) could not be deleted: {error}"),
        }
    }
}
