//! The related projects that a run has reached, as their Keystones prove them: relations that lead to one project share its
//! images, and what is done there is done once. Whoever cannot authenticate is in none of them, and changes nothing for those
//! who can.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::config::CloudName;
use crate::openstack_cloud::{Cloud, ProjectKey};

/// All projects that were reached; threads may share it.
#[derive(Debug, Default)]
pub struct Projects(Mutex<Vec<Project>>);

#[derive(Debug)]
struct Project {
    key: ProjectKey,
    /// The relations that have authenticated for it, by the names of their clouds.
    names: Vec<CloudName>,
}

impl Projects {
    /// `name` has authenticated, as `cloud`. Returns whether it is the first of its project: that one does the work for all.
    pub fn join(&self, name: &CloudName, cloud: &Cloud) -> bool {
        let key = cloud.project_key();
        let mut projects = self.lock();
        match projects.iter_mut().find(|project| project.key == key) {
            Some(known) => known.names.push(name.clone()),
            None => projects.push(Project { key, names: vec![name.clone()] }),
        }
        drop(projects);
        self.is_first(name)
    }

    /// Whether `name` was the first to authenticate for its project.
    pub fn is_first(&self, name: &CloudName) -> bool {
        self.lock().iter().any(|project| project.names.first() == Some(name))
    }

    /// All that have authenticated for the project of `name`.
    pub fn sharers(&self, name: &CloudName) -> Vec<CloudName> {
        let projects = self.lock();
        let project = projects.iter().find(|project| project.names.contains(name));
        project.map(|project| project.names.clone()).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Project>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
