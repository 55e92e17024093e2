//! With whom images of the build project are shared: it ends with the last relation of that project, and when its relations
//! name copies instead. Memberships are listed, so that what a killed worker has left ends too.

use std::collections::BTreeSet;

use super::all_images::all_images;
use crate::builder::ownership::labels::Stage;
use crate::model::Deadline;
use crate::openstack_cloud::{
    Cloud, Deletion, Image, ImageChange, ImageId, OpenStackError, ProjectId, Visibility,
};
use crate::record::{BuilderRunConfig, CloudName, Image as ToldImage, Journal, Told};

/// Whose memberships end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Those of projects that no relation leads to any more.
    OfFormer,
    /// Those of projects that were given copies, too: every unit has published them.
    OfFormerAndCopied,
}

/// Who may be a member of which image.
pub struct Members<'a> {
    config: &'a BuilderRunConfig,
    journal: &'a Journal,
    told: &'a Told,
    ending: Ending,
}

impl<'a> Members<'a> {
    /// As `config` has relations, `journal` knows their projects, and they are `told` of images.
    pub fn new(config: &'a BuilderRunConfig, journal: &'a Journal, told: &'a Told, ending: Ending) -> Self {
        Self { config, journal, told, ending }
    }

    /// Ends all other memberships in our images of the build project. Returns what had to stay, and why.
    pub fn end_others(&self, build_cloud: &Cloud, deadline: Deadline) -> Vec<String> {
        let owner = &self.config.owner;
        let images = match all_images(build_cloud, owner, Stage::Revision, deadline) {
            Ok(images) => images,
            Err(error) => return vec![format!("memberships: {error}")],
        };
        let shared = images.iter().filter(|image| image.visibility == Visibility::Shared);
        shared.flat_map(|image| self.end_others_of(build_cloud, image, deadline)).collect()
    }

    fn end_others_of(&self, build_cloud: &Cloud, image: &Image, deadline: Deadline) -> Vec<String> {
        let images = build_cloud.images();
        let members = match images.members(&image.id, deadline) {
            Ok(members) => members,
            Err(error) => return vec![error.to_string()],
        };
        let (stay, go): (Vec<ProjectId>, Vec<ProjectId>) =
            members.into_iter().partition(|project| self.has(&image.id, project));
        let mut left = Vec::new();
        for project in &go {
            log::info!("image {} is no longer shared with project {project}", image.id);
            left.extend(refusal(images.unshare(&image.id, project, deadline)));
        }
        // The build project itself is no member of its own images.
        if left.is_empty() && stay.is_empty() && !self.has(&image.id, &build_cloud.project_id()) {
            let change = ImageChange::Replace("visibility".into(), "private".into());
            left.extend(images.update(&image.id, &[change], deadline).err().map(|error| error.to_string()));
        }
        left
    }

    /// Whether `project` may be a member of `image`.
    fn has(&self, image: &ImageId, project: &ProjectId) -> bool {
        let clouds = &self.config.clouds;
        let (known, unknown): (Vec<&CloudName>, Vec<&CloudName>) =
            clouds.iter().partition(|cloud| self.journal.member(cloud).is_some());
        let leading: Vec<&CloudName> =
            known.into_iter().filter(|cloud| self.journal.member(cloud) == Some(project)).collect();
        let names_it = |cloud: &&CloudName| self.told.is_named_to(cloud, image);
        if leading.is_empty() {
            // One that was not reached since its project was forgotten may be the one.
            return unknown.iter().any(names_it);
        }
        self.ending == Ending::OfFormer || leading.iter().any(|cloud| self.shares(cloud) || names_it(cloud))
    }

    /// Whether a relation has any image by sharing, or none at all yet.
    fn shares(&self, cloud: &CloudName) -> bool {
        let of_it = |image: &&ToldImage| image.result.config.cloud_name == *cloud;
        let images: BTreeSet<bool> =
            self.journal.images.iter().filter(of_it).map(ToldImage::is_shared).collect();
        images.is_empty() || images.contains(&true)
    }
}

fn refusal(deletion: Result<Deletion, OpenStackError>) -> Option<String> {
    match deletion {
        Ok(Deletion::Deleted | Deletion::Absent) => None,
        Ok(Deletion::InUse(why)) => Some(why),
        Err(error) => Some(error.to_string()),
    }
}
