//! What the units of the application have told each other, remembered between hooks in `peers.json`. Hooks write it;
//! the worker reads here whether old images may go. Without the file nothing is known, and nothing is pruned.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::former_names::FormerNames;
use crate::host::{FileError, Host};
use crate::model::{Timestamp, hex};
use crate::record::file::{RecordError, read_json_or_default, write_json};
use crate::record::journal::evidence::Revision;
use crate::record::journal::{Image, Journal};
use crate::record::levers::Levers;
use crate::record::request::TaskKind;
use crate::record::run_config::BuilderRunConfig;

/// The images that the leader says others may publish, as text: so all units digest the same bytes. With them goes the
/// evidence for each build that they are copies of, once, for whoever leads next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    text: String,
    builds: String,
    images: Vec<Image>,
    revisions: Vec<Revision>,
}

/// A longer announcement is none of ours: it would name thousands of images.
const LONGEST: usize = 1 << 20;

impl Announcement {
    /// What `journal` has for the targets and clouds of `config`; where it has nothing, what it has inherited, also for
    /// clouds whose relations a new leader has not seen yet. Told to units that know the clouds by their former names as
    /// well.
    pub fn of(
        journal: &Journal,
        inherited: Option<&Self>,
        config: &BuilderRunConfig,
        names: &FormerNames,
    ) -> Self {
        let before = |(target, cloud): Place<'_>| {
            inherited.into_iter().flat_map(|said| &said.images).find(|image| image.is_of(target, cloud))
        };
        // A unit that follows may lead before it has taken over the newest.
        let find = |place| match (find(journal, place), before(place)) {
            (Some(known), Some(said)) if said.built > known.built => Some(said.clone()),
            (known, said) => known.or(said).cloned(),
        };
        let is_unseen = |image: &&Image| !wanted(config).any(|(target, cloud)| image.is_of(target, cloud));
        let unseen = inherited.into_iter().flat_map(|said| &said.images).filter(is_unseen).cloned();
        let images: Vec<Image> = wanted(config).filter_map(find).chain(unseen).collect();
        let earlier = inherited.into_iter().flat_map(|said| &said.revisions);
        let earlier = earlier.filter(|revision| journal.revision(&revision.id).is_none());
        let proven: Vec<&Revision> =
            journal.revisions.iter().chain(earlier).filter(|revision| revision.proof.is_some()).collect();
        let digest = |image: &Image| {
            let revision = proven.iter().find(|revision| Some(&revision.id) == image.revision.as_ref())?;
            revision.proof.as_ref().map(|proof| proof.sha512.clone())
        };
        let images = names.with_former(images, digest);
        // Also of builds that no relation is told of: whoever leads next may be asked to go back to one.
        let evidence = |revision: &Revision| Revision { copies: Vec::new(), ..revision.clone() };
        let revisions = proven.iter().copied().map(evidence).collect();
        Self::within(LONGEST, images, revisions)
    }

    /// The announcement of as many of `images` as there is room for.
    fn within(most: usize, mut images: Vec<Image>, revisions: Vec<Revision>) -> Self {
        // Plain data always serialises.
        let builds = serde_json::to_string(&revisions).unwrap_or_default();
        loop {
            let text = serde_json::to_string(&images).unwrap_or_default();
            if images.is_empty() || text.len() + builds.len() <= most {
                return Self { text, builds, images, revisions };
            }
            images.truncate(images.len() * 9 / 10);
            log::warn!("too many images to announce: only the first {} are announced", images.len());
        }
    }

    /// Reads one; none when it was written by a version that we do not understand. The builds are absent in one of a
    /// version that kept no evidence.
    pub fn parse(text: &str, builds: &str) -> Option<Self> {
        if text.len() + builds.len() > LONGEST {
            return None;
        }
        let images = serde_json::from_str(text).ok()?;
        let revisions = if builds.is_empty() { Vec::new() } else { serde_json::from_str(builds).ok()? };
        Some(Self { text: text.to_owned(), builds: builds.to_owned(), images, revisions })
    }

    /// The images, as they stand in the databag.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The evidence, as it stands in the databag.
    pub fn builds(&self) -> &str {
        &self.builds
    }

    /// The images.
    pub fn images(&self) -> &[Image] {
        &self.images
    }

    /// The builds that they are copies of, and all others that are kept.
    pub fn revisions(&self) -> &[Revision] {
        &self.revisions
    }

    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty() && self.revisions.is_empty()
    }

    /// Whether `journal` has an image as new wherever this names one that `config` wants.
    pub fn is_inherited_by(&self, journal: &Journal, config: &BuilderRunConfig) -> bool {
        let mut named = wanted(config).filter_map(|(target, cloud)| {
            let said = self.images.iter().find(|image| image.is_of(target, cloud))?;
            Some(find(journal, (target, cloud)).is_some_and(|known| known.built >= said.built))
        });
        !config.clouds.is_empty() && named.all(|is_inherited| is_inherited)
    }

    /// Whether `journal` knows all builds that it has evidence for.
    pub fn revisions_are_in(&self, journal: &Journal) -> bool {
        self.revisions.iter().all(|revision| journal.revision(&revision.id).is_some())
    }

    /// What acknowledges it.
    pub fn digest(&self) -> String {
        let mut digest = hex(&Sha256::digest(&self.text));
        digest.truncate(16);
        digest
    }

    /// The same with the clouds as they are named now: a leader that was not refreshed yet has announced former names.
    pub fn renewed(mut self, names: &FormerNames) -> Self {
        self.images = names.renewed(self.images);
        self
    }

    /// The same without images that operators do not let relations be told.
    pub fn allowed_by(mut self, levers: &Levers) -> Self {
        self.images.retain(|image| levers.allow(image));
        self
    }

    /// The announced images that `config` wants and `journal` does not have; a leader that was not refreshed yet announces
    /// them under former names.
    pub fn news(&self, journal: &Journal, config: &BuilderRunConfig, names: &FormerNames) -> Vec<Image> {
        let is_news = |image: &Image| {
            wanted(config).any(|(target, cloud)| {
                image.is_of(target, cloud)
                    && find(journal, (target, cloud)).is_none_or(|known| known.result.id != image.result.id)
            })
        };
        names.renewed(self.images.clone()).into_iter().filter(is_news).collect()
    }
}

