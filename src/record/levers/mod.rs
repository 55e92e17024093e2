//! What operators have decided about builds: which one is told whatever is newer (`pin`), and which is never told again
//! (`revoke`). Kept in `levers.json`, written under the unit's turn by hooks and by people on the unit. The leader tells the
//! other units, so that whoever leads next keeps to it.

mod choice;
mod effect;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

pub use self::choice::Choice;
use super::file::{RecordError, write_json};
use super::journal::evidence::Revision;
use super::journal::{Image, Journal};
use super::run_config::{BuilderRunConfig, CloudName};
use crate::host::{FileError, Host};
use crate::model::{Target, Timestamp};
use crate::openstack_cloud::ImageId;

/// The format that this version writes.
const FORMAT: u32 = 1;
const FILE: &str = "levers.json";
/// How many revocations are remembered: images that were revoked longer ago are gone.
const MANY: usize = 50;

/// All decisions that hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Levers {
    /// The format of the version that wrote it.
    pub format: u32,
    /// Counts the changes: of two records of one application the higher is the newer.
    pub serial: u64,
    /// When it was last changed.
    pub changed: Timestamp,
    /// The builds that are held, at most one of each target.
    pub pins: Vec<Pin>,
    /// The builds that are never told again.
    pub revoked: Vec<Revocation>,
}

/// A build that is told as long as it is pinned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// The build, with the evidence for its copies.
    pub build: Revision,
    /// When it was pinned.
    pub since: Timestamp,
}

/// A build that is never told again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// What it was built for.
    pub target: Target,
    /// Its id in the build project.
    pub build: ImageId,
    /// The ids of its copies.
    pub copies: BTreeSet<ImageId>,
    /// Why, in the operator's words.
    pub reason: String,
    /// When it was revoked.
    pub since: Timestamp,
}

impl Default for Levers {
    fn default() -> Self {
        Self { format: FORMAT, serial: 0, changed: Timestamp(0), pins: Vec::new(), revoked: Vec::new() }
    }
}

impl Levers {
    /// What holds on this unit; nothing when the file is gone or not understood: the leader tells it again.
    pub fn load(host: &Host) -> Result<Self, FileError> {
        let bytes = host.read(&host.state_dir().join(FILE))?;
        Ok(bytes
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .and_then(understood)
            .unwrap_or_default())
    }

