//! The journal: what the worker does and has done, on disk, readable by people. The worker alone writes it, hooks
//! read it. Every write is whole and flushed before it counts.

pub(super) mod aside;
pub(super) mod build_state;
pub(super) mod evidence;
pub(super) mod in_use;
pub(super) mod membership;
mod migration;
pub(super) mod phases;
pub(super) mod standing;

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::journal::aside::Unreadable;
use super::journal::build_state::Job;
use super::journal::evidence::Revision;
use super::journal::in_use::InUse;
use super::journal::membership::Membership;
use super::journal::migration::{Before, migrate};
use super::journal::standing::Standing;
use super::levers::Levers;
use super::orphans::Orphans;
use super::request::Request;
use super::resource::Resource;
use super::run_config::{BuildResult, CloudName};
use crate::host::Host;
use crate::model::{Target, Timestamp};
use crate::openstack_cloud::ImageId;
use crate::record::file::{RecordError, write_json};

/// The format that this version writes.
pub const FORMAT: u32 = 3;

/// How often the clouds are searched for what a run may have left, when nothing says that there is something.
const SWEEP_INTERVAL: Duration = Duration::from_secs(3600);

/// All that the worker remembers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Journal {
    /// The format of the version that wrote it.
    pub format: u32,
    /// The job that runs, or ran last.
    pub job: Option<Job>,
    /// The newest image of each target in each cloud that relations may name.
    pub images: Vec<Image>,
    /// How each target stands in each project.
    pub standings: Vec<Standing>,
    /// Old revisions that something still used when they were to be deleted.
    pub in_use: Vec<InUse>,
    /// When the clouds were last searched for what a run may have left, and nothing had to stay.
    pub swept: Option<Timestamp>,
    /// The clouds that may hold something of ours beside published images: the one that is built in, and those that are
    /// not used any more.
    #[serde(default, rename = "leftovers")]
    pub orphans: Vec<Orphans>,
    /// The finished builds: those that the build project keeps, and those that relations are told of.
    #[serde(default)]
    pub revisions: Vec<Revision>,
    /// The projects that images of the build project are, or may be, shared with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub memberships: Vec<Membership>,
    /// The operators' decisions that `images` follow. Hooks look at the journal through them; it is never written.
    #[serde(skip)]
    pub levers: Levers,
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            format: FORMAT,
            job: None,
            images: Vec::new(),
            standings: Vec::new(),
            in_use: Vec::new(),
            swept: None,
            orphans: Vec::new(),
            revisions: Vec::new(),
            memberships: Vec::new(),
            levers: Levers::default(),
        }
    }
}

/// An image that was delivered and checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The image, and what it was built for.
    #[serde(flatten)]
    pub result: BuildResult,
    /// A digest of what went into it.
    pub fingerprint: String,
    /// The digest of its bytes, as its cloud has computed it (`os_hash_value`): of an image that was delivered before
    /// evidence was kept, which is no evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// The build that it is a copy of, and whose evidence is its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<ImageId>,
    /// When it was built.
    pub built: Timestamp,
}

impl Image {
    /// What it was built for.
    pub fn target(&self) -> Target {
        self.result.config.target()
    }

    /// Whether it is the image of `target` in `cloud`.
    pub fn is_of(&self, target: Target, cloud: &CloudName) -> bool {
        let config = &self.result.config;
        (config.base, config.arch, &config.cloud_name) == (target.base, target.arch, cloud)
    }

    /// Whether it is the build itself, shared by the build project, and no copy: a copy has an id of its own.
    pub fn is_shared(&self) -> bool {
        self.revision.as_ref() == Some(&self.result.id)
    }
}

const FILE: &str = "journal.json";

impl Journal {
    /// The journal on disk; an empty one when there is none, or none that this version can read.
    pub fn load(host: &Host) -> Result<Self, RecordError> {
        Ok(Self::read(host)?.unwrap_or_default())
    }

    /// The journal on disk, or why this version cannot read it.
    pub(crate) fn read(host: &Host) -> Result<Result<Self, Unreadable>, RecordError> {
        let Some(bytes) = host.read(&host.state_dir().join(FILE))? else { return Ok(Ok(Self::default())) };
        let unreadable = |problem: String| Unreadable::of(FILE, &bytes, problem);
        let mut written: Value = match serde_json::from_slice(&bytes) {
            Ok(written) => written,
            Err(error) => return Ok(Err(unreadable(error.to_string()))),
        };
        let before = match written.get("format").and_then(Value::as_u64) {
            Some(format @ (1 | 2)) => Some(migrate(&mut written, format)),
            Some(format) if format == u64::from(FORMAT) => None,
            format => {
                let format = format.map_or("no format".to_owned(), |format| format!("format {format}"));
                return Ok(Err(unreadable(format!("{format}, but this version reads 1 to {FORMAT}"))));
            }
        };
        let mut journal: Self = match serde_json::from_value(written) {
            Ok(journal) => journal,
            Err(error) => return Ok(Err(unreadable(error.to_string()))),
        };
        if let Some(Before { failures_in_row, last_success }) = before
            && let Some(request) = Request::load(host)?
        {
            journal.stood(&request, failures_in_row, last_success);
        }
        Ok(Ok(journal))
    }

