//! What stands in our relation databags, remembered between hooks: read back after a write, trusted until the next. Hooks write it; the worker reads here which images a relation names, for those must not be pruned.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::host::{FileError, Host};
use crate::record::file::{RecordError, write_json};
use crate::record::run_config::CloudName;

/// The contents of one databag.
type Databag = BTreeMap<String, String>;

/// The databags of all image relations, by relation id.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Published(BTreeMap<String, Memory>);

/// What we know of one databag.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    cloud: Option<CloudName>,
    /// What Juju has said that it holds.
    read: Option<Databag>,
    /// What we have written since, oldest first, and in which cloud its images are; the last whose hook succeeded holds.
    #[serde(default)]
    written: Vec<(CloudName, Databag)>,
    /// The projects of these clouds, as digests.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    projects: BTreeMap<CloudName, String>,
}

impl Memory {
    /// The databag's contents, as long as nothing was written since they were read.
    pub fn trusted(&self) -> Option<&Databag> {
        self.read.as_ref().filter(|_| self.written.is_empty())
    }

    /// What the databag holds as far as we know: what was written last, else what was read.
    pub fn last(&self) -> Option<&Databag> {
        self.written.last().map(|(_, databag)| databag).or(self.read.as_ref())
    }

    /// Whether `wanted` is to be written whatever the databag holds: it is not what was written last.
    pub fn is_superseded_by(&self, wanted: Option<&Databag>) -> bool {
        let last = self.written.last();
        wanted.zip(last).is_some_and(|(wanted, (_, last))| wanted != last)
    }

    /// Juju has said that it holds `databag`.
    pub fn was_read(&mut self, databag: Databag) {
        let written = std::mem::take(&mut self.written);
        if let Some((cloud, _)) = written.into_iter().rev().find(|(_, written)| *written == databag) {
            self.cloud = Some(cloud);
        }
        self.read = Some(databag);
    }

    /// This hook has written `databag` with images of `cloud`; whether it took effect, the next one will see.
    pub fn was_written(&mut self, cloud: &CloudName, databag: Databag) {
        self.written.push((cloud.clone(), databag));
    }

    /// The cloud that is `now` may stand here under its `former` name.
    pub fn renew(&mut self, former: &CloudName, now: &CloudName) {
        let names = self.cloud.iter_mut().chain(self.written.iter_mut().map(|(cloud, _)| cloud));
        names.filter(|name| *name == former).for_each(|name| name.clone_from(now));
    }

    /// Its images are in `cloud`.
    pub fn belongs_to(&mut self, cloud: &CloudName) {
        self.cloud = Some(cloud.clone());
    }

    /// The relation is about `cloud` now, which leads to `project`, a digest of all that tells projects apart. What it
    /// tells of the same project under another name, as another user, stays and is told under this one.
    pub fn is_about(&mut self, cloud: &CloudName, project: &str) {
        let Self { projects, written, cloud: known, .. } = self;
        projects.insert(cloud.clone(), project.to_owned());
        let names = known.iter_mut().chain(written.iter_mut().map(|(name, _)| name));
        let is_same = |name: &&mut CloudName| projects.get(*name).is_some_and(|known| known == project);
        names.filter(is_same).for_each(|name| name.clone_from(cloud));
        projects.retain(|name, _| {
            name == cloud || known.as_ref() == Some(name) || written.iter().any(|(known, _)| known == name)
        });
    }

    /// Whether its images are in another cloud than `cloud`.
    pub fn is_of_another_cloud(&self, cloud: &CloudName) -> bool {
        let written = self.written.last().map(|(cloud, _)| cloud);
        written.or(self.cloud.as_ref()).is_some_and(|before| before != cloud)
    }

    fn images(&self) -> Vec<String> {
        let databags = self.read.iter().chain(self.written.iter().map(|(_, databag)| databag));
        let ids = |databag: &Databag| {
            let listed = databag.get("images").and_then(|images| serde_json::from_str(images).ok());
            let listed: Vec<Databag> = listed.unwrap_or_default();
            let ids = listed.into_iter().filter_map(|mut image| image.remove("id"));
            ids.chain(databag.get("id").cloned()).collect::<Vec<_>>()
        };
        databags.flat_map(ids).collect()
    }
}

const FILE: &str = "databags.json";

impl Published {
    /// What the last hooks left; nothing when the file is gone or broken, since Juju can be asked again.
    pub fn load(host: &Host) -> Result<Self, FileError> {
        Ok(Self::known(host)?.unwrap_or_default())
    }

