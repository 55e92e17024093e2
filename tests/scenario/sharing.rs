//! One image for all: shared by the build project with those of the same Keystone, for as long as they have a relation.

use std::collections::BTreeSet;

use super::{BUILD_PROJECT, CONSUMERS, Environment, Scenario, added, project_of};
use crate::deployed::{all_succeeded, wait_for};

impl<E: Environment> Scenario<E> {
    /// From now on nothing is copied that can be shared.
    pub fn is_to_share(&self) {
        self.environment.set_options(&[("delivery", "auto")]);
    }

    pub fn shares_with_every_project(&mut self) {
        wait_for("an image in every databag", self.environment.patience(), || {
            let status = self.environment.status();
            assert!(!status.contains("failed"), "{status}");
            self.published().iter().all(Option::is_some).then_some(())
        });
        assert_eq!(self.environment.job_ended().failures, []);
        self.note_revision();
        let id = self.revisions.last().cloned().expect("a revision");
        assert_eq!(self.published(), [Some(id.clone()), Some(id.clone())], "one image for both");
        assert!(self.made().iter().any(|line| line.contains(&id) && line.ends_with(" active shared own")));
        for (index, consumer) in CONSUMERS.into_iter().enumerate() {
            let [line] = &self.images_since(index)[..] else { panic!("one image, and no copy") };
            assert!(line.contains(&id) && line.ends_with(" active shared other"), "{line}");
            let image = self.environment.image(&project_of(consumer), &id).expect("the image as its member");
            assert_eq!(
                (image.status.as_str(), image.properties["architecture"].as_str()),
                ("active", "x86_64")
            );
        }
    }

    /// The second consumer goes, and comes again.
    pub fn ends_the_membership_of_one(&mut self) {
        let id = self.revisions.last().cloned().expect("a revision");
        all_succeeded(&self.relations[1].remove().expect("removal"));
        assert_eq!(self.environment.job_ended().failures, []);
        assert!(self.environment.image(&project_of(CONSUMERS[1]), &id).is_none(), "it has no relation");
        assert_eq!(self.images_since(1), [] as [String; 0]);
        assert!(self.environment.image(&project_of(CONSUMERS[0]), &id).is_some(), "it has one");
        assert_eq!(self.images_since(0).len(), 1);
        self.relations[1] = self.environment.integrate(CONSUMERS[1]);
        assert_eq!(self.environment.job_ended().failures, []);
        assert_eq!(self.published(), [Some(id.clone()), Some(id)]);
    }

    /// The same image as copies; then it is shared no more.
    pub fn copies_when_it_is_told_to(&mut self) {
        let shared = self.published();
        self.environment.set_options(&[("delivery", "copy")]);
        wait_for("other images in all databags", self.environment.patience(), || {
            let published = self.published();
            published.iter().zip(&shared).all(|(now, before)| now.is_some() && now != before).then_some(())
        });
        self.revisions.clear();
        self.delivers_to_every_project();
        self.environment.next_hook();
        self.environment.look_for_work();
        assert_eq!(self.environment.job_ended().failures, []);
        let builds = self.environment.inventory(BUILD_PROJECT);
        let still: BTreeSet<&String> = builds.iter().filter(|line| line.contains(" shared ")).collect();
        assert!(still.is_empty(), "{still:?}");
    }

    /// The images that a consumer sees since the charm came. It may be launching machines meanwhile.
    fn images_since(&self, consumer: usize) -> Vec<String> {
        let now = self.environment.inventory(&project_of(CONSUMERS[consumer]));
        let mut lines = added(&self.before[1 + consumer], &now);
        lines.retain(|line| line.starts_with("image "));
        lines
    }
}
