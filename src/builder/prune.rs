//! Old revisions go, after the new one is published: never one that a relation names, nor one that is younger than what
//! was published last. One that something still uses is hidden, and tried again later.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::config::{BuildSecrets, BuilderRunConfig, CloudName, Owner};
use super::connect::{connect, http_client, related_projects, visit_each};
use super::journal::Journal;
use super::labels::{self, Stage};
use super::latest::published;
use super::outcome::Outcome;
use crate::deadline::Deadline;
use crate::host::Host;
use crate::openstack_cloud::{Cloud, Deletion, Hidden, Image, ImageChange, OpenStackError};
use crate::target::Target;

/// How long it may take.
const LIMIT: Duration = Duration::from_secs(900);

/// Prunes old revisions in every cloud of `config`, after the new ones are published. `named` are the images that
/// relations name; they stay. What could not be deleted is noted in `journal`.
pub fn prune_all(
    host: &Host,
    secrets: &BuildSecrets,
    config: &BuilderRunConfig,
    named: &BTreeSet<String>,
    journal: &mut Journal,
) {
    let outcome = Outcome::default();
    let deadline = Deadline::after(LIMIT);
    let Ok(http) = http_client(secrets) else { return };
    let clouds = connect(host, config, &http, &outcome, deadline);
    let journal = Mutex::new(journal);
    let projects = related_projects(&clouds, config);
    let related = clouds.iter().filter(|(name, _)| projects.is_first(name));
    visit_each(related, |name, cloud| {
        let limit = config.revision_history_limit;
        let pruner = Pruner { name, cloud, owner: &config.owner, limit, named, journal: &journal };
        for target in &config.targets {
            if let Err(error) = pruner.prune(*target, deadline) {
                log::warn!("{name} is not pruned any further: {target}: {error}");
                return;
            }
        }
    });
}

/// What prunes one cloud.
struct Pruner<'a> {
    name: &'a CloudName,
    cloud: &'a Cloud,
    owner: &'a Owner,
    /// How many revisions are kept.
    limit: u32,
    /// The images that relations name.
    named: &'a BTreeSet<String>,
    /// Where what could not be deleted is noted.
    journal: &'a Mutex<&'a mut Journal>,
}

impl<'a> Pruner<'a> {
    fn journal(&self) -> MutexGuard<'_, &'a mut Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the newest images of `target`, and all that relations name; deletes the others. What cannot be deleted now
    /// is noted.
    fn prune(&self, target: Target, deadline: Deadline) -> Result<(), OpenStackError> {
        let images = published(self.cloud, self.owner, target, deadline)?;
        let Some(last) = self.journal().image(target, self.name).map(|image| image.result.id.clone()) else {
            return Ok(());
        };
        // An image that is not there any more says nothing about the age of others.
        let Some(last) = images.iter().find(|image| image.id == last) else { return Ok(()) };
        let image_name = super::image_name(&self.owner.application, target);
        let hidden =
            labels::hidden_images(self.cloud, self.owner, Stage::Published, Some(&image_name), deadline)?;
        let keep = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let old = images.iter().skip(keep).chain(&hidden).filter(|image| {
            image.id != last.id
                && image.created_at <= last.created_at
                && !self.named.contains(image.id.as_str())
                && self.journal().may_prune(self.name, &image.id)
        });
        let old: Vec<&Image> = old.collect();
        for image in old {
            self.delete(image, target, deadline);
        }
        Ok(())
    }

    fn delete(&self, image: &Image, target: Target, deadline: Deadline) {
        match self.cloud.images().delete(&image.id, deadline) {
            Ok(Deletion::Deleted | Deletion::Absent) => {
                log::info!("image {} ({target}) is pruned", image.id);
                self.journal().pruned(self.name, &image.id);
            }
            Ok(Deletion::InUse(why)) => {
                log::warn!("image {} ({target}) stays hidden for now, it is in use: {why}", image.id);
                self.journal().is_in_use(self.name, &image.id, why);
                let hide = [ImageChange::Replace("os_hidden".into(), true.into())];
                if image.hidden == Hidden::No
                    && let Err(error) = self.cloud.images().update(&image.id, &hide, deadline)
                {
                    log::warn!("image {} ({target}) stays listed: {error}", image.id);
                }
            }
            Err(error) => log::warn!("image {} ({target}) stays: {error}", image.id),
        }
    }
}
