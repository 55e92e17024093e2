//! A build that projects are to have beside the newest, and which of them have it.

use super::super::journal::Journal;
use super::super::journal::evidence::Revision;
use super::super::run_config::{BuilderRunConfig, CloudName};
use crate::openstack_cloud::ImageId;

/// A build that an operator's decision brings to projects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The build.
    pub build: Revision,
    /// The related projects, each with the copy that it has as far as we know.
    pub places: Vec<(CloudName, Option<ImageId>)>,
}

impl Choice {
    /// `build`, for each project of `config`.
    pub(super) fn of(build: &Revision, journal: &Journal, config: &BuilderRunConfig) -> Self {
        let copy = |cloud: &CloudName| {
            let told =
                journal.image(build.target, cloud).filter(|image| image.revision.as_ref() == Some(&build.id));
            let kept = build.copies.iter().find(|copy| copy.cloud == *cloud);
            told.map(|image| &image.result.id).or(kept.map(|copy| &copy.id)).cloned()
        };
        let places = config.clouds.iter().map(|cloud| (cloud.clone(), copy(cloud)));
        Self { build: build.clone(), places: places.collect() }
    }

    /// The same for the projects alone that lack it; none when all have it.
    pub fn where_it_lacks(mut self) -> Option<Self> {
        self.places.retain(|(_, copy)| copy.is_none());
        (!self.places.is_empty()).then_some(self)
    }
}
