//! The journal: what the worker does and has done, on disk, readable by people. The worker alone writes it, hooks
//! read it. Every write is whole and flushed before it counts.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::config::{BuildResult, CloudName, JobId, Owner};
use super::job::Reason;
use super::resource::Resource;
pub use super::timestamp::Timestamp;
use crate::host::{FileError, Host};
use crate::secret::redacted;
use crate::target::Target;

/// The format that this version writes.
pub const FORMAT: u32 = 2;

/// How often the clouds are searched for what a run may have left, when nothing says that there is something.
const SWEEP_INTERVAL: Duration = Duration::from_secs(3600);

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
    /// When the clouds were last searched for what a run may have left, and nothing had to stay.
    pub swept: Option<Timestamp>,
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            format: FORMAT,
            job: None,
            images: Vec::new(),
            failures_in_row: 0,
            last_success: None,
            swept: None,
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
    /// When it was built.
    pub built: Timestamp,
}

/// One run of the worker over all targets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The request's id.
    pub id: JobId,
    /// Why it was asked for; absent in a journal that an older version began.
    pub reason: Option<Reason>,
    /// The digest of the request's configuration.
    pub config_digest: String,
    /// Whose job it is.
    pub owner: Owner,
    /// When the worker took it up.
    pub started: Timestamp,
    /// When it ended; absent while it runs, and after a crash.
    pub finished: Option<Timestamp>,
    /// Where each target is.
    pub builds: Vec<Build>,
    /// What went wrong, for the whole or for one cloud.
    pub failures: Vec<Failure>,
}

impl Job {
    /// The target's record, made when there is none.
    pub fn build(&mut self, target: Target) -> &mut Build {
        let index = self.builds.iter().position(|build| build.target == target).unwrap_or_else(|| {
            self.builds.push(Build::waiting(target));
            self.builds.len() - 1
        });
        &mut self.builds[index]
    }
}

/// One target of a job: a state machine. It is written down with each transition, and before as well as after
/// whatever it makes or removes in a cloud.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// What is built.
    pub target: Target,
    /// How far it is.
    pub phase: Phase,
    /// Since when its work goes on.
    pub since: Timestamp,
    /// What it has made, or was about to make, and what is neither gone nor published.
    pub resources: Vec<Resource>,
}

impl Build {
    /// A build whose turn has not come.
    pub fn waiting(target: Target) -> Self {
        Self { target, phase: Phase::Waiting, since: Timestamp::now(), resources: Vec::new() }
    }

    /// Goes on to `phase`.
    pub fn enter(&mut self, phase: Phase) {
        if self.phase == Phase::Waiting {
            self.since = Timestamp::now();
        }
        self.phase = phase;
    }

    /// Notes `resource`, or its id when it is noted already.
    pub fn note(&mut self, resource: &Resource) {
        self.forget(resource);
        self.resources.push(resource.clone());
    }

    /// `resource` is gone or published.
    pub fn forget(&mut self, resource: &Resource) {
        self.resources.retain(|known| {
            (known.kind, &known.cloud, &known.name) != (resource.kind, &resource.cloud, &resource.name)
        });
    }
}

/// How far the build of a target is. Each phase from `Preparing` to `Delivering` may have left something in the
/// cloud; all of it carries our labels and is found by them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "name")]
pub enum Phase {
    /// Its turn has not come.
    Waiting,
    /// Finding out what would go into the image, and whether there is one already.
    Checking,
    /// The base image is brought to the build cloud, network and flavor are chosen.
    Preparing,
    /// The builder VM boots.
    Launching,
    /// The recipe runs.
    Installing {
        /// What the step does, as a gerund.
        step: String,
        /// The step's number, from 1.
        number: usize,
        /// How many steps there are.
        of: usize,
    },
    /// The builder VM is stopped and its disk becomes an image.
    Snapshotting,
    /// The image is copied to the related clouds.
    Delivering,
    /// Every cloud that could be served has the image.
    Done,
    /// Every cloud had it already.
    UpToDate,
    /// It came to nothing; the job's failures say why.
    Failed,
}

/// Who can mend a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Remedy {
    /// The operator: credentials, quota, a name that does not exist.
    Operator,
    /// Time: the worker tries again.
    Retry,
    /// The next hook, which brings the secrets that a crashed worker lost.
    Hook,
}

/// Why a target, or its delivery to one cloud, came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The target; absent when it concerns all.
    pub target: Option<Target>,
    /// The cloud; absent when it concerns the build itself.
    pub cloud: Option<CloudName>,
    /// Operation, resource and remedy, for a status line.
    pub message: String,
    /// Who can mend it.
    pub remedy: Remedy,
}

impl Failure {
    /// What `error` says, without secrets, of no target or cloud yet.
    pub fn of(error: &impl fmt::Display, operator_must_act: bool) -> Self {
        let remedy = if operator_must_act { Remedy::Operator } else { Remedy::Retry };
        Self { target: None, cloud: None, message: redacted(&error.to_string()), remedy }
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
        self.running().is_some() || self.resources().next().is_some()
    }

    /// Whether it is time to search the clouds for what runs may have left.
    pub fn sweep_is_due(&self) -> bool {
        let now = Timestamp::now();
        // A moment in the future is of a clock that was wrong.
        self.swept.is_none_or(|last| last > now || last.plus(SWEEP_INTERVAL) <= now)
    }

    /// The image of `target` in `cloud`.
    pub fn image(&self, target: Target, cloud: &CloudName) -> Option<&Image> {
        self.images.iter().find(|image| {
            let config = &image.result.config;
            (config.base, config.arch, &config.cloud_name) == (target.base, target.arch, cloud)
        })
    }

    /// Notes `image` as the newest of its target in its cloud.
    pub fn publish(&mut self, image: Image) {
        self.images.retain(|other| other.result.config != image.result.config);
        self.images.push(image);
    }

    /// When a job that failed for want of time is tried again.
    pub fn retry_at(&self) -> Option<Timestamp> {
        let job = self.job.as_ref()?;
        let ended = job.finished.filter(|_| !job.failures.is_empty())?;
        // 5 minutes, doubled with each failure, at most 2 hours.
        let pause = 300u64 << self.failures_in_row.saturating_sub(1).min(5);
        Some(ended.plus(Duration::from_secs(pause.min(7200))))
    }
}

/// Brings a journal of format 1, which did not note what builds make, to format 2.
fn migrate(written: &mut Value) {
    written["format"] = json!(FORMAT);
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
    use crate::builder::config::BuildConfig;
    use crate::target::{Arch, BaseImage};

    fn image(id: &str) -> Image {
        let config =
            BuildConfig { base: BaseImage::Noble, arch: Arch::X64, cloud_name: CloudName::new("ci-1") };
        Image {
            result: BuildResult { config, id: id.parse().unwrap() },
            fingerprint: "f".into(),
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