    /// Where it stands.
    pub fn path(host: &Host) -> PathBuf {
        host.state_dir().join(FILE)
    }

    /// Writes it to disk.
    pub fn save(&self, host: &Host) -> Result<(), RecordError> {
        write_json(host, FILE, self)
    }

    /// The job while it runs; after a crash too, until the next worker has taken it over.
    pub fn running(&self) -> Option<&Job> {
        self.job.as_ref().filter(|job| job.finished.is_none())
    }

    /// What builds have made in clouds, and what is neither gone nor published.
    pub fn resources(&self) -> impl Iterator<Item = &Resource> {
        self.job.iter().flat_map(|job| &job.builds).flat_map(|build| &build.resources)
    }

    /// Begins `job`: what the last one has left in clouds is its concern from now on.
    pub fn begin(&mut self, mut job: Job) {
        if self.left_something() {
            self.swept = None;
        }
        for left in self.job.take().into_iter().flat_map(|job| job.builds) {
            if !left.resources.is_empty() {
                job.build(left.target).resources = left.resources;
            }
        }
        self.job = Some(job);
    }

    /// Whether a job has left something in a cloud, or may have: it died, or could not remove it.
    pub fn left_something(&self) -> bool {
        self.is_building() || self.is_preparing() || self.resources().next().is_some()
    }

    /// Whether the last job has ended and its worker makes prepared images, or has died at it.
    pub fn is_preparing(&self) -> bool {
        self.job.as_ref().is_some_and(|job| job.finished.is_some() && job.prepares)
    }

    /// Whether a job has begun to build, and has not ended. One that only takes over what the leader has built has not.
    pub fn is_building(&self) -> bool {
        self.running().is_some_and(|job| !job.builds.is_empty())
    }

    /// Whether it is time to search the clouds for what runs may have left.
    pub fn sweep_is_due(&self) -> bool {
        self.swept.is_none_or(|last| last.is_past(SWEEP_INTERVAL))
    }

    /// The image of `target` in `cloud`.
    pub fn image(&self, target: Target, cloud: &CloudName) -> Option<&Image> {
        self.images.iter().find(|image| image.is_of(target, cloud))
    }

    /// Notes `image` as the newest of its target in its cloud.
    pub fn publish(&mut self, image: Image) {
        let is_known = self.images.iter().any(|known| known.result == image.result);
        if let Some(job) = &mut self.job {
            if is_known {
                job.found.push(image.result.config.clone());
            } else {
                job.delivered.push(image.result.clone().into());
            }
        }
        let before: Vec<Image> =
            self.images.extract_if(.., |other| other.result.config == image.result.config).collect();
        before.iter().chain([&image]).for_each(|image| self.note_copy(image));
        self.images.push(image);
    }

    /// Notes an image that stood in its cloud before, unless another is known there. No job has made it.
    pub fn adopt(&mut self, image: Image) {
        if self.images.iter().all(|known| known.result.config != image.result.config) {
            self.images.push(image);
        }
    }

    /// Whether it is worth trying to delete an old revision.
    pub fn may_prune(&self, cloud: &CloudName, image: &ImageId) -> bool {
        let known = self.in_use.iter().find(|known| (&known.cloud, &known.image) == (cloud, image));
        known.is_none_or(InUse::is_due)
    }

    /// Whether it is time to try again to delete any.
    pub fn retries_pruning(&self) -> bool {
        self.in_use.iter().any(InUse::is_due)
    }

    /// An old revision could not be deleted.
    pub fn is_in_use(&mut self, cloud: &CloudName, image: &ImageId, why: String) {
        let known = self.in_use.iter().find(|known| (&known.cloud, &known.image) == (cloud, image));
        let tries = known.map_or(0, |known| known.tries).saturating_add(1);
        self.pruned(cloud, image);
        let (cloud, image) = (cloud.clone(), image.clone());
        self.in_use.push(InUse { cloud, image, why, tries, last: Timestamp::now() });
    }

