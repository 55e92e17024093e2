//! The journal: what the worker does and has done, on disk, readable by people. The worker alone writes it, hooks
//! read it. Every write is whole and flushed before it counts.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use super::build_state::{Build, Failure, Job, Phase, Remedy};
use super::config::{BuildResult, CloudName};
use super::evidence::Revision;
use super::leftovers::Leftovers;
use super::resource::Resource;
pub use super::timestamp::Timestamp;
use crate::host::{FileError, Host};
use crate::openstack_cloud::ImageId;
use crate::target::Target;

/// The format that this version writes.
pub const FORMAT: u32 = 2;

/// How often the clouds are searched for what a run may have left, when nothing says that there is something.
const SWEEP_INTERVAL: Duration = Duration::from_secs(3600);

/// The longest pause between two tries to delete an old revision.
const PRUNE_PAUSE: Duration = Duration::from_secs(24 * 3600);

/// The journal could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is not a journal.
    #[error("reading {file}: {problem}; it was left as it is, move it away to begin anew")]
    Format {
        /// The file.
        file: &'static str,
        /// What was wrong.
        problem: String,
    },
}

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
    /// How many jobs have failed since the last that did not.
    pub failures_in_row: u32,
    /// When a job last ended without any failure.
    pub last_success: Option<Timestamp>,
    /// Old revisions that something still used when they were to be deleted.
    pub in_use: Vec<InUse>,
    /// When the clouds were last searched for what a run may have left, and nothing had to stay.
    pub swept: Option<Timestamp>,
    /// The clouds that may hold something of ours beside published images: the one that is built in, and those that are
    /// not used any more.
    #[serde(default)]
    pub leftovers: Vec<Leftovers>,
    /// The finished builds: those that the build project keeps, and those that relations are told of.
    #[serde(default)]
    pub revisions: Vec<Revision>,
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            format: FORMAT,
            job: None,
            images: Vec::new(),
            failures_in_row: 0,
            last_success: None,
            in_use: Vec::new(),
            swept: None,
            leftovers: Vec::new(),
            revisions: Vec::new(),
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

/// An old revision that could not be deleted: something still uses it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InUse {
    /// The cloud.
    pub cloud: CloudName,
    /// The image.
    pub image: ImageId,
    /// What the cloud has said.
    pub why: String,
    /// How often it was tried.
    pub tries: u32,
    /// When it was tried last.
    pub last: Timestamp,
}

impl InUse {
    /// An hour, doubled with each try, at most a day.
    fn is_due(&self) -> bool {
        let pause = Duration::from_secs(3600 << self.tries.saturating_sub(1).min(5)).min(PRUNE_PAUSE);
        self.last.is_past(pause)
    }
}

impl Image {
    /// Whether it is the image of `target` in `cloud`.
    pub fn is_of(&self, target: Target, cloud: &CloudName) -> bool {
        let config = &self.result.config;
        (config.base, config.arch, &config.cloud_name) == (target.base, target.arch, cloud)
    }
}

const FILE: &str = "journal.json";

impl Journal {
    /// The journal on disk, an empty one when there is none.
    pub fn load(host: &Host) -> Result<Self, JournalError> {
        let Some(bytes) = host.read(&host.state_dir().join(FILE))? else { return Ok(Self::default()) };
        let format_error = |problem| JournalError::Format { file: FILE, problem };
        let mut written: Value =
            serde_json::from_slice(&bytes).map_err(|error| format_error(error.to_string()))?;
        match written.get("format").and_then(Value::as_u64) {
            Some(1) => migrate(&mut written),
            Some(format) if format == u64::from(FORMAT) => (),
            format => {
                let format = format.map_or("no format".to_owned(), |format| format!("format {format}"));
                return Err(format_error(format!("{format}, this version knows 1 and {FORMAT}")));
            }
        }
        serde_json::from_value(written).map_err(|error| format_error(error.to_string()))
    }

    /// Writes it to disk.
    pub fn save(&self, host: &Host) -> Result<(), JournalError> {
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
        self.is_building() || self.resources().next().is_some()
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
        self.images.retain(|other| other.result.config != image.result.config);
        self.images.push(image);
    }

    /// Whether it is worth trying to delete an old revision.
    pub fn may_prune(&self, cloud: &CloudName, image: &ImageId) -> bool {
        let known = self.in_use.iter().find(|known| (&known.cloud, &known.image) == (cloud, image));
        known.is_none_or(InUse::is_due)
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

    /// When a job that failed for want of time is tried again.
    pub fn retry_at(&self) -> Option<Timestamp> {
        let job = self.job.as_ref()?;
        let ended = job.finished.filter(|_| !job.failures.is_empty())?;
        let now = Timestamp::now();
        if ended > now {
            // The clock was wrong then.
            return Some(now);
        }
        // 5 minutes, doubled with each failure, at most 2 hours.
        let pause = 300u64 << self.failures_in_row.saturating_sub(1).min(5);
        Some(ended.plus(Duration::from_secs(pause.min(7200))))
    }
}

/// Brings a journal of format 1, which did not note what builds make, to format 2.
fn migrate(written: &mut Value) {
    written["format"] = json!(FORMAT);
    written["in_use"] = json!([]);
    written["swept"] = Value::Null;
    if let Some(job) = written.get_mut("job").filter(|job| job.is_object()) {
        job["reason"] = Value::Null;
        let builds = job.get_mut("builds").and_then(Value::as_array_mut).into_iter().flatten();
        for build in builds.filter_map(Value::as_object_mut) {
            build.insert("resources".into(), json!([]));
        }
    }
}

pub(super) fn write_json(
    host: &Host,
    file: &'static str,
    value: &impl Serialize,
) -> Result<(), JournalError> {
    let mut text = serde_json::to_vec_pretty(value)
        .map_err(|error| JournalError::Format { file, problem: error.to_string() })?;
    text.push(b'\n');
    host.write(&host.state_dir().join(file), &text, 0o600)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::config::{BuildConfig, JobId, Owner};
    use crate::target::{Arch, BaseImage};

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
    fn a_journal_is_read_back_and_a_foreign_one_is_refused_and_kept() {
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
            assert!(Journal::load(&host).is_err(), "{foreign}");
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
        assert_eq!((journal.format, journal.failures_in_row), (FORMAT, 2));
        assert_eq!(journal.running().unwrap().builds[0].phase, Phase::Launching);
        assert!(journal.left_something() && journal.sweep_is_due());
        for nonsense in [r#"{"format": 1, "job": 7}"#, r#"{"format": 1, "job": {"builds": [1, "x", []]}}"#] {
            host.write(&host.state_dir().join(FILE), nonsense.as_bytes(), 0o600).unwrap();
            assert!(Journal::load(&host).is_err());
        }
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

    #[test]
    fn retries_come_later_with_each_failure_and_never_more_than_two_hours_apart() {
        let owner = Owner { model_uuid: "m".into(), application: "a".into(), unit: 0 };
        let failure = Failure { target: None, cloud: None, message: "no".into(), remedy: Remedy::Retry };
        let job = Job {
            id: JobId::random(),
            reason: None,
            config_digest: String::new(),
            owner,
            started: Timestamp(0),
            finished: Some(Timestamp(1000)),
            builds: vec![],
            failures: vec![failure],
        };
        let at = |failures| {
            Journal { job: Some(job.clone()), failures_in_row: failures, ..Journal::default() }.retry_at()
        };
        assert_eq!(at(1), Some(Timestamp(1300)));
        assert_eq!(at(2), Some(Timestamp(1600)));
        assert_eq!(at(99), Some(Timestamp(8200)));
    }
}
