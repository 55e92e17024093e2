//! What the decisions mean to the journal and to jobs.

use super::{Choice, Levers};
use crate::host::Host;
use crate::record::file::RecordError;
use crate::record::journal::evidence::Known;
use crate::record::journal::{Image, Journal};
use crate::record::relations::Peers;
use crate::record::request::{Request, Task};
use crate::record::run_config::BuilderRunConfig;

impl Journal {
    /// The journal on disk, with the images that relations are told: operators may have pinned or revoked some.
    pub fn load_told(host: &Host) -> Result<Self, RecordError> {
        let (mut journal, peers) = (Self::load(host)?, Peers::load(host)?);
        if !peers.leads {
            journal.follow(&peers);
        }
        Ok(Levers::load(host)?.applied_to(journal))
    }

    /// Forgets what the leader announces no more: who builds prunes, so it may be gone from the clouds, and is no next best.
    pub fn follow(&mut self, peers: &Peers) {
        // An earlier version announces no builds.
        let announced = peers.announcement().filter(|announced| !announced.revisions().is_empty());
        announced.iter().for_each(|announced| {
            self.forget_revisions(|build| announced.revisions().iter().any(|known| known.id == build.id));
        });
    }

    /// Notes `image` as published: as the newest of its place, unless it is an older one that is pinned.
    pub fn publish_under(&mut self, levers: &Levers, image: Image) {
        let pin = levers.pin_of(image.target()).map(|pin| &pin.build.id);
        let is_newer = |known: &&Image| known.revision != image.revision && !levers.has_revoked(known);
        let newer = self.image(image.target(), &image.result.config.cloud_name).filter(is_newer);
        if newer.is_none() || pin.is_none() || pin != image.revision.as_ref() {
            return self.publish(image);
        }
        let (cloud, id) = (&image.result.config.cloud_name, &image.result.id);
        let build = image.revision.as_ref().and_then(|build| self.revision(build));
        let is_known =
            build.is_some_and(|build| build.copies.iter().any(|copy| copy.cloud == *cloud && copy.id == *id));
        self.note_copy(&image);
        if let Some(job) = &mut self.job {
            if is_known {
                job.found.push(image.result.config);
            } else {
                job.delivered.push(image.result.into());
            }
        }
    }
}

impl Known {
    /// What the job of `request` works with: what was revoked counts as not built, and what was chosen is served, after a look
    /// at each project.
    pub fn of_job(journal: &Journal, levers: &Levers, request: &Request) -> Self {
        let choices = match request.task {
            Task::Serve | Task::Build => levers.choices(journal, &request.config),
            Task::TakeOver(_) | Task::CleanUp | Task::Search(_) => Vec::new(),
        };
        let mut known = Self { choices, ..Self::of(journal) };
        known.revisions.retain(|build| levers.revocation(&build.id).is_none());
        known.images.retain(|image| !levers.has_revoked(image));
        known
    }
}

impl Levers {
    /// The ids of images that are not pruned, since they are chosen.
    pub fn held(&self, journal: &Journal, config: &BuilderRunConfig) -> Vec<String> {
        let ids = self.choices(journal, config).into_iter().flat_map(|Choice { build, places }| {
            let copies = places.into_iter().filter_map(|(_, copy)| copy);
            copies.chain([build.id])
        });
        ids.map(String::from).collect()
    }
}