    /// What another unit says.
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().and_then(understood)
    }

    /// As another unit reads it.
    pub fn text(&self) -> String {
        // Plain data always serialises.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Keeps it.
    pub fn save(&self, host: &Host) -> Result<(), RecordError> {
        write_json(host, FILE, self)
    }

    /// Keeps what another unit says, if that is newer.
    pub fn hear(host: &Host, text: &str) -> Result<(), RecordError> {
        match Self::parse(text) {
            Some(said) if said.serial > Self::load(host)?.serial => said.save(host),
            _ => Ok(()),
        }
    }

    /// Holds `build`, in place of another of its target.
    pub fn pin(&mut self, build: &Revision) {
        self.pins.retain(|pin| pin.build.target != build.target);
        let build = Revision { copies: Vec::new(), ..build.clone() };
        self.pins.push(Pin { build, since: Timestamp::now() });
        self.is_changed();
    }

    /// Ends the pins of `target`, or all. Returns those that have ended.
    pub fn unpin(&mut self, target: Option<Target>) -> Vec<Pin> {
        let is_meant = |pin: &mut Pin| target.is_none_or(|target| target == pin.build.target);
        let ended: Vec<Pin> = self.pins.extract_if(.., is_meant).collect();
        if !ended.is_empty() {
            self.is_changed();
        }
        ended
    }

    /// Has `build` never told again; a pin of it ends.
    pub fn revoke(&mut self, target: Target, build: ImageId, copies: BTreeSet<ImageId>, reason: String) {
        self.pins.retain(|pin| pin.build.id != build);
        self.revoked.retain(|known| known.build != build);
        self.revoked.push(Revocation { target, build, copies, reason, since: Timestamp::now() });
        self.revoked.drain(..self.revoked.len().saturating_sub(MANY));
        self.is_changed();
    }

    fn is_changed(&mut self) {
        self.serial += 1;
        self.changed = Timestamp::now();
    }

    /// The pin of `target`.
    pub fn pin_of(&self, target: Target) -> Option<&Pin> {
        self.pins.iter().find(|pin| pin.build.target == target)
    }

    /// The revocation of the build, or of the copy of one, that has this id.
    pub fn revocation(&self, id: &ImageId) -> Option<&Revocation> {
        self.revoked.iter().find(|known| known.build == *id || known.copies.contains(id))
    }

    /// Whether `image` is never told again.
    pub fn has_revoked(&self, image: &Image) -> bool {
        let of_build = image.revision.as_ref().and_then(|build| self.revocation(build));
        of_build.or_else(|| self.revocation(&image.result.id)).is_some()
    }

    /// Whether an image may be told: not revoked, and of the pinned build where one is pinned.
    pub fn allow(&self, image: &Image) -> bool {
        let pin = self.pin_of(image.target());
        !self.has_revoked(image) && pin.is_none_or(|pin| image.revision.as_ref() == Some(&pin.build.id))
    }

    /// `journal` with the images that relations are to be told: of each project the copy of the pinned build, where it has
    /// one, else the newest that is not revoked.
    pub fn applied_to(self, mut journal: Journal) -> Journal {
        let images = std::mem::take(&mut journal.images);
        let told: Vec<Image> = images.iter().filter_map(|newest| self.told(newest, &journal)).collect();
        journal.images = told;
        journal.levers = self;
        journal
    }

    fn told(&self, newest: &Image, journal: &Journal) -> Option<Image> {
        let (target, cloud) = (newest.target(), &newest.result.config.cloud_name);
        let pinned = self.pin_of(target).and_then(|pin| {
            let id = Some(&pin.build.id);
            if newest.revision.as_ref() == id {
                return Some(newest.clone());
            }
            copy(journal.revision(&pin.build.id)?, cloud)
        });
        pinned.or_else(|| (!self.has_revoked(newest)).then(|| newest.clone())).or_else(|| {
            let others = journal.revisions.iter().filter(|build| build.target == target);
            let copies = others.filter_map(|build| copy(build, cloud)).filter(|copy| !self.has_revoked(copy));
            copies.max_by_key(|copy| copy.built)
        })
    }

    /// The builds that projects are to have beside the newest: what is pinned, and in the place of one that was revoked
    /// the newest other one.
    pub fn choices(&self, journal: &Journal, config: &BuilderRunConfig) -> Vec<Choice> {
        let of_target = |target: &Target| {
            if let Some(pin) = self.pin_of(*target) {
                let known = journal.revision(&pin.build.id);
                return Some(Choice::of(known.unwrap_or(&pin.build), journal, config));
            }
            let builds = || journal.revisions.iter().filter(|build| build.target == *target);
            let is_revoked = |build: &&Revision| self.revocation(&build.id).is_some();
            builds().max_by_key(|build| build.built).filter(is_revoked)?;
            let next = builds().filter(|build| !is_revoked(build)).max_by_key(|build| build.built)?;
            Some(Choice::of(next, journal, config))
        };
        config.targets.iter().filter_map(of_target).collect()
    }
}

/// The copy of `build` in a project, as an image.
fn copy(build: &Revision, cloud: &CloudName) -> Option<Image> {
    let copy = build.copies.iter().find(|copy| copy.cloud == *cloud)?;
    Some(build.image(cloud, copy.id.clone()))
}

fn understood(levers: Levers) -> Option<Levers> {
    (levers.format == FORMAT).then_some(levers)
}

#[cfg(test)]
mod tests;
