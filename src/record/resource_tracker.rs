//! What one build makes, written down before it is made and until it is settled.

use std::time::Duration;

use super::progress::Progress;
use super::resource::Resource;
use crate::model::{Deadline, Target};
use crate::openstack_cloud::{ImageId, Images};
use crate::record::file::RecordError;

/// How long the removal of an incomplete image may take.
const REMOVAL: Duration = Duration::from_secs(60);

/// What one build makes, told to whoever keeps the journal.
#[derive(Clone, Copy)]
pub struct ResourceTracker<'a> {
    /// Who keeps it.
    pub progress: &'a dyn Progress,
    /// What is built.
    pub target: Target,
}

impl ResourceTracker<'_> {
    /// `resource` is about to be made. What cannot be noted must not be made.
    pub fn makes(&self, resource: &Resource) -> Result<(), RecordError> {
        self.progress.makes(self.target, resource)
    }

    /// `resource` is there, under this id.
    pub fn made(&self, resource: &mut Resource, id: &str) {
        resource.id = Some(id.to_owned());
        self.progress.made(self.target, resource);
    }

    /// Settles an image that is complete; what there is of one that is not is removed first, and stays noted when that
    /// fails. A creation whose answer was lost is a creation.
    pub fn conclude<T, E>(&self, images: &Images<'_>, id: &ImageId, noted: &Resource, result: &Result<T, E>) {
        let is_gone = || images.delete(id, Deadline::after(REMOVAL)).is_ok_and(|deletion| deletion.is_gone());
        if result.is_ok() || is_gone() {
            self.settled(noted);
        }
    }

    /// `resource` is gone, or published: no build has to care for it any more.
    pub fn settled(&self, resource: &Resource) {
        self.progress.settled(self.target, resource);
    }
}
