//! What is ours in the build project and nothing needs any more: listed for the operator, and deleted where they say so. For
//! whoever holds the worker's lock: then nothing of this unit is in use.

use super::all_images::all_images;
use crate::builder::delivery::revisions;
use crate::builder::image::base_image::base_image_name;
use crate::builder::ownership::labels::{self, Stage};
use crate::builder::upkeep::python_charm::{self, Remnant};
use crate::model::Deadline;
use crate::openstack_cloud::{Cloud, Deletion, Image, OpenStackError};
use crate::record::{BuildMode, BuilderRunConfig, Known, Told, Unneeded};

/// A search of the build project.
pub struct Search<'a> {
    /// The build project.
    pub cloud: &'a Cloud,
    /// What is configured.
    pub config: &'a BuilderRunConfig,
    /// What the journal knows.
    pub known: &'a Known,
    /// What relations name, what is pinned: none of it is ever listed.
    pub told: &'a Told,
}

impl Search<'_> {
    /// What nothing needs: our own, and what has the Python charm's names.
    pub fn find(&self, deadline: Deadline) -> Result<Vec<Unneeded>, OpenStackError> {
        let mut found = self.own(deadline)?;
        found.extend(self.remnants(deadline)?.iter().map(|remnant| self.describe(remnant)));
        Ok(found)
    }

    fn own(&self, deadline: Deadline) -> Result<Vec<Unneeded>, OpenStackError> {
        let mut found = self.servers(deadline)?;
        for stage in [Stage::Base, Stage::Snapshot, Stage::Revision, Stage::Delivering, Stage::Rejected] {
            let owner = &self.config.owner;
            let images = all_images(self.cloud, owner, stage, deadline)?;
            found.extend(images.iter().filter_map(|image| self.unneeded(image, stage)));
        }
        Ok(found)
    }

    /// The same; what has an id of `ids` is deleted. Nothing else is, whatever its id; an id that is not listed is said to be
    /// unknown.
    pub fn delete(&self, ids: &[String], deadline: Deadline) -> Result<Vec<Unneeded>, OpenStackError> {
        let mut found = self.own(deadline)?;
        for unneeded in found.iter_mut().filter(|unneeded| ids.contains(&unneeded.id)) {
            log::warn!("deleting {} {} ({}): {}", unneeded.kind, unneeded.name, unneeded.id, unneeded.why);
            let deletion = match unneeded.kind.as_str() {
                SERVER => {
                    unneeded.id.parse().ok().map(|id| self.cloud.compute().delete_server(&id, deadline))
                }
                _ => unneeded.id.parse().ok().map(|id| self.cloud.images().delete(&id, deadline)),
            };
            unneeded.outcome = deletion.map(outcome);
        }
        for remnant in &self.remnants(deadline)? {
            let mut unneeded = self.describe(remnant);
            if ids.contains(&unneeded.id) {
                unneeded.outcome = Some(outcome(python_charm::delete(self.cloud, remnant, deadline)));
            }
            found.push(unneeded);
        }
        let unknown: Vec<Unneeded> = ids
            .iter()
            .filter(|id| found.iter().all(|unneeded| unneeded.id != **id))
            .map(|id| self.unknown(id))
            .collect();
        found.extend(unknown);
        Ok(found)
    }

    /// The answer to an id that is not in the list.
    fn unknown(&self, id: &str) -> Unneeded {
        Unneeded {
            project: self.config.build_cloud.clone(),
            kind: "unknown".to_owned(),
            id: id.to_owned(),
            name: String::new(),
            why: "nothing that may be deleted has this ID".to_owned(),
            created: None,
            outcome: Some("not deleted".to_owned()),
        }
    }

    /// What the Python charm has left, but for images that a relation names.
    fn remnants(&self, deadline: Deadline) -> Result<Vec<Remnant>, OpenStackError> {
        let mut found = python_charm::find(self.cloud, &self.config.owner.application, deadline)?;
        found.retain(|remnant| remnant.image().is_none_or(|id| !self.told.names(id)));
        Ok(found)
    }

    fn describe(&self, remnant: &Remnant) -> Unneeded {
        Unneeded {
            project: self.config.build_cloud.clone(),
            kind: remnant.kind().to_owned(),
            id: remnant.id().to_owned(),
            name: remnant.name.clone(),
            why: "it has a name that the Python charm uses".to_owned(),
            created: Some(remnant.created.clone()).filter(|created| !created.is_empty()),
            outcome: None,
        }
    }

    fn servers(&self, deadline: Deadline) -> Result<Vec<Unneeded>, OpenStackError> {
        let owner = &self.config.owner;
        let is_over = |server: &crate::openstack_cloud::Server| labels::may_remove_server(owner, server);
        let servers = self.cloud.compute().servers_that(&is_over, deadline)?;
        let found = servers.into_iter().map(|server| Unneeded {
            project: self.config.build_cloud.clone(),
            kind: SERVER.to_owned(),
            id: server.id.to_string(),
            name: server.name,
            why: "a VM of a job that has ended".to_owned(),
            created: None,
            outcome: None,
        });
        Ok(found.collect())
    }

    fn unneeded(&self, image: &Image, stage: Stage) -> Option<Unneeded> {
        let config = self.config;
        let application = &config.owner.application;
        let is_configured = |name: &dyn Fn(crate::model::Target) -> String| {
            config.targets.iter().any(|target| name(*target) == image.name)
        };
        let is_known = self.known.revisions.iter().any(|build| build.id == image.id);
        let why = match stage {
            Stage::Base if !is_configured(&|target| base_image_name(application, target)) => {
                "a base image of a target that is not configured"
            }
            Stage::Base if config.build_mode == BuildMode::Local => "a base image; builds are local",
            Stage::Revision if !is_configured(&|target| revisions::name(application, target)) => {
                "a build of a target that is not configured"
            }
            Stage::Revision if !is_known => "a build whose content cannot be verified",
            Stage::Snapshot if labels::is_abandoned(&config.owner, image) => {
                "a snapshot of a job that has ended"
            }
            Stage::Delivering if labels::is_abandoned(&config.owner, image) => "an interrupted upload",
            Stage::Rejected => "an image that failed verification, kept for inspection",
            _ => return None,
        };
        if self.told.names(&image.id) {
            return None;
        }
        Some(Unneeded {
            project: config.build_cloud.clone(),
            kind: "image".to_owned(),
            id: image.id.to_string(),
            name: image.name.clone(),
            why: why.to_owned(),
            created: Some(image.created_at.clone()),
            outcome: None,
        })
    }
}

fn outcome(deletion: Result<Deletion, OpenStackError>) -> String {
    match deletion {
        Ok(Deletion::Deleted | Deletion::Absent) => "deleted".to_owned(),
        Ok(Deletion::InUse(why)) => format!("in use: {why}"),
        Err(error) => error.to_string(),
    }
}

const SERVER: &str = "server";
