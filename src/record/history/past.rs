//! What has come of the last jobs, in `history.json`: what was built, how long it took, what was delivered where, and why
//! it failed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{FORMAT, Totals, keep_newest};
use crate::host::Host;
use crate::model::{Target, Timestamp};
use crate::openstack_cloud::ImageId;
use crate::record::file::{RecordError, write_json};
use crate::record::journal::Journal;
use crate::record::journal::build_state::{Failure, Job, Phase};
use crate::record::journal::evidence::Revision;
use crate::record::manifest::Manifest;
use crate::record::run_config::{BuilderRunConfig, CloudName, JobId};

const FILE: &str = "history.json";

/// The last jobs, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// The format of the version that wrote it.
    pub format: u32,
    /// The jobs.
    #[serde(default)]
    pub jobs: Vec<PastJob>,
    /// What all jobs have come to, those that made room for newer ones included.
    #[serde(default)]
    pub totals: Totals,
}

/// A job that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastJob {
    /// Its id.
    pub id: JobId,
    /// Why it was asked for.
    #[serde(default)]
    pub reason: Option<String>,
    /// When a worker took it up.
    pub started: Timestamp,
    /// When it ended; absent of one whose worker died.
    #[serde(default)]
    pub finished: Option<Timestamp>,
    /// `succeeded`, `failed` or `interrupted`.
    pub outcome: String,
    /// What came of each target.
    #[serde(default)]
    pub builds: Vec<PastBuild>,
    /// Which projects have got an image.
    #[serde(default)]
    pub delivered: Vec<Delivered>,
    /// What went wrong.
    #[serde(default)]
    pub failures: Vec<PastFailure>,
}

/// What came of a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastBuild {
    /// The target.
    pub target: Target,
    /// The phase in which it ended, in the journal's word: `done`, `up to date`, `failed`.
    pub phase: String,
    /// The build that was made, by its id in the build project.
    #[serde(default)]
    pub built: Option<ImageId>,
    /// What has changed in it since the build of its target before, in one line, where both manifests are known.
    #[serde(default)]
    pub changes: Option<String>,
    /// How long each phase took, in seconds, as far as that is known.
    #[serde(default)]
    pub seconds: BTreeMap<String, u64>,
}

/// An image that a project has got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivered {
    /// The target.
    pub target: Target,
    /// The project.
    pub project: CloudName,
    /// The image.
    pub id: ImageId,
    /// How many bytes this job has sent, 0 where it has shared the build's own image; absent where the image came another
    /// way: from the leader, for another relation to the project, or before.
    #[serde(default)]
    pub bytes: Option<u64>,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastFailure {
    /// The target; absent when it concerned all.
    #[serde(default)]
    pub target: Option<Target>,
    /// The project; absent when it concerned the build itself.
    #[serde(default)]
    pub project: Option<CloudName>,
    /// The class of its cause.
    #[serde(default)]
    pub cause: String,
    /// Operation, resource and remedy.
    pub message: String,
    /// When it is tried again, as planned when the job ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_try: Option<Timestamp>,
}

impl History {
    /// What is known; nothing when the file is gone or not understood.
    pub fn load(host: &Host) -> Result<Self, RecordError> {
        let bytes = host.read(&host.state_dir().join(FILE))?;
        let read = bytes.and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok());
        let known = read.filter(|known| known.format == FORMAT);
        Ok(known.unwrap_or(Self { format: FORMAT, jobs: Vec::new(), totals: Totals::default() }))
    }

    /// Notes the job of `journal`, which has ended, or whose worker died, and counts it once: it was about `config`, and so
    /// many of its attempts were `retries`. Returns what is noted.
    pub fn note(
        host: &Host,
        journal: &Journal,
        config: &BuilderRunConfig,
        retries: u64,
    ) -> Result<Option<PastJob>, RecordError> {
        let Some(job) = &journal.job else { return Ok(None) };
        let mut history = Self::load(host)?;
        let changes = |build: &Revision| match Manifest::changes(host, journal, build) {
            Ok(changes) => changes.map(|changes| changes.to_string()),
            Err(error) => {
                log::warn!("the changes in build {} could not be determined: {error}", build.id);
                None
            }
        };
        let past = PastJob::of(job, journal, changes);
        if history.jobs.iter().all(|known| known.id != job.id) {
            history.totals.add(job, &past, config, retries);
        }
        history.jobs.retain(|known| known.id != job.id);
        history.jobs.push(past.clone());
        keep_newest(&mut history.jobs);
        write_json(host, FILE, &history)?;
        Ok(Some(past))
    }
}

impl PastJob {
    fn of(job: &Job, journal: &Journal, changes: impl Fn(&Revision) -> Option<String>) -> Self {
        let outcome = match (job.finished, job.failures.is_empty()) {
            (None, _) => "interrupted",
            (Some(_), true) => "succeeded",
            (Some(_), false) => "failed",
        };
        let end = job.finished.unwrap_or_else(Timestamp::now);
        let builds = job.builds.iter().map(|build| {
            let made =
                journal.revisions.iter().find(|made| made.target == build.target && made.job == job.id);
            let total = ("total".to_owned(), end.0.saturating_sub(build.since.0));
            let phases = build.took.iter().map(|took| (took.phase.clone(), took.seconds));
            let seconds = phases.chain([total]).filter(|_| build.phase != Phase::Waiting);
            PastBuild {
                target: build.target,
                phase: build.phase.word().to_owned(),
                built: made.map(|made| made.id.clone()),
                changes: made.and_then(&changes),
                seconds: seconds.collect(),
            }
        });
        let failures = job.failures.iter().map(|failure| PastFailure {
            target: failure.target,
            project: failure.cloud.clone(),
            cause: failure.cause.as_str().to_owned(),
            message: failure.message.clone(),
            next_try: next_try(journal, failure),
        });
        let places = job.delivered.iter().enumerate();
        // A pinned build and a newer one may have gone to one place.
        let places = places.filter(|(at, place)| !job.delivered[..*at].contains(place));
        let delivered = places.filter_map(|(_, place)| {
            let image = journal.image(place.target(), &place.cloud_name)?;
            let sent = job.sent.iter().filter(|sent| sent.place == *place).map(|sent| sent.bytes);
            Some(Delivered {
                target: place.target(),
                project: place.cloud_name.clone(),
                id: image.result.id.clone(),
                bytes: sent.reduce(u64::saturating_add),
            })
        });
        Self {
            id: job.id.clone(),
            reason: job.reason.map(|reason| reason.as_str().to_owned()),
            started: job.started,
            finished: job.finished,
            outcome: outcome.to_owned(),
            builds: builds.collect(),
            delivered: delivered.collect(),
            failures: failures.collect(),
        }
    }

    /// How many bytes it has sent to projects.
    pub fn bytes(&self) -> u64 {
        self.delivered.iter().filter_map(|delivered| delivered.bytes).sum()
    }
}

/// When what `failure` concerns is tried again.
fn next_try(journal: &Journal, failure: &Failure) -> Option<Timestamp> {
    let open = journal.standings.iter().filter_map(|standing| standing.open.as_ref());
    open.filter(|open| open.failures.contains(failure)).map(|open| open.next_try).min()
}
