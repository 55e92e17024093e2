//! Old revisions go, after the new one is published: never one that a relation names, nor one that is younger than what
//! was published last. One that something still uses is hidden, and tried again later.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::builder::clouds::clouds_yaml::read_clouds_yaml;
use crate::builder::clouds::connect::{Connections, http_client};
use crate::builder::clouds::projects::{Part, Projects};
use crate::builder::delivery::revisions;
use crate::builder::ownership::labels::Stage;
use crate::builder::upkeep::all_images::all_images;
use crate::builder::upkeep::memberships::{Ending, Members};
use crate::builder::upkeep::prepared::prune_prepared;
use crate::host::Host;
use crate::model::{Deadline, Target, Timestamp};
use crate::openstack_cloud::{
    Cloud, Deletion, Hidden, Image as CloudImage, ImageChange, ImageId, ImageStatus, OpenStackError,
};
use crate::record::{BuildSecrets, BuilderRunConfig, CloudName, Image, Journal, Owner, Told};

/// How long all of it may take: all projects are visited side by side.
const LIMIT: Duration = Duration::from_secs(120);
/// How long a project may take to accept us.
const CONNECT: Duration = Duration::from_secs(60);
/// How long it may take to list the images of one stage.
const LIST: Duration = Duration::from_secs(60);

/// Prunes old revisions in every cloud of `config`, and ends memberships, after the new ones are published. What relations
/// are `told` of stays. What could not be deleted is noted in `journal`. Clouds that the job has reached are not asked for
/// another token. Returns whether every cloud was seen to: what something still uses aside, nothing is left to prune.
pub fn prune_all(
    host: &Host,
    secrets: &BuildSecrets,
    config: &BuilderRunConfig,
    (told, connections): (&Told, &Connections),
    journal: &mut Journal,
) -> bool {
    let (Ok(http), Ok(known)) = (http_client(secrets), read_clouds_yaml(host)) else { return false };
    // What has just failed to serve is not waited for again.
    let failures = journal.job.iter().flat_map(|job| &job.failures);
    let failed: BTreeSet<CloudName> = failures.filter_map(|failure| failure.cloud.clone()).collect();
    let related = config.clouds.iter().filter(|name| **name != config.build_cloud && !failed.contains(name));
    let names: Vec<&CloudName> = related.chain([&config.build_cloud]).collect();
    let deadline = Deadline::after(LIMIT);
    let noted = Mutex::new(std::mem::take(journal));
    let projects = Projects::default();
    let seen_to =
        connections.in_each(&known, &names, &http, deadline.at_most(CONNECT), |name, connection| {
            let cloud = match connection {
                Ok(cloud) => cloud,
                Err(error) => {
                    log::warn!("pruning in {name}: {error}");
                    return false;
                }
            };
            let (owner, limit) = (&config.owner, config.revision_history_limit);
            let pruner = Pruner { name, cloud: &cloud, owner, limit, told, journal: &noted };
            // Relations of one project have one pruner.
            let prunes_copies = config.clouds.contains(name) && projects.join(name, &cloud) == Part::First;
            let copies =
                if prunes_copies { pruner.prune_copies(&config.targets, deadline) } else { Ok(true) };
            let is_build_cloud = *name == config.build_cloud;
            let builds = if is_build_cloud { pruner.prune_builds(config, deadline) } else { Ok(true) };
            if is_build_cloud {
                prune_prepared(&cloud, config, deadline);
            }
            [copies, builds].into_iter().fold(true, |whole, part| {
                let told = |error| log::warn!("pruning in {name} stopped: {error}");
                part.map_err(told).unwrap_or(false) && whole
            })
        });
    *journal = noted.into_inner().unwrap_or_else(PoisonError::into_inner);
    failed.is_empty() && seen_to.into_iter().all(|seen_to| seen_to)
}

