//! A request for work, from a hook to the worker: `request.json`, written by hooks alone. The newest wins; a
//! worker that ends one looks for a newer before it goes.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::history::Asked;
use super::journal::Image;
use super::journal::aside::Unreadable;
use super::run_config::{BuildSecrets, BuilderRunConfig, CloudName, JobId};
use super::transit::InTransit;
use crate::host::{Exclusive, FileError, Host};
use crate::model::{BaseImage, Target, Timestamp};
use crate::record::file::{RecordError, write_json};

/// Why a hook asks for a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// What is to be built, or for whom, is not what was built last.
    Configuration,
    /// The interval has passed.
    Schedule,
    /// A release of the runner or of a base image has appeared.
    Release,
    /// A security fix of a package in an image has appeared.
    Security,
    /// The last job failed, and it is time to try again.
    Retry,
    /// A secret has changed: one of the external script, or one that what has failed depends on.
    Secret,
    /// An operator's action.
    Action,
    /// An operator has cancelled a job: what it has made is removed.
    Cancel,
    /// Nobody wants images any more, and a worker that died has left something.
    Abandoned,
    /// The leader has announced images.
    Announcement,
    /// Something is left in a cloud that is not used any more.
    #[serde(rename = "leftovers")]
    Orphans,
}

impl Reason {
    /// The word for it in the journal.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Schedule => "schedule",
            Self::Release => "release",
            Self::Security => "security",
            Self::Retry => "retry",
            Self::Secret => "secret",
            Self::Action => "action",
            Self::Cancel => "cancel",
            Self::Abandoned => "abandoned",
            Self::Announcement => "announcement",
            Self::Orphans => "leftovers",
        }
    }
}

/// What a job is to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// To build and deliver what is due; the leader's.
    Build,
    /// To check these images, which the leader has announced, and to take them over; the other units'.
    TakeOver(Vec<Image>),
    /// To remove what an earlier job has left, and to build nothing.
    CleanUp,
    /// To bring the builds that operators have chosen to the projects that lack them, and to build nothing; the leader's.
    Serve,
    /// To list what nothing needs in the build project, and to delete of it what has one of these ids; the leader's.
    Search(Vec<String>),
}

impl Task {
    /// The word for it in records and logs.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::TakeOver(_) => "take_over",
            Self::CleanUp => "clean_up",
            Self::Serve => "serve",
            Self::Search(_) => "search",
        }
    }

    /// Its kind.
    pub fn kind(&self) -> TaskKind {
        match self {
            // What fails at it is what fails at a delivery, and is retried with the next builds.
            Self::Build | Self::Serve => TaskKind::Build,
            Self::TakeOver(_) => TaskKind::TakeOver,
            Self::CleanUp | Self::Search(_) => TaskKind::CleanUp,
        }
    }
}

/// The kinds of [`Task`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    /// [`Task::Build`].
    Build,
    /// [`Task::TakeOver`].
    TakeOver,
    /// [`Task::CleanUp`].
    CleanUp,
}

/// Whether an image that is up to date is built all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rebuild {
    /// Only what changed or grew old.
    Due,
    /// Everything.
    Always,
}

impl Rebuild {
    /// What does for both.
    pub fn and(self, other: Self) -> Self {
        if self == Self::Always { self } else { other }
    }
}

/// What a hook asks the worker to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The id of the job that this becomes.
    pub id: JobId,
    /// When it was asked.
    pub at: Timestamp,
    /// Why.
    pub reason: Reason,
    /// What.
    pub task: Task,
    /// Whether to build what is up to date.
    pub rebuild: Rebuild,
    /// Only these bases; all when empty.
    pub bases: Vec<BaseImage>,
    /// The unit to call when there is news; empty when there is none, in a build by hand.
    pub unit_name: String,
    /// What to build.
    pub config: BuilderRunConfig,
    /// Whether the worker must find secrets in the run folder.
    pub has_secrets: bool,
    /// Earlier requests that this one goes on with: what they have built counts as built by it.
    #[serde(default)]
    pub continues: Vec<JobId>,
    /// The clouds whose credentials are others than those that the job before it had: what failed for them is tried again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub new_credentials: Vec<CloudName>,
}

/// `build, triggered by schedule`
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, triggered by {}", self.task.word().replace('_', " "), self.reason.as_str())?;
        f.write_str(if self.rebuild == Rebuild::Always { ", forced" } else { "" })?;
        let bases: Vec<String> = self.bases.iter().map(ToString::to_string).collect();
        if bases.is_empty() { Ok(()) } else { write!(f, ", only {}", bases.join(", ")) }
    }
}