type Place<'a> = (crate::model::Target, &'a crate::record::run_config::CloudName);

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
    /// The images that the leader announces, as others have read them; or, of a leader, what the one before it has.
    pub announcement: Option<String>,
    /// The evidence that goes with them.
    pub builds: Option<String>,
    /// When these were read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard: Option<Timestamp>,
    /// Our unit's databag.
    pub unit_databag: Own,
    /// The application's databag.
    pub application_databag: Own,
}

const FILE: &str = "peers.json";

impl Peers {
    /// What the last hooks left; nothing when the file is gone or broken, since Juju can be asked again.
    pub fn load(host: &Host) -> Result<Self, FileError> {
        read_json_or_default(host, FILE)
    }

    /// Keeps it for the next hook, and for the worker.
    pub fn save(&self, host: &Host) -> Result<(), RecordError> {
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

    /// What was announced, if it is understood.
    pub fn announcement(&self) -> Option<Announcement> {
        Announcement::parse(self.announcement.as_deref()?, self.builds.as_deref().unwrap_or_default())
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
    use crate::model::Timestamp;
    use crate::record::run_config::{BuildConfig, BuildResult, CloudName, JobId};

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

    fn image(cloud: &str, id: &str, revision: Option<&str>) -> Image {
        let target = crate::testing::run_config().targets[0];
        let config = BuildConfig { base: target.base, arch: target.arch, cloud_name: CloudName::new(cloud) };
        Image {
            result: BuildResult { config, id: id.parse().unwrap() },
            fingerprint: "f".into(),
            hash: None,
            revision: revision.map(|id| id.parse().unwrap()),
            built: Timestamp(1),
        }
    }

    fn revision(id: &str, built: u64) -> Revision {
        Revision {
            target: crate::testing::run_config().targets[0],
            id: id.parse().unwrap(),
            job: JobId::random(),
            fingerprint: "f".into(),
            built: Timestamp(built),
            proof: Some(crate::record::journal::evidence::Proof { sha512: "ab".repeat(64), size: 7 }),
            failed_reads: 0,
            contents: None,
            copies: Vec::new(),
        }
    }

    fn config(clouds: &[&str]) -> BuilderRunConfig {
        let clouds = clouds.iter().copied().map(CloudName::new).collect();
        BuilderRunConfig { clouds, ..crate::testing::run_config() }
    }

    #[test]
    fn the_evidence_of_a_build_is_told_once_for_all_its_copies() {
        let mut journal = Journal::default();
        for number in 0..50 {
            journal.publish(image(&format!("c{number}"), &format!("i{number}"), Some("new")));
        }
        journal.revisions = vec![revision("new", 2)];
        let clouds: Vec<String> = (0..50).map(|number| format!("c{number}")).collect();
        let config = config(&clouds.iter().map(String::as_str).collect::<Vec<_>>());
        let said = Announcement::of(&journal, None, &config, &FormerNames::default());
        let text = format!("{}{}", said.text(), said.builds());
        assert_eq!((said.images().len(), text.matches(&"ab".repeat(64)).count()), (50, 1));
        assert_eq!(Announcement::parse(said.text(), said.builds()), Some(said.clone()));
        let short = Announcement::within(2000, said.images.clone(), said.revisions.clone());
        assert!(!short.images().is_empty() && short.text().len() + short.builds().len() <= 2000);
    }

    #[test]
    fn a_new_leader_that_has_not_taken_over_the_newest_tells_it_and_not_its_own() {
        let (mut journal, config) = (Journal::default(), config(&["c"]));
        journal.publish(Image { built: Timestamp(2), ..image("c", "newest", Some("r")) });
        let said = Announcement::of(&journal, None, &config, &FormerNames::default());
        let mut journal = Journal::default();
        journal.publish(image("c", "older", None));
        assert!(!said.is_inherited_by(&journal, &config));
        let told = Announcement::of(&journal, Some(&said), &config, &FormerNames::default());
        assert_eq!(told.images()[0].result.id.as_str(), "newest");
        journal.inherit(&said);
        assert!(said.is_inherited_by(&journal, &config));
        assert_eq!((journal.images.len(), journal.images[0].result.id.as_str()), (1, "newest"));
    }

    #[test]
    fn what_was_announced_before_is_told_until_the_new_leader_has_its_own() {
        let (mut journal, config) = (Journal::default(), config(&["c"]));
        journal.publish(image("c", "before", Some("r")));
        journal.note_revision(revision("r", 1));
        let before = Announcement::of(&journal, None, &config, &FormerNames::default());
        let mut journal = Journal::default();
        assert_eq!(Announcement::of(&journal, Some(&before), &config, &FormerNames::default()), before);
        let nobody = self::config(&[]);
        assert_eq!(
            Announcement::of(&journal, Some(&before), &nobody, &FormerNames::default()),
            before,
            "no relation was seen yet"
        );
        assert!(!before.is_inherited_by(&journal, &nobody));
        assert!(!before.is_inherited_by(&journal, &config));
        journal.inherit(&before);
        assert!(before.is_inherited_by(&journal, &config));
        assert_eq!(journal.proof_of(&journal.images[0]), before.revisions()[0].proof.as_ref());
        journal.publish(image("c", "after", None));
        assert_eq!(
            Announcement::of(&journal, Some(&before), &config, &FormerNames::default()).images()[0]
                .result
                .id
                .as_str(),
            "after"
        );
    }
}
