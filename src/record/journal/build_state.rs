//! A job and where each of its targets is: the explicit state of what the worker does.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::phases::Took;
use crate::model::{Cause, Classified, Target, Timestamp, redacted};
use crate::openstack_cloud::ImageId;
use crate::record::request::{Reason, Request};
use crate::record::resource::Resource;
use crate::record::run_config::{BuildConfig, BuildResult, CloudName, JobId, Owner};

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
    /// Where it has found images that are up to date.
    #[serde(default)]
    pub found: Vec<BuildConfig>,
    /// Where relations may name a new image since.
    #[serde(default)]
    pub delivered: Vec<DeliveredImage>,
    /// The deliveries that it has made itself, one for each project however many relations lead there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sent: Vec<Sent>,
    /// What went wrong, for the whole or for one cloud.
    pub failures: Vec<Failure>,
    /// Whether, since it has ended, its worker makes prepared images: what there is of them is noted with its builds.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub prepares: bool,
}

impl Job {
    /// The job that does `request`, beginning now.
    pub fn new(request: &Request) -> Self {
        Self {
            id: request.id.clone(),
            reason: Some(request.reason),
            config_digest: request.config.digest(),
            owner: request.config.owner.clone(),
            started: Timestamp::now(),
            finished: None,
            builds: Vec::new(),
            found: Vec::new(),
            delivered: Vec::new(),
            sent: Vec::new(),
            failures: Vec::new(),
            prepares: false,
        }
    }

    /// The target's record, made when there is none.
    pub fn build(&mut self, target: Target) -> &mut Build {
        let index = self.builds.iter().position(|build| build.target == target).unwrap_or_else(|| {
            self.builds.push(Build::waiting(target));
            self.builds.len() - 1
        });
        &mut self.builds[index]
    }

    /// Nothing of earlier jobs is left in `cloud`.
    pub fn is_clean(&mut self, cloud: &CloudName) {
        self.builds.retain_mut(|build| {
            let before = build.resources.len();
            build.resources.retain(|resource| resource.cloud != *cloud);
            // What is only remembered for what it had left.
            !(build.phase == Phase::Waiting && build.resources.is_empty() && before > 0)
        });
    }
}

/// An image that a job has brought to a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveredImage {
    /// What it was built for.
    #[serde(flatten)]
    pub config: BuildConfig,
    /// Its id there; absent where an earlier version has noted the delivery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<ImageId>,
}

impl From<BuildResult> for DeliveredImage {
    fn from(BuildResult { config, id }: BuildResult) -> Self {
        Self { config, id: Some(id) }
    }
}

/// A delivery that a job has made itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// The target, and the project that got the image.
    #[serde(flatten)]
    pub place: BuildConfig,
    /// How many bytes were uploaded; 0 of an image that is shared.
    pub bytes: u64,
}

/// One target of a job: a state machine. It is written down with each transition, and before as well as after
/// whatever it makes or removes in a cloud.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// What is built.
    pub target: Target,
    /// How far it is.
    pub phase: Phase,
    /// Why the phase takes longer than it should, as far as is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hampered: Option<String>,
    /// Since when its work goes on.
    pub since: Timestamp,
    /// What it has made, or was about to make, and what is neither gone nor published.
    pub resources: Vec<Resource>,
    /// When its phase or step began; absent before the first and after the last.
    #[serde(default)]
    pub entered: Option<Timestamp>,
    /// How long the phases and steps before took.
    #[serde(default)]
    pub took: Vec<Took>,
    /// What it was built on, once that is decided; absent where nothing is built, and where an older version has built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub built_on: Option<BuiltOn>,
}

/// What a build begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BuiltOn {
    /// The base image.
    BaseImage,
    /// A prepared image.
    PreparedImage,
}

impl BuiltOn {
    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BaseImage => "base image",
            Self::PreparedImage => "prepared image",
        }
    }
}

impl Build {
    /// A build whose turn has not come.
    pub fn waiting(target: Target) -> Self {
        let (since, resources) = (Timestamp::now(), Vec::new());
        let (hampered, entered, took, built_on) = (None, None, Vec::new(), None);
        Self { target, phase: Phase::Waiting, hampered, since, resources, entered, took, built_on }
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
    /// A VM of the image is looked at.
    Verifying,
    /// The disk image becomes a compressed file.
    Packing,
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
    /// Operation, resource, cause and remedy, for logs and the history.
    pub message: String,
    /// The cause and the remedy for a status; empty where an older version has noted the failure.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
    /// Who can mend it.
    pub remedy: Remedy,
    /// The class of its cause.
    #[serde(default)]
    pub cause: Cause,
    /// When the first failure of the row was that this one ends; absent of what a job itself says, and where an earlier version
    /// has noted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

impl Failure {
    /// What `error` says, without secrets, of no target or cloud yet.
    pub fn of(error: &impl Classified, operator_must_act: bool) -> Self {
        let remedy = if operator_must_act { Remedy::Operator } else { Remedy::Retry };
        let (message, summary) = (redacted(&error.to_string()), redacted(&error.summary()));
        // What is said once needs no second place.
        let summary = if summary == message { String::new() } else { summary };
        Self { target: None, cloud: None, message, summary, remedy, cause: error.cause(), since: None }
    }

    /// Whether it says what `other` does, whenever their rows began.
    pub fn says_the_same(&self, other: &Self) -> bool {
        Self { since: None, ..self.clone() } == Self { since: None, ..other.clone() }
    }

    /// Whether another password, token or variable of the script may mend it.
    pub fn depends_on_secrets(&self) -> bool {
        matches!(self.cause, Cause::Credentials | Cause::Github | Cause::Script)
    }

    /// The cause in few words, and what can be done about it.
    pub fn cause_and_remedy(&self) -> (&str, Option<&str>) {
        let summary = if self.summary.is_empty() { &self.message } else { &self.summary };
        match summary.trim_end_matches('.').split_once("; ") {
            Some((cause, remedy)) => (cause, Some(remedy)),
            None => (summary.trim_end_matches('.'), None),
        }
    }
}

/// `noble-x64 for ci-1a2b3c4d: listing images: ...`
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.target, &self.cloud) {
            (Some(target), Some(cloud)) => write!(f, "{target} for {cloud}: ")?,
            (Some(target), None) => write!(f, "{target}: ")?,
            (None, Some(cloud)) => write!(f, "{cloud}: ")?,
            (None, None) => (),
        }
        f.write_str(&self.message)
    }
}
