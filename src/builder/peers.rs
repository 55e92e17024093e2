//! What the units of the application have told each other, remembered between hooks in `peers.json`. Hooks write it;
//! the worker reads here whether old images may go. Without the file nothing is known, and nothing is pruned.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::config::BuilderRunConfig;
use super::former_names::FormerNames;
use super::job::TaskKind;
use super::journal::{Image, Journal, JournalError, write_json};
use crate::digest::hex;
use crate::host::{FileError, Host};

/// The images that the leader says others may publish, as text: so all units digest the same bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    text: String,
    images: Vec<Image>,
}

/// A longer announcement is none of ours: it would name thousands of images.
const LONGEST: usize = 1 << 20;

impl Announcement {
    /// What `journal` has for the targets and clouds of `config`, told to units that know the clouds by their former names
    /// as well.
    pub fn of(journal: &Journal, config: &BuilderRunConfig, names: &FormerNames) -> Self {
        let images = wanted(config).filter_map(|place| find(journal, place).cloned()).collect();
        let images = names.with_former(images);
        // Plain data always serialises.
        Self { text: serde_json::to_string(&images).unwrap_or_default(), images }
    }

    /// Reads one; none when it was written by a version that we do not understand.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        Some(Self { text: text.to_owned(), images: serde_json::from_str(text).ok()? })
    }

    /// As it stands in the databag.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What acknowledges it.
    pub fn digest(&self) -> String {
        let mut digest = hex(&Sha256::digest(&self.text));
        digest.truncate(16);
        digest
    }

    /// The announced images that `config` wants and `journal` does not have; a leader that was not refreshed yet announces
    /// them under former names.
    pub fn news(&self, journal: &Journal, config: &BuilderRunConfig, names: &FormerNames) -> Vec<Image> {
        let is_news = |image: &Image| {
            let place = &image.result.config;
            wanted(config).any(|(target, cloud)| {
                (target.base, target.arch, cloud) == (place.base, place.arch, &place.cloud_name)
                    && find(journal, (target, cloud)).is_none_or(|known| known.result.id != image.result.id)
            })
        };
        names.renewed(self.images.clone()).into_iter().filter(is_news).collect()
    }
}

type Place<'a> = (crate::target::Target, &'a super::config::CloudName);

fn wanted(config: &BuilderRunConfig) -> impl Iterator<Item = Place<'_>> {
    config.targets.iter().flat_map(|target| config.clouds.iter().map(|cloud| (*target, cloud)))
}

fn find<'a>(journal: &'a Journal, (target, cloud): Place<'_>) -> Option<&'a Image> {
    journal.image(target, cloud)
}

/// What another unit says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// The digest of the last announcement that it has dealt with.
    pub acknowledged: String,
    /// The images that its relations name, or may name once its hook has ended.
    pub names: BTreeSet<String>,
    /// Whether it is being removed: it names what it names until it is gone, and follows no announcement any more.
    #[serde(default)]
    pub leaves: bool,
}

/// One of our own databags in the peer relation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Own {
    /// What we have written into it last.
    pub written: Option<BTreeMap<String, String>>,
    /// Whether Juju has said since that it holds it: what a failing hook writes is dropped.
    pub confirmed: bool,
}

/// What this unit knows of the others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peers {
    /// The peer relation's id, once Juju has made it.
    pub relation: Option<String>,
    /// Whether this unit led when its last hook ran.
    pub leads: bool,
    /// The digest of what this unit announces, as leader.
    pub announced: String,
    /// The other units, as a leader knows them.
    pub units: BTreeMap<String, Peer>,
    /// What the leader announces, as others have read it.
    pub announcement: Option<String>,
    /// Our unit's databag.
    pub unit_databag: Own,
    /// The application's databag.
    pub application_databag: Own,
}

const FILE: &str = "peers.json";

impl Peers {
    /// What the last hooks left; nothing when the file is gone or broken, since Juju can be asked again.
    pub fn load(host: &Host) -> Result<Self, FileError> {
        let bytes = host.read(&host.state_dir().join(FILE))?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default())
    }

    /// Keeps it for the next hook, and for the worker.
    pub fn save(&self, host: &Host) -> Result<(), JournalError> {
        write_json(host, FILE, self)
    }

    /// Lets the next hook ask Juju for everything: an event has passed that nobody has dealt with.
    pub fn forget(host: &Host) -> Result<(), FileError> {
        host.remove_file(&host.state_dir().join(FILE))
    }

    /// The kind of jobs that this unit has, in its role.
    pub fn task(&self) -> TaskKind {
        if self.leads { TaskKind::Build } else { TaskKind::TakeOver }
    }

    /// The units that have not dealt with what is announced: they may yet name an image that is announced no more.
    pub fn behind(&self) -> Vec<&str> {
        let is_behind = |unit: &Peer| !unit.leaves && unit.acknowledged != self.announced;
        let behind = self.units.iter().filter(|(_, unit)| is_behind(unit));
        behind.map(|(name, _)| name.as_str()).collect()
    }

    /// Keeps of the other units those that `goals` has, as goal-state tells them. A unit that is gone holds up nothing,
    /// whatever relations still list.
    pub fn keep_living(&mut self, goals: &BTreeMap<String, String>) {
        self.units.retain(|name, _| goals.contains_key(name));
        for (name, unit) in &mut self.units {
            unit.leaves = goals.get(name).is_some_and(|goal| goal == "dying");
        }
    }

    /// The images that relations of other units name.
    pub fn named_images(&self) -> BTreeSet<String> {
        self.units.values().flat_map(|unit| unit.names.iter().cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_that_leaves_is_not_waited_for_and_one_that_has_gone_names_nothing() {
        let peer = |name: &str| Peer { names: BTreeSet::from([name.to_owned()]), ..Peer::default() };
        let units = ["b/1", "b/2", "b/3"].map(|unit| (unit.to_owned(), peer(unit)));
        let mut peers = Peers { announced: "now".into(), units: units.into(), ..Peers::default() };
        assert_eq!(peers.behind(), ["b/1", "b/2", "b/3"]);
        let goals = [("b/0", "active"), ("b/1", "dying"), ("b/3", "blocked")];
        peers.keep_living(&goals.map(|(unit, goal)| (unit.to_owned(), goal.to_owned())).into());
        assert_eq!(peers.behind(), ["b/3"]);
        assert_eq!(peers.named_images(), BTreeSet::from(["b/1".to_owned(), "b/3".to_owned()]));
    }
}