    /// An old revision is gone.
    pub fn pruned(&mut self, cloud: &CloudName, image: &ImageId) {
        self.in_use.retain(|known| (&known.cloud, &known.image) != (cloud, image));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::{Arch, BaseImage};
    use crate::record::Phase;
    use crate::record::journal::in_use::PRUNE_PAUSE;
    use crate::record::request::TaskKind;
    use crate::record::run_config::BuildConfig;

    fn image(id: &str) -> Image {
        let config =
            BuildConfig { base: BaseImage::Noble, arch: Arch::X64, cloud_name: CloudName::new("ci-1") };
        Image {
            result: BuildResult { config, id: id.parse().unwrap() },
            fingerprint: "f".into(),
            hash: None,
            revision: None,
            built: Timestamp(1),
        }
    }

    #[test]
    fn a_cloud_has_one_newest_image_of_a_target() {
        let mut journal = Journal::default();
        journal.publish(image("5d1f5a2e-0000-4000-8000-000000000001"));
        journal.publish(image("5d1f5a2e-0000-4000-8000-000000000002"));
        assert_eq!(journal.images.len(), 1);
        let target = Target { base: BaseImage::Noble, arch: Arch::X64 };
        let newest = journal.image(target, &CloudName::new("ci-1")).unwrap();
        assert!(newest.result.id.to_string().ends_with('2'));
    }

    #[test]
    fn a_journal_is_read_back_and_a_foreign_one_is_kept_and_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path());
        assert_eq!(Journal::load(&host).unwrap(), Journal::default());
        let mut journal = Journal::default();
        journal.publish(image("5d1f5a2e-0000-4000-8000-000000000001"));
        journal.save(&host).unwrap();
        assert_eq!(Journal::load(&host).unwrap(), journal);
        for foreign in [
            "{\"format\": 99}",
            "{",
            "[]",
            "{\"format\":99,\"job\":null,\"images\":[],\"failures_in_row\":0,\"last_success\":null}",
        ] {
            host.write(&host.state_dir().join(FILE), foreign.as_bytes(), 0o600).unwrap();
            assert!(Journal::read(&host).unwrap().is_err(), "{foreign}");
            assert_eq!(Journal::load(&host).unwrap(), Journal::default(), "{foreign}");
            let kept = host.read(&host.state_dir().join(FILE)).unwrap();
            assert_eq!(kept.as_deref(), Some(foreign.as_bytes()));
        }
    }

    #[test]
    fn a_journal_of_the_first_format_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path());
        let first = r#"{"format": 1, "images": [], "failures_in_row": 2, "last_success": null, "job": {
            "id": "ab", "config_digest": "", "owner": {"model_uuid": "m", "application": "a", "unit": 0},
            "started": "2026-05-01T12:00:00Z", "finished": null, "failures": [], "builds": [
                {"target": {"base": "noble", "arch": "x64"}, "phase": {"name": "launching"},
                 "since": "2026-05-01T12:00:00Z"}]}}"#;
        host.write(&host.state_dir().join(FILE), first.as_bytes(), 0o600).unwrap();
        let journal = Journal::load(&host).unwrap();
        assert_eq!(journal.format, FORMAT);
        assert_eq!(journal.running().unwrap().builds[0].phase, Phase::Launching);
        assert!(journal.left_something() && journal.sweep_is_due());
        for nonsense in [r#"{"format": 1, "job": 7}"#, r#"{"format": 1, "job": {"builds": [1, "x", []]}}"#] {
            host.write(&host.state_dir().join(FILE), nonsense.as_bytes(), 0o600).unwrap();
            assert!(Journal::read(&host).unwrap().is_err());
        }
    }

    #[test]
    fn a_journal_of_the_second_format_keeps_its_failures_and_their_retry() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path());
        let mut config = crate::testing::run_config();
        config.clouds = vec![CloudName::new("ci-1")];
        let request = crate::testing::request(config.clone());
        request.save(&host, &Default::default()).unwrap();
        let ended = Timestamp::now();
        let second = json!({
            "format": 2, "failures_in_row": 3, "last_success": "2026-05-01T12:00:00Z", "in_use": [], "swept": null,
            "images": [image("i")], "job": {
                "id": request.id, "reason": "schedule", "config_digest": config.digest(), "builds": [],
                "owner": config.owner, "started": ended, "finished": ended,
                "failures": [{"target": null, "cloud": null, "message": "no mirror", "remedy": "retry"}]}});
        host.write(&host.state_dir().join(FILE), second.to_string().as_bytes(), 0o600).unwrap();
        let journal = Journal::load(&host).unwrap();
        assert_eq!(journal.job.as_ref().unwrap().failures[0].message, "no mirror");
        let (standing, open) = journal.failing(&config, TaskKind::Build).next().unwrap();
        assert_eq!((standing.target, &standing.cloud, open.in_row), (Some(config.targets[0]), &None, 3));
        assert_eq!(open.next_try, ended.plus(Duration::from_secs(1200)));
        assert_eq!(journal.last_success(), Timestamp::of_rfc3339("2026-05-01T12:00:00Z"));
        journal.save(&host).unwrap();
        assert_eq!(Journal::load(&host).unwrap(), journal);
    }

    #[test]
    fn a_clock_that_was_wrong_puts_nothing_off() {
        let future = Timestamp(Timestamp::now().0 + 1_000_000);
        let journal = Journal { swept: Some(future), ..Journal::default() };
        assert!(journal.sweep_is_due());
        let in_use = |last| InUse {
            cloud: CloudName::new("c"),
            image: "i".parse().unwrap(),
            why: String::new(),
            tries: 9,
            last,
        };
        assert!(in_use(future).is_due() && !in_use(Timestamp::now()).is_due());
        assert!(in_use(Timestamp(Timestamp::now().0 - PRUNE_PAUSE.as_secs())).is_due());
    }
}
