//! The journal: what the worker does and has done, on disk, readable by people. The worker alone writes it, hooks
//! read it. Every write is whole and flushed before it counts.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::config::{BuildResult, CloudName, JobId, Owner};
use crate::host::{FileError, Host};
use crate::secret::redacted;
use crate::target::Target;

/// The format that this version writes.
pub const FORMAT: u32 = 1;

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

/// Seconds since the epoch, written as `2026-05-01T12:00:00Z`. The wall clock may jump: ages are taken with care, never
/// trusted for safety.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(pub u64);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Days to a date of the Gregorian calendar, whose years begin in March and repeat every 400.
        let (days, seconds) = (self.0 / 86_400 + 719_468, self.0 % 86_400);
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = era * 400 + year_of_era + u64::from(month <= 2);
        let (hour, minute, second) = (seconds / 3600, seconds % 3600 / 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

impl From<Timestamp> for String {
    fn from(timestamp: Timestamp) -> Self {
        timestamp.to_string()
    }
}

impl TryFrom<String> for Timestamp {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::of_rfc3339(&text).ok_or("a time must look like 2026-05-01T12:00:00Z")
    }
}

impl Timestamp {
    /// The present moment.
    pub fn now() -> Self {
        Self(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
    }

    /// The moment that an RFC 3339 text names, none for other texts and for times before the epoch.
    pub fn of_rfc3339(text: &str) -> Option<Self> {
        crate::http::of_rfc3339(text).and_then(|seconds| u64::try_from(seconds).ok()).map(Self)
    }

    /// The time since then; zero for a moment in the future.
    pub fn age(self) -> Duration {
        Duration::from_secs(Self::now().0.saturating_sub(self.0))
    }

    /// This moment and `more`.
    pub fn plus(self, more: Duration) -> Self {
        Self(self.0.saturating_add(more.as_secs()))
    }
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
}

impl Default for Journal {
    fn default() -> Self {
        Self { format: FORMAT, job: None, images: Vec::new(), failures_in_row: 0, last_success: None }
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
            self.builds.push(Build { target, phase: Phase::Waiting, since: Timestamp::now() });
            self.builds.len() - 1
        });
        &mut self.builds[index]
    }
}

/// One target of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// What is built.
    pub target: Target,
    /// How far it is.
    pub phase: Phase,
    /// Since when its work goes on.
    pub since: Timestamp,
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
        let journal: Self =
            serde_json::from_slice(&bytes).map_err(|error| format_error(error.to_string()))?;
        if journal.format != FORMAT {
            return Err(format_error(format!("format {}, this version knows {FORMAT}", journal.format)));
        }
        Ok(journal)
    }

    /// Writes it to disk.
    pub fn save(&self, host: &Host) -> Result<(), JournalError> {
        write_json(host, FILE, self)
    }

    /// The job while it runs; after a crash too, until the next worker has taken it over.
    pub fn running(&self) -> Option<&Job> {
        self.job.as_ref().filter(|job| job.finished.is_none())
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
    fn a_time_is_written_as_people_read_it_and_read_back() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(Timestamp(seconds).to_string(), text);
            assert_eq!(Timestamp::of_rfc3339(text), Some(Timestamp(seconds)));
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
