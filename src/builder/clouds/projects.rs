//! The related projects that a run has reached, as their Keystones prove them: relations that lead to one project share its
//! images, and what is done there is done once. Whoever cannot authenticate is in none of them, and changes nothing for those
//! who can.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::Target;
use crate::openstack_cloud::{Cloud, ProjectKey};
use crate::record::{CloudName, Failure, Image};

/// All projects that were reached; threads may share it.
#[derive(Debug, Default)]
pub struct Projects {
    reached: Mutex<Vec<Project>>,
    /// How many relations have not had their turn, where they have one each.
    coming: AtomicUsize,
}

#[derive(Debug)]
struct Project {
    key: ProjectKey,
    /// The relations that have authenticated for it, by the names of their clouds.
    names: Vec<CloudName>,
    /// How each of them reaches it, in the order in which they came.
    reached: Vec<(CloudName, Cloud)>,
    /// The targets of which nobody could see so far whether it has their images, and why.
    unseen: Vec<(Target, Failure)>,
    /// What was published there in this run.
    images: Vec<Image>,
}

/// What a relation does in its project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// It was the first to authenticate: it does the work for all.
    First,
    /// Another does the work. These images were published before, and are its own too.
    Sharer(Vec<Image>),
}

impl Projects {
    /// For a run in which so many relations have their turn; none has been reached.
    pub fn of(relations: usize) -> Self {
        Self { reached: Mutex::default(), coming: AtomicUsize::new(relations) }
    }

    /// `name` has authenticated, as `cloud`.
    pub fn join(&self, name: &CloudName, cloud: &Cloud) -> Part {
        self.join_as(name, cloud.project_key(), Some(cloud))
    }

    /// Another relation to the project of `name`, which could not do the work: it may not be allowed to.
    pub fn next_after(&self, name: &CloudName) -> Option<(CloudName, Cloud)> {
        self.lock().iter().find_map(|project| project.next_after(name))
    }

    /// The same where `name` could not see whether the project has the image of `target`. Without another it is left to
    /// those who come; if none comes, that is a failure.
    pub fn could_not_look(
        &self,
        name: &CloudName,
        target: Target,
        failure: Failure,
    ) -> Option<(CloudName, Cloud)> {
        let mut projects = self.lock();
        let project = projects.iter_mut().find(|project| project.names.contains(name))?;
        let next = project.next_after(name);
        if next.is_none() {
            project.unseen.push((target, failure));
        }
        next
    }

    /// The targets that `name`, which has come after those who could not look, is to look for.
    pub fn take_unseen(&self, name: &CloudName) -> Vec<Target> {
        let mut projects = self.lock();
        let project = projects.iter_mut().find(|project| project.names.contains(name));
        let unseen = project.map(|project| std::mem::take(&mut project.unseen)).unwrap_or_default();
        unseen.into_iter().map(|(target, _)| target).collect()
    }

    /// A relation has had its turn, reached or not. Returns after the last one why projects could not be seen.
    pub fn has_come(&self) -> Vec<Failure> {
        if self.coming.fetch_sub(1, Ordering::AcqRel) > 1 {
            return Vec::new();
        }
        let mut projects = self.lock();
        let unseen = projects.iter_mut().flat_map(|project| std::mem::take(&mut project.unseen));
        unseen.map(|(_, failure)| failure).collect()
    }

    fn join_as(&self, name: &CloudName, key: ProjectKey, cloud: Option<&Cloud>) -> Part {
        let mut projects = self.lock();
        let reached = cloud.map(|cloud| (name.clone(), cloud.clone()));
        match projects.iter_mut().find(|project| project.key == key) {
            Some(project) => {
                project.names.push(name.clone());
                project.reached.extend(reached);
                Part::Sharer(project.images.iter().map(|image| of(image, name)).collect())
            }
            None => {
                projects.push(Project {
                    key,
                    names: vec![name.clone()],
                    reached: reached.into_iter().collect(),
                    unseen: Vec::new(),
                    images: Vec::new(),
                });
                Part::First
            }
        }
    }

    /// `image` is published in the project of its cloud. Returns it as the image of each relation that shares the project.
    pub fn publish(&self, image: &Image) -> Vec<Image> {
        let mut projects = self.lock();
        let name = &image.result.config.cloud_name;
        let Some(project) = projects.iter_mut().find(|project| project.names.contains(name)) else {
            return vec![image.clone()];
        };
        project.images.push(image.clone());
        project.names.iter().map(|name| of(image, name)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Project>> {
        self.reached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Project {
    fn next_after(&self, name: &CloudName) -> Option<(CloudName, Cloud)> {
        let at = self.reached.iter().position(|(reached, _)| reached == name)?;
        self.reached.get(at + 1).cloned()
    }
}

/// `image` as that of another relation to its project.
fn of(image: &Image, name: &CloudName) -> Image {
    let mut image = image.clone();
    image.result.config.cloud_name.clone_from(name);
    image
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Arch, BaseImage, Timestamp};
    use crate::record::{BuildConfig, BuildResult};

    fn name(relation: &str) -> CloudName {
        CloudName::new(relation)
    }

    fn key(id: &str) -> ProjectKey {
        let keystone = "https://keystone:5000/v3/auth/tokens".parse().unwrap();
        ProjectKey::new(&keystone, None, id.parse().unwrap(), None)
    }

    fn image(cloud: &str) -> Image {
        let config = BuildConfig { base: BaseImage::Noble, arch: Arch::X64, cloud_name: name(cloud) };
        let result = BuildResult { config, id: "i".parse().unwrap() };
        Image { result, fingerprint: String::new(), hash: None, revision: None, built: Timestamp(1) }
    }

    #[test]
    fn who_shares_a_project_has_its_images_whenever_it_comes() {
        let projects = Projects::of(4);
        assert_eq!(projects.join_as(&name("second"), key("p"), None), Part::First);
        assert_eq!(projects.join_as(&name("first"), key("p"), None), Part::Sharer(vec![]));
        assert_eq!(projects.join_as(&name("other"), key("q"), None), Part::First);
        assert_eq!(projects.publish(&image("second")), [image("second"), image("first")]);
        assert_eq!(projects.join_as(&name("late"), key("p"), None), Part::Sharer(vec![image("late")]));
        assert_eq!(projects.publish(&image("unknown")), [image("unknown")]);
    }

    #[test]
    fn what_one_relation_could_not_see_is_a_failure_only_once_no_other_can_come() {
        let target = Target { base: BaseImage::Noble, arch: Arch::X64 };
        let failure = || Failure::of(&"not allowed".to_owned(), true);
        for another_comes in [true, false] {
            let projects = Projects::of(2);
            projects.join_as(&name("first"), key("p"), None);
            assert_eq!(
                projects.could_not_look(&name("first"), target, failure()).map(|(name, _)| name),
                None
            );
            assert_eq!(projects.has_come(), []);
            projects.join_as(&name("second"), key(if another_comes { "p" } else { "q" }), None);
            let left = projects.take_unseen(&name("second"));
            let failures = projects.has_come();
            assert_eq!((left.len(), failures.len()), if another_comes { (1, 0) } else { (0, 1) });
        }
    }
}
