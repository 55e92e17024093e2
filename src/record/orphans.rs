//! Clouds that may hold something of ours beside published images: noted before anything is made there, until nothing is
//! left or it is given up. As long as one is noted, its credentials stay in clouds.yaml, also when no option and no
//! relation names it any more.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::journal::Journal;
use super::resource::ResourceKind;
use super::run_config::{BuilderRunConfig, CloudName};
use crate::model::{Backoff, Timestamp};

/// How long what is left in a cloud that is not used any more is tried to be removed. By then everything that another
/// unit has abandoned may be removed too.
const PATIENCE: Duration = Duration::from_secs(26 * 3600);

/// The pauses between two tries.
const PAUSES: Backoff = Backoff::growing(Duration::from_secs(300), 2.0, Duration::from_secs(7200));

/// How long what was given up is shown.
const SHOWN: Duration = Duration::from_secs(30 * 24 * 3600);

/// What may be left in one cloud.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Orphans {
    /// The cloud.
    pub cloud: CloudName,
    /// What was done there.
    pub work: Work,
    /// What there may be, by name.
    pub what: BTreeSet<String>,
    /// How often it was tried in vain to remove it, since the cloud is not used any more.
    pub tries: u32,
    /// Why the last try left it.
    pub why: Option<String>,
    /// The first try in vain.
    pub since: Option<Timestamp>,
    /// The last.
    pub last: Option<Timestamp>,
    /// When it was given up.
    pub given_up: Option<Timestamp>,
}

/// What a cloud was used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// Images were only copied to it.
    Deliveries,
    /// Builder VMs ran in it, and base images lie there.
    Builds,
}

impl Orphans {
    fn of(cloud: CloudName, work: Work) -> Self {
        let what = BTreeSet::new();
        Self { cloud, work, what, tries: 0, why: None, since: None, last: None, given_up: None }
    }

    /// Whether `config` does not use the cloud for this any more.
    fn is_former(&self, config: &BuilderRunConfig) -> bool {
        let delivers = self.work == Work::Deliveries && config.clouds.contains(&self.cloud);
        self.cloud != config.build_cloud && !delivers
    }

    /// When it is tried again: 5 minutes later, doubled with each try, at most 2 hours. None when it is given up.
    pub fn next_try(&self) -> Option<Timestamp> {
        if self.given_up.is_some() {
            return None;
        }
        let now = Timestamp::now();
        // A moment in the future is of a clock that was wrong.
        let last = self.last.filter(|last| *last <= now);
        Some(last.map_or(now, |last| last.plus(PAUSES.pause_after(self.tries))))
    }
}

/// `builder-project-1a2b3c4d: base image APP-noble-x64 (the password is refused)`
impl fmt::Display for Orphans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what: Vec<&str> = self.what.iter().map(String::as_str).collect();
        write!(f, "{}: {}", self.cloud, what.join(", "))?;
        self.why.iter().try_for_each(|why| write!(f, " ({why})"))
    }
}

impl Journal {
    /// A job is about to make things in `cloud`: `what` may be left there.
    pub fn works_in(&mut self, cloud: &CloudName, what: impl IntoIterator<Item = String>) {
        self.noted_anew(cloud, Work::Builds).what.extend(what);
    }

    /// A job of `config` begins: what an earlier one has noted in a cloud that `config` does not use is left there.
    pub fn leaves_clouds(&mut self, config: &BuilderRunConfig) {
        let is_used = |cloud: &CloudName| *cloud == config.build_cloud || config.clouds.contains(cloud);
        let mut left = Vec::new();
        for build in self.job.iter_mut().flat_map(|job| &mut job.builds) {
            left.extend(build.resources.extract_if(.., |resource| !is_used(&resource.cloud)));
        }
        for resource in left {
            let work = if resource.kind == ResourceKind::Copy { Work::Deliveries } else { Work::Builds };
            self.noted_anew(&resource.cloud, work).what.insert(resource.named());
        }
        self.orphans.retain(|known| known.given_up.is_none_or(|at| !at.is_past(SHOWN)));
    }

    /// The note of a cloud that is, or was until now, used for `work`: earlier tries to leave it count no more.
    fn noted_anew(&mut self, cloud: &CloudName, mut work: Work) -> &mut Orphans {
        let index = self.orphans.iter().position(|known| known.cloud == *cloud).unwrap_or_else(|| {
            self.orphans.push(Orphans::of(cloud.clone(), work));
            self.orphans.len() - 1
        });
        let known = &mut self.orphans[index];
        if known.work == Work::Builds {
            work = Work::Builds;
        }
        *known = Orphans { what: std::mem::take(&mut known.what), ..Orphans::of(cloud.clone(), work) };
        known
    }

    /// The clouds that `config` does not use any more and where it is time to try to remove what is left.
    pub fn clouds_to_leave(&self, config: &BuilderRunConfig) -> Vec<Orphans> {
        let now = Timestamp::now();
        let is_due =
            |known: &&Orphans| known.is_former(config) && known.next_try().is_some_and(|at| at <= now);
        self.orphans.iter().filter(is_due).cloned().collect()
    }

