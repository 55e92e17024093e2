//! Builds that fail: the status says why, and consumers keep the last image that works.

use super::{BUILD_PROJECT, Environment, Scenario};
use crate::deployed::{SCRIPT_SECRET, wait_for};

impl<E: Environment> Scenario<E> {
    pub fn keeps_the_last_image(&mut self) {
        let why = self.build_fails("broken.sh", &[]);
        assert!(why.contains("running the external script") && why.contains("always fails"), "{why}");
    }

    pub fn refuses_an_image_without_its_runner(&mut self) {
        let why = self.image_is_refused("no-runner.sh", &[]);
        assert!(why.contains("verifying the image: starting the runner application: "), "{why}");
    }

    /// An image that was built with this script and these options does not prove itself: it is kept aside, in the place
    /// of the last. Returns why.
    pub fn image_is_refused(&mut self, script: &str, options: &[(&str, &str)]) -> String {
        let before = self.rejected.take();
        let why = self.build_fails(script, options);
        let hidden: Vec<String> = self.made().into_iter().filter(|line| line.ends_with(" hidden")).collect();
        let [line] = &hidden[..] else { panic!("one is kept, not {hidden:?}") };
        let id = line.split(' ').nth(1).expect("an id").to_owned();
        assert!(why.contains(&id), "the failure names it: {why}");
        assert_ne!(Some(&id), before.as_ref());
        self.rejected = Some(id);
        why
    }

    /// The good script's image is there and young: nothing is built, nothing is wrong any more.
    pub fn is_content_with_the_good_script(&self, options: &[(&str, &str)]) {
        let servers = || {
            let lines = self.environment.inventory(BUILD_PROJECT);
            lines.into_iter().filter(|line| line.starts_with("server ")).collect::<Vec<_>>()
        };
        let before = servers();
        let url = self.environment.serve_script("setup.sh");
        self.environment.set_options(&[&[("script-url", url.as_str())], options].concat());
        wait_for("an end without failure", self.environment.patience(), || {
            let job = self.environment.journal().job?;
            (job.finished.is_some() && job.failures.is_empty()).then_some(())
        });
        self.environment.job_ended();
        assert_eq!(servers(), before);
        assert_eq!(self.published().first(), Some(&self.revisions.last().cloned()));
    }

    /// The build with this script and these options fails, and changes nothing for consumers. Returns why, as the
    /// history tells it; the status has the beginning of it.
    fn build_fails(&self, script: &str, options: &[(&str, &str)]) -> String {
        let (url, published) = (self.environment.serve_script(script), self.published());
        let job = || self.environment.journal().job.map(|job| job.id);
        let before = job();
        self.environment.set_options(&[&[("script-url", url.as_str())], options].concat());
        wait_for("another job", self.environment.patience(), || (job() != before).then_some(()));
        let failures = self.environment.job_ended().failures;
        let why = failures.first().expect("a failure").message.clone();
        let status = wait_for("the failure in the status", self.environment.patience(), || {
            Some(self.environment.status()).filter(|status| status.contains("build failed: "))
        });
        assert!(status.starts_with("active: noble-x64 ") && status.contains(", next try "), "{status}");
        assert!(!status.contains(SCRIPT_SECRET) && !why.contains(SCRIPT_SECRET), "{status} {why}");
        assert_eq!(self.published(), published);
        why
    }
}
