//! Old revisions go, after the new one is published: never one that a relation names, nor one that is younger than what
//! was published last. One that something still uses is hidden, and tried again later.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::builder::clouds::clouds_yaml::read_clouds_yaml;
use crate::builder::clouds::connect::{http_client, in_each};
use crate::builder::clouds::latest::published;
use crate::builder::clouds::projects::{Part, Projects};
use crate::builder::delivery::revisions;
use crate::builder::ownership::labels::{self, Stage};
use crate::builder::upkeep::memberships::{Ending, Members};
use crate::host::Host;
use crate::model::{Deadline, Target, Timestamp};
use crate::openstack_cloud::{
    Cloud, Deletion, Hidden, Image as CloudImage, ImageChange, ImageId, OpenStackError,
};
use crate::record::{BuildSecrets, BuilderRunConfig, CloudName, Image, Journal, Owner, Told};

/// How long all of it may take: all projects are visited side by side.
const LIMIT: Duration = Duration::from_secs(120);
/// How long a project may take to accept us.
const CONNECT: Duration = Duration::from_secs(60);

/// Prunes old revisions in every cloud of `config`, and ends memberships, after the new ones are published. What relations
/// are `told` of stays. What could not be deleted is noted in `journal`.
pub fn prune_all(
    host: &Host,
    secrets: &BuildSecrets,
    config: &BuilderRunConfig,
    told: &Told,
    journal: &mut Journal,
) {
    let (Ok(http), Ok(known)) = (http_client(secrets), read_clouds_yaml(host)) else { return };
    // What has just failed to serve is not waited for again.
    let failures = journal.job.iter().flat_map(|job| &job.failures);
    let failed: BTreeSet<CloudName> = failures.filter_map(|failure| failure.cloud.clone()).collect();
    let related = config.clouds.iter().filter(|name| **name != config.build_cloud && !failed.contains(name));
    let names: Vec<&CloudName> = related.chain([&config.build_cloud]).collect();
    let deadline = Deadline::after(LIMIT);
    let noted = Mutex::new(std::mem::take(journal));
    let projects = Projects::default();
    in_each(&known, &names, &http, deadline.at_most(CONNECT), |name, connection| {
        let cloud = match connection {
            Ok(cloud) => cloud,
            Err(error) => return log::warn!("pruning in {name}: {error}"),
        };
        let (owner, limit) = (&config.owner, config.revision_history_limit);
        let pruner = Pruner { name, cloud: &cloud, owner, limit, told, journal: &noted };
        // Relations of one project have one pruner.
        let prunes_copies = config.clouds.contains(name) && projects.join(name, &cloud) == Part::First;
        for target in &config.targets {
            let copies = match prunes_copies {
                true => pruner.prune_copies(*target, deadline),
                false => Ok(()),
            };
            let builds = match *name == config.build_cloud {
                true => pruner.prune_builds(*target, deadline),
                false => Ok(()),
            };
            if let Err(error) = copies.and(builds) {
                log::warn!("pruning in {name} stopped: {target}: {error}");
                return;
            }
        }
        if *name == config.build_cloud {
            pruner.end_memberships(config, deadline);
        }
    });
    *journal = noted.into_inner().unwrap_or_else(PoisonError::into_inner);
}

/// What prunes one cloud.
struct Pruner<'a> {
    name: &'a CloudName,
    cloud: &'a Cloud,
    owner: &'a Owner,
    /// How many revisions are kept.
    limit: u32,
    /// What relations name.
    told: &'a Told,
    journal: &'a Mutex<Journal>,
}

