//! Prepared images: made after a build, begun on by the next.

use runner_image_builder::record::{Build, BuiltOn, JobId};

use super::{Environment, Scenario};
use crate::deployed::wait_for;

impl<E: Environment> Scenario<E> {
    /// Sets the option; what is up to date stays as it is.
    pub fn prepares_images(&self, whether: bool) {
        self.environment.set_options(&[("prepared-images", if whether { "true" } else { "false" })]);
        assert_eq!(self.environment.job_ended().failures, []);
    }

    /// The last job has built on the base image. Its prepared image is there, and another script is built on it.
    pub fn builds_a_changed_script_on_the_prepared_image(&mut self) {
        let (before, on_base) = self.last_build(BuiltOn::BaseImage);
        let prepared: Vec<String> =
            self.made().into_iter().filter(|line| line.contains("-image-builder-prepared-")).collect();
        assert_eq!(prepared.len(), 1, "{prepared:?}");
        let url = self.environment.serve_script("another.sh");
        self.environment.set_options(&[("script-url", &url)]);
        wait_for("another job", self.environment.patience(), || {
            self.environment.journal().job.filter(|job| job.id != before)
        });
        assert_eq!(self.environment.job_ended().failures, []);
        let (_, on_prepared) = self.last_build(BuiltOn::PreparedImage);
        let [on_base, on_prepared] = [on_base, on_prepared].map(|build| build.total().as_secs());
        println!("    built in {on_prepared} s, on the base image in {on_base} s, verification included");
        self.note_revision();
        self.prepares_images(false);
        assert!(!self.made().iter().any(|line| line.contains("-image-builder-prepared-")), "it goes");
        self.no_leftovers();
    }

    fn last_build(&self, built_on: BuiltOn) -> (JobId, Build) {
        let job = self.environment.journal().job.expect("a job");
        let build = job.builds.into_iter().next().expect("a build");
        assert_eq!(build.built_on, Some(built_on));
        (job.id, build)
    }
}