    /// What had to stay in clouds that `config` does not use any more, and is tried again.
    pub fn left_behind(&self, config: &BuilderRunConfig) -> impl Iterator<Item = &Orphans> {
        let is_told =
            |known: &&Orphans| known.tries > 0 && known.given_up.is_none() && known.is_former(config);
        self.orphans.iter().filter(is_told)
    }

    /// Nothing is left in `cloud`, which is not used any more.
    pub fn has_left(&mut self, cloud: &CloudName) {
        self.orphans.retain(|known| known.cloud != *cloud);
    }

    /// Something had to stay in `cloud`, which is not used any more; `what` where that is known. Returns whether it is
    /// given up.
    pub fn could_not_leave(
        &mut self,
        cloud: &CloudName,
        what: Option<Vec<String>>,
        why: Option<String>,
    ) -> bool {
        let Some(known) = self.orphans.iter_mut().find(|known| known.cloud == *cloud) else { return false };
        let now = Timestamp::now();
        known.tries = known.tries.saturating_add(1);
        known.why = why;
        known.last = Some(now);
        let since = *known.since.get_or_insert(now);
        if let Some(what) = what {
            known.what = what.into_iter().collect();
        }
        known.given_up = (since.age() > PATIENCE).then_some(now);
        known.given_up.is_some()
    }

    /// Whether `cloud` is noted as one that was built in: its credentials are the operator's.
    pub fn was_built_in(&self, cloud: &CloudName) -> bool {
        self.orphans.iter().any(|known| known.cloud == *cloud && known.work == Work::Builds)
    }

    /// Whether the credentials of `cloud` are needed to remove what a job has left there, or may leave.
    pub fn needs_credentials_of(&self, cloud: &CloudName) -> bool {
        let noted = |known: &Orphans| known.cloud == *cloud && known.given_up.is_none();
        self.orphans.iter().any(noted) || self.resources().any(|resource| resource.cloud == *cloud)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cloud(name: &str) -> CloudName {
        CloudName::new(name)
    }

    fn builds_in(build_cloud: &str, clouds: &[&str]) -> BuilderRunConfig {
        let mut config = crate::testing::run_config();
        config.build_cloud = cloud(build_cloud);
        config.clouds = clouds.iter().copied().map(cloud).collect();
        config
    }

    fn to_leave(journal: &Journal, config: &BuilderRunConfig) -> Vec<String> {
        journal.clouds_to_leave(config).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_cloud_that_is_built_in_is_left_when_another_is_configured() {
        let mut journal = Journal::default();
        journal.works_in(&cloud("old"), ["base image b".to_owned()]);
        assert!(journal.needs_credentials_of(&cloud("old")));
        assert!(journal.clouds_to_leave(&builds_in("old", &[])).is_empty());
        let now = builds_in("new", &["old"]);
        assert_eq!(to_leave(&journal, &now), ["old: base image b"], "also when images are delivered there");
        journal.has_left(&cloud("old"));
        assert!(journal.clouds_to_leave(&now).is_empty() && !journal.needs_credentials_of(&cloud("old")));
    }

    #[test]
    fn what_cannot_be_removed_is_tried_later_each_time_and_given_up_after_a_day_and_a_bit() {
        let mut journal = Journal::default();
        let config = builds_in("new", &[]);
        journal.works_in(&cloud("old"), ["base image b".to_owned()]);
        assert_eq!(journal.left_behind(&config).count(), 0, "nobody has tried yet");
        assert!(!journal.could_not_leave(&cloud("old"), None, Some("refused".into())));
        let told: Vec<String> = journal.left_behind(&config).map(ToString::to_string).collect();
        assert_eq!(told, ["old: base image b (refused)"]);
        assert!(journal.clouds_to_leave(&config).is_empty(), "not at once");
        let now = Timestamp::now();
        journal.orphans[0].last = Some(Timestamp(now.0 - 300));
        assert_eq!(journal.clouds_to_leave(&config).len(), 1);
        assert!(!journal.could_not_leave(&cloud("old"), Some(vec!["VM v".into()]), None));
        journal.orphans[0].last = Some(Timestamp(now.0 - 500));
        assert!(journal.clouds_to_leave(&config).is_empty(), "later each time");
        journal.orphans[0].last = Some(Timestamp(now.0 + 1_000_000));
        assert_eq!(journal.clouds_to_leave(&config).len(), 1, "a clock that was wrong puts nothing off");

        journal.orphans[0].since = Some(Timestamp(now.0 - 27 * 3600));
        assert!(journal.could_not_leave(&cloud("old"), None, Some("refused".into())));
        assert!(journal.clouds_to_leave(&config).is_empty() && journal.left_behind(&config).count() == 0);
        assert!(!journal.needs_credentials_of(&cloud("old")));
        assert_eq!(journal.orphans[0].to_string(), "old: VM v (refused)", "it stays listed");

        journal.works_in(&cloud("old"), ["base image c".to_owned()]);
        assert!(journal.needs_credentials_of(&cloud("old")), "it is used again");
        assert_eq!(to_leave(&journal, &config), ["old: VM v, base image c"]);
    }
}