impl Pruner<'_> {
    /// Keeps the newest images of `target`, and all that relations name; deletes the others. What cannot be deleted now
    /// is noted in the journal.
    fn prune_copies(&self, target: Target, deadline: Deadline) -> Result<(), OpenStackError> {
        let images = published(self.cloud, self.owner, target, deadline)?;
        let (last, builds) = {
            let journal = self.journal();
            let builds = journal.revisions.iter().filter(|revision| revision.target == target);
            (journal.image(target, self.name).cloned(), builds.map(|build| build.built).collect::<Vec<_>>())
        };
        let Some(last) = last else { return Ok(()) };
        let copy = images.iter().find(|image| image.id == last.result.id);
        // An image that is not there any more says nothing about the age of others.
        if copy.is_none() && !last.is_shared() {
            return Ok(());
        }
        let image_name = crate::model::image_name(&self.owner.application, target);
        let hidden =
            labels::hidden_images(self.cloud, self.owner, Stage::Published, Some(&image_name), deadline)?;
        let is_old = |image: &&CloudImage| {
            copy.is_none_or(|copy| image.id != copy.id && image.created_at <= copy.created_at)
                && !self.told.names(&image.id)
        };
        // What is shared takes the place of copies, build by build.
        let newer = |image: &CloudImage| {
            let made = Timestamp::of_rfc3339(&image.created_at);
            builds.iter().filter(|built| made.is_some_and(|made| **built > made)).count()
        };
        let is_surplus = |(index, image): (usize, &'_ CloudImage)| {
            index >= self.limit() || (last.is_shared() && newer(image) >= self.limit())
        };
        let surplus = images.iter().enumerate().filter(|(index, image)| is_surplus((*index, image)));
        let old = surplus.map(|(_, image)| image).chain(&hidden).filter(is_old);
        old.for_each(|image| self.delete(image, target, deadline));
        Ok(())
    }

    /// Keeps the newest finished builds of `target`, those that relations name, and the newest that a relation has a copy
    /// of; deletes the others.
    fn prune_builds(&self, target: Target, deadline: Deadline) -> Result<(), OpenStackError> {
        let images = revisions::images(self.cloud, self.owner, target, deadline)?;
        let name = revisions::name(&self.owner.application, target);
        let hidden = labels::hidden_images(self.cloud, self.owner, Stage::Revision, Some(&name), deadline)?;
        let newest = newest_told(&self.journal(), target);
        let old = images.iter().skip(self.limit()).chain(&hidden);
        let is_told = |image: &CloudImage| Some(&image.id) == newest.as_ref() || self.told.names(&image.id);
        for image in old.filter(|image| !is_told(image)) {
            self.delete(image, target, deadline);
        }
        let kept = images.iter().enumerate().filter(|(place, image)| *place < self.limit() || is_told(image));
        let kept: Vec<&ImageId> = kept.map(|(_, image)| &image.id).collect();
        self.journal().forget_revisions(|revision| revision.target != target || kept.contains(&&revision.id));
        Ok(())
    }

    /// Shares nothing any more with those that have no relation, or a copy now.
    fn end_memberships(&self, config: &BuilderRunConfig, deadline: Deadline) {
        let journal = self.journal().clone();
        let members = Members::new(config, &journal, self.told, Ending::OfFormerAndCopied);
        let left = members.end_others(self.cloud, deadline);
        if left.is_empty() {
            self.journal().former_members_have_left(config);
        }
        left.iter().for_each(|what| log::warn!("not removed; the next job retries: {what}"));
    }

    fn limit(&self) -> usize {
        usize::try_from(self.limit).unwrap_or(usize::MAX)
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn delete(&self, image: &CloudImage, target: Target, deadline: Deadline) {
        if !self.journal().may_prune(self.name, &image.id) {
            return;
        }
        match self.cloud.images().delete(&image.id, deadline) {
            Ok(Deletion::Deleted | Deletion::Absent) => {
                let (name, limit) = (self.name, self.limit);
                log::info!(
                    "{target}: image {} in {name} pruned: {limit} newer ones are kept and no relation names it",
                    image.id
                );
                self.journal().is_gone(self.name, &image.id);
            }
            Ok(Deletion::InUse(why)) => {
                log::warn!("image {} ({target}) is hidden and kept because it is in use: {why}", image.id);
                self.journal().is_in_use(self.name, &image.id, why);
                let hide = [ImageChange::Replace("os_hidden".into(), true.into())];
                if image.hidden == Hidden::No
                    && let Err(error) = self.cloud.images().update(&image.id, &hide, deadline)
                {
                    log::warn!("image {} ({target}) could not be hidden: {error}", image.id);
                }
            }
            Err(error) => log::warn!("image {} ({target}) could not be deleted: {error}", image.id),
        }
    }
}

/// The build of `target` that was told last.
fn newest_told(journal: &Journal, target: Target) -> Option<ImageId> {
    let images = journal.images.iter().filter(|image| image.is_of(target, &image.result.config.cloud_name));
    images.max_by_key(|image: &&Image| image.built)?.revision.clone()
}