const FILE: &str = "request.json";
/// What the names of files with secrets in transit begin with.
const SECRETS: &str = "secrets-";

impl Request {
    /// Asks for what nothing needs in the build project of `config`, and to delete of it what has one of `ids`, now and for
    /// whoever runs the action.
    pub fn search(unit_name: String, config: BuilderRunConfig, ids: Vec<String>, has_secrets: bool) -> Self {
        Self {
            id: JobId::random(),
            at: Timestamp::now(),
            reason: Reason::Action,
            task: Task::Search(ids),
            rebuild: Rebuild::Due,
            bases: Vec::new(),
            unit_name,
            config,
            has_secrets,
            continues: Vec::new(),
            new_credentials: Vec::new(),
        }
    }

    /// Whether it would have built `target`, had there been something to build. Who has cancelled does not want the same at
    /// once.
    pub fn would_build(&self, target: Target) -> bool {
        let is_meant = self.bases.is_empty() || self.bases.contains(&target.base);
        self.reason == Reason::Cancel || self.task == Task::Build && is_meant
    }

    /// The newest request on disk; none when there is none that this version can read.
    pub fn load(host: &Host) -> Result<Option<Self>, RecordError> {
        Ok(Self::read(host)?.ok().flatten())
    }

    /// The newest request on disk, or why this version cannot read it.
    pub(crate) fn read(host: &Host) -> Result<Result<Option<Self>, Unreadable>, RecordError> {
        let Some(bytes) = host.read(&host.state_dir().join(FILE))? else { return Ok(Ok(None)) };
        let request = serde_json::from_slice(&bytes).map(Some);
        Ok(request.map_err(|error| Unreadable::of(FILE, &bytes, error)))
    }

    /// Records the request, its secrets first: whoever sees the request finds them.
    /// All other requests' secrets go, also those of a hook that died between the two: nobody would take them any more.
    pub fn save(&self, host: &Host, secrets: &BuildSecrets) -> Result<(), RecordError> {
        if self.has_secrets || secrets.signing_key.is_some() {
            let BuildSecrets { script, github_token, signing_key, proxies } = secrets.clone();
            let sent = InTransit { secrets: script, github_token, signing_key, proxies };
            sent.leave(host, &self.secrets_file(host))?;
        }
        // For people: a request that cannot be told of is made all the same.
        if let Err(error) = Asked::note(host, self) {
            log::warn!("{error}; the action history will not show job {}", self.id);
        }
        write_json(host, FILE, self).inspect_err(|_| drop(host.remove_file(&self.secrets_file(host))))?;
        let own = self.secrets_file(host);
        for file in host.files_in(&host.run_dir())?.iter().filter(|file| **file != own) {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            // With a dot while it is not complete.
            if name.trim_start_matches('.').starts_with(SECRETS) {
                host.remove_file(file)?;
            }
        }
        Ok(())
    }

    /// Takes the request back, before a worker has taken it up.
    pub fn withdraw(&self, host: &Host) -> Result<(), RecordError> {
        host.remove_file(&host.state_dir().join(FILE))?;
        host.remove_file(&self.secrets_file(host))?;
        Asked::withdraw(host, &self.id)
    }

    /// Takes the secrets of this request out of the run folder; `None` when some that a build needs are lost.
    pub fn take_secrets(&self, host: &Host) -> Result<Option<BuildSecrets>, FileError> {
        let taken = InTransit::take(host, &self.secrets_file(host))?;
        let taken = taken.map(|InTransit { secrets, github_token, signing_key, proxies }| BuildSecrets {
            script: secrets,
            github_token,
            signing_key,
            proxies,
        });
        Ok(if self.has_secrets { taken } else { Some(taken.unwrap_or_default()) })
    }

    fn secrets_file(&self, host: &Host) -> PathBuf {
        host.run_dir().join(format!("{SECRETS}{}.json", self.id))
    }
}

const SETTINGS: &str = "settings.json";

/// What the configuration says beside requests, for whoever reads the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// The option `paused`.
    pub paused: bool,
}

impl Settings {
    /// As of the last hook with a valid configuration; none before there was one.
    pub fn load(host: &Host) -> Result<Option<Self>, RecordError> {
        let bytes = host.read(&host.state_dir().join(SETTINGS))?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    /// Notes them.
    pub fn save(&self, host: &Host) -> Result<(), RecordError> {
        write_json(host, SETTINGS, self)
    }
}

/// The lock that a living worker holds.
pub fn worker_lock(host: &Host) -> PathBuf {
    host.state_dir().join("worker.lock")
}

/// Whether a worker lives.
pub fn worker_lives(host: &Host) -> Result<bool, FileError> {
    Exclusive::is_held(&worker_lock(host))
}