/// What came of deleting an old image.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// It is gone.
    Gone,
    /// Something still uses it, which the journal notes.
    InUse,
    /// The cloud did not do it.
    Failed,
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
    /// Keeps the newest images of each of `targets`, and all that relations name; deletes the others. What cannot be deleted
    /// now is noted in the journal. Returns whether nothing is left that should have gone.
    fn prune_copies(&self, targets: &[Target], deadline: Deadline) -> Result<bool, OpenStackError> {
        let last = |target: &Target| self.journal().image(*target, self.name).cloned();
        let last: Vec<Image> = targets.iter().filter_map(last).collect();
        if last.is_empty() {
            return Ok(true);
        }
        let published = all_images(self.cloud, self.owner, Stage::Published, deadline.at_most(LIST))?;
        let unpruned = last.iter().filter(|last| !self.prune_copies_of(last, &published, deadline));
        Ok(unpruned.count() == 0)
    }

    /// The same for the target of `last`, the image that was told last.
    fn prune_copies_of(&self, last: &Image, published: &[CloudImage], deadline: Deadline) -> bool {
        let target = last.target();
        let name = crate::model::image_name(&self.owner.application, target);
        let (hidden, mut images): (Vec<&CloudImage>, Vec<&CloudImage>) = published
            .iter()
            .filter(|image| image.name == name)
            .partition(|image| image.hidden == Hidden::Yes);
        images.retain(|image| image.status == ImageStatus::Active);
        let copy = images.iter().find(|image| image.id == last.result.id).copied();
        // An image that is not there any more says nothing about the age of others.
        if copy.is_none() && !last.is_shared() {
            return true;
        }
        let builds: Vec<Timestamp> = {
            let journal = self.journal();
            let builds = journal.revisions.iter().filter(|revision| revision.target == target);
            builds.map(|build| build.built).collect()
        };
        let is_old = |image: &&&CloudImage| {
            copy.is_none_or(|copy| image.id != copy.id && image.created_at <= copy.created_at)
                && !self.told.names(&image.id)
        };
        // What is shared takes the place of copies, build by build.
        let newer = |image: &CloudImage| {
            let made = Timestamp::of_rfc3339(&image.created_at);
            builds.iter().filter(|built| made.is_some_and(|made| **built > made)).count()
        };
        let is_surplus = |index: usize, image: &CloudImage| {
            index >= self.limit() || (last.is_shared() && newer(image) >= self.limit())
        };
        let surplus = images.iter().enumerate().filter(|(index, image)| is_surplus(*index, image));
        let old = surplus.map(|(_, image)| image).chain(&hidden).filter(is_old);
        let failed = old.filter(|image| self.delete(image, target, deadline) == Outcome::Failed);
        failed.count() == 0
    }

    /// Keeps the newest finished builds of each target, those that relations name, and the newest that a relation has a copy
    /// of; deletes the others, and shares nothing any more with those that have no relation, or a copy now. Returns whether
    /// nothing is left that should have gone.
    fn prune_builds(&self, config: &BuilderRunConfig, deadline: Deadline) -> Result<bool, OpenStackError> {
        let mut builds = all_images(self.cloud, self.owner, Stage::Revision, deadline.at_most(LIST))?;
        let mut pruned = true;
        for target in &config.targets {
            let name = revisions::name(&self.owner.application, *target);
            let newest = newest_told(&self.journal(), *target);
            let is_told =
                |image: &CloudImage| Some(&image.id) == newest.as_ref() || self.told.names(&image.id);
            let (mut place, mut kept) = (0, Vec::new());
            builds.retain(|image| {
                if image.name != name {
                    return true;
                }
                let is_listed = image.hidden == Hidden::No;
                let is_new = is_listed && place < self.limit();
                place += usize::from(is_listed);
                if is_listed && (is_new || is_told(image)) {
                    kept.push(image.id.clone());
                }
                if is_new || is_told(image) {
                    return true;
                }
                let outcome = self.delete(image, *target, deadline);
                pruned &= outcome != Outcome::Failed;
                outcome != Outcome::Gone
            });
            self.journal()
                .forget_revisions(|revision| revision.target != *target || kept.contains(&revision.id));
        }
        Ok(self.end_memberships(config, &builds, deadline) && pruned)
    }

    /// Shares `builds` no more with those that have no relation, or a copy now. Returns whether all of it has ended.
    fn end_memberships(&self, config: &BuilderRunConfig, builds: &[CloudImage], deadline: Deadline) -> bool {
        let journal = self.journal().clone();
        let members = Members::new(config, &journal, self.told, Ending::OfFormerAndCopied);
        let left = members.end_others_of(self.cloud, builds, deadline);
        if left.is_empty() {
            self.journal().former_members_have_left(config);
        }
        left.iter().for_each(|what| log::warn!("not removed; the next job retries: {what}"));
        left.is_empty()
    }

    fn limit(&self) -> usize {
        usize::try_from(self.limit).unwrap_or(usize::MAX)
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn delete(&self, image: &CloudImage, target: Target, deadline: Deadline) -> Outcome {
        if !self.journal().may_prune(self.name, &image.id) {
            return Outcome::InUse;
        }
        match self.cloud.images().delete(&image.id, deadline) {
            Ok(Deletion::Deleted | Deletion::Absent) => {
                let (name, limit) = (self.name, self.limit);
                log::info!(
                    "{target}: image {} in {name} pruned: {limit} newer ones are kept and no relation names it",
                    image.id
                );
                self.journal().is_gone(self.name, &image.id);
                Outcome::Gone
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
                Outcome::InUse
            }
            Err(error) => {
                log::warn!("image {} ({target}) could not be deleted: {error}", image.id);
                Outcome::Failed
            }
        }
    }
}

/// The build of `target` that was told last.
fn newest_told(journal: &Journal, target: Target) -> Option<ImageId> {
    let images = journal.images.iter().filter(|image| image.is_of(target, &image.result.config.cloud_name));
    images.max_by_key(|image: &&Image| image.built)?.revision.clone()
}