    /// The same, `None` when the file is gone or broken: what relations name is not known then.
    pub fn known(host: &Host) -> Result<Option<Self>, FileError> {
        let bytes = host.read(&host.state_dir().join(FILE))?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    /// Keeps it for the next hook.
    pub fn save(&self, host: &Host) -> Result<(), RecordError> {
        write_json(host, FILE, self)
    }

    /// The memory of one relation's databag.
    pub fn relation(&mut self, relation: &str) -> &mut Memory {
        self.0.entry(relation.to_owned()).or_default()
    }

    /// Forgets relations that are gone.
    pub fn retain(&mut self, exists: impl Fn(&str) -> bool) {
        self.0.retain(|relation, _| exists(relation));
    }

    /// The ids of all images that a relation names, or may name once a hook has ended.
    pub fn named_images(&self) -> BTreeSet<String> {
        self.0.values().flat_map(Memory::images).collect()
    }

    /// Those of the relation that leads to `cloud`.
    pub fn images_of(&self, cloud: &CloudName) -> BTreeSet<String> {
        let leads_there = |memory: &&Memory| {
            memory.written.iter().map(|(name, _)| name).chain(&memory.cloud).any(|name| name == cloud)
        };
        self.0.values().filter(leads_there).flat_map(Memory::images).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_just_written_for_one_cloud_is_another_clouds_before_it_was_read_back() {
        let mut memory = Memory::default();
        let (before, after) = (CloudName::new("before"), CloudName::new("after"));
        memory.was_written(&before, Databag::from([("id".to_owned(), "x".to_owned())]));
        assert!(memory.is_of_another_cloud(&after) && !memory.is_of_another_cloud(&before));
    }

    #[test]
    fn another_user_of_the_same_project_is_told_what_the_one_before_was() {
        let databag = Databag::from([("id".to_owned(), "x".to_owned())]);
        let [before, after, elsewhere] = ["p-1", "p-2", "q-1"].map(CloudName::new);
        for is_read in [false, true] {
            let mut memory = Memory::default();
            memory.is_about(&before, "p");
            memory.was_written(&before, databag.clone());
            if is_read {
                memory.was_read(databag.clone());
            }
            memory.is_about(&after, "p");
            assert!(!memory.is_of_another_cloud(&after));
            memory.is_about(&elsewhere, "q");
            assert!(memory.is_of_another_cloud(&elsewhere));
        }
    }

    #[test]
    fn an_image_stays_named_until_its_replacement_was_read_back() {
        let databag =
            |id: &str| Databag::from([("images".into(), format!("[{{\"id\":\"{id}\",\"tags\":\"x\"}}]"))]);
        let mut published = Published::default();
        published.relation("image:1").was_read(databag("old"));
        published.relation("image:1").was_written(&CloudName::new("ci-1"), databag("new"));
        assert_eq!(published.named_images(), BTreeSet::from(["old".into(), "new".into()]));
        published.relation("image:1").was_read(databag("new"));
        assert_eq!(published.named_images(), BTreeSet::from(["new".into()]));
    }

    #[test]
    fn of_several_writes_each_may_hold_until_one_is_read_back() {
        let cloud = CloudName::new("ci-1");
        let databag = |id: &str| Databag::from([("id".into(), id.into())]);
        let mut published = Published::default();
        let memory = published.relation("image:1");
        memory.was_written(&cloud, databag("first"));
        assert!(memory.is_superseded_by(Some(&databag("second"))));
        memory.was_written(&cloud, databag("second"));
        assert!(!memory.is_superseded_by(Some(&databag("second"))) && memory.trusted().is_none());
        assert_eq!(published.named_images(), BTreeSet::from(["first".into(), "second".into()]));
        published.relation("image:1").was_read(databag("first"));
        assert_eq!(published.named_images(), BTreeSet::from(["first".into()]));
    }

    #[test]
    fn a_databag_is_of_another_cloud_when_what_was_written_for_that_took_effect() {
        let [here, there] = ["here-1", "there-2"].map(CloudName::new);
        let full = Databag::from([("id".into(), "old".into())]);
        let mut memory = Memory::default();
        memory.was_written(&here, full.clone());
        memory.was_read(full.clone());
        assert!(!memory.is_of_another_cloud(&here) && memory.is_of_another_cloud(&there));
        memory.was_written(&there, Databag::new());
        memory.was_read(full);
        assert!(memory.is_of_another_cloud(&there), "the hook that wrote it has failed");
        memory.was_written(&there, Databag::new());
        memory.was_read(Databag::new());
        assert!(!memory.is_of_another_cloud(&there));
    }
}
