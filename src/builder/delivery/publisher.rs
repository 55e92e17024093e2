//! Who hears of images that are there: whoever writes down what relations are told, and the run.

use super::outcome::Outcome;
use crate::builder::clouds::projects::Projects;
use crate::record::{Image, Progress};

/// Who hears of what is published.
#[derive(Clone, Copy)]
pub struct Publisher<'a> {
    /// Who writes it down.
    pub progress: &'a dyn Progress,
    /// What comes of the run.
    pub outcome: &'a Outcome,
    /// The related projects that were reached.
    pub projects: &'a Projects,
}

impl Publisher<'_> {
    /// `image` is there and checked: for each relation to its project.
    pub fn published(&self, image: &Image) {
        self.projects.publish(image).into_iter().for_each(|image| self.note(image));
    }

    /// The same for one relation.
    pub fn note(&self, image: Image) {
        self.progress.published(image.clone());
        self.outcome.succeed(image.result);
    }
}
