//! What has come of the last jobs, in `history.json`: what was built, how long it took, what was delivered where, and why
//! it failed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Boots, FORMAT, SlowBoot, Totals, keep_newest};
use crate::host::Host;
use crate::model::{Target, Timestamp};
use crate::openstack_cloud::ImageId;
use crate::record::boot_times::BootTimes;
use crate::record::file::{RecordError, write_json};
use crate::record::journal::Journal;
use crate::record::journal::build_state::{DeliveredImage, Failure, Job, Phase};
use crate::record::journal::evidence::Revision;
use crate::record::journal::phases::Took;
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
    /// How long the last builds took to boot.
    #[serde(default)]
    pub boots: Vec<Boots>,
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
    /// What it was built on: `base image` or `prepared image`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub built_on: Option<String>,
    /// What came of the prepared image that was to be made after it, for the builds that follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preparation: Option<String>,
    /// What has changed in it since the build of its target before, in one line, where both manifests are known.
    #[serde(default)]
    pub changes: Option<String>,
    /// The number of bytes of the image that was made, as far as that is known.
    #[serde(default)]
    pub size: Option<u64>,
    /// How long a machine of it took to boot.
    #[serde(default)]
    pub boot: Option<BootTimes>,
    /// Whether that is much longer than it took the builds before it.
    #[serde(default)]
    pub slow_boot: Option<SlowBoot>,
    /// How long each phase took, in seconds, as far as that is known, and `total`, all of it.
    #[serde(default)]
    pub seconds: BTreeMap<String, u64>,
    /// The same phases in the order of time; none of a job that an earlier version has noted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<Took>,
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
        let none = || Self { format: FORMAT, jobs: Vec::new(), boots: Vec::new(), totals: Totals::default() };
        Ok(known.unwrap_or_else(none))
    }

    /// What is known, with the job of `journal` if it has ended and its worker was killed before that was noted.
    pub fn with_last(host: &Host, journal: &Journal) -> Result<Self, RecordError> {
        let mut history = Self::load(host)?;
        let unnoted = history.lacks(journal).map(|job| PastJob::of(job, journal, |_| None));
        history.jobs.extend(unnoted);
        Ok(history)
    }

    /// Notes the job of `journal` if it has ended and its worker was killed before that was noted; see [`Self::note`].
    pub fn catch_up(
        host: &Host,
        journal: &Journal,
        config: &BuilderRunConfig,
    ) -> Result<Option<PastJob>, RecordError> {
        match Self::load(host)?.lacks(journal) {
            Some(_) => Self::note(host, journal, config, 0),
            None => Ok(None),
        }
    }

    /// The job of `journal` that has ended and is not among these.
    fn lacks<'a>(&self, journal: &'a Journal) -> Option<&'a Job> {
        let ended = journal.job.as_ref().filter(|job| job.finished.is_some())?;
        self.jobs.iter().all(|known| known.id != ended.id).then_some(ended)
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
        let mut past = PastJob::of(job, journal, changes);
        for build in &mut past.builds {
            let made = build.built.as_ref().and_then(|made| journal.revision(made));
            build.slow_boot = made.and_then(|made| Boots::note(&mut history.boots, made));
        }
        Boots::keep(&mut history.boots, config);
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

impl History {
    /// Notes what came of the prepared image that was to be made for `target` after `job`.
    pub fn note_preparation(host: &Host, job: &JobId, target: Target, what: &str) -> Result<(), RecordError> {
        let mut history = Self::load(host)?;
        let jobs = history.jobs.iter_mut().filter(|known| known.id == *job);
        for build in jobs.flat_map(|job| &mut job.builds).filter(|build| build.target == target) {
            build.preparation = Some(what.to_owned());
        }
        write_json(host, FILE, &history)
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
            let phases = phases.chain([total]).filter(|_| build.phase != Phase::Waiting);
            // What was done twice took both.
            let mut seconds = BTreeMap::<String, u64>::new();
            phases.for_each(|(phase, took)| *seconds.entry(phase).or_default() += took);
            PastBuild {
                target: build.target,
                phase: build.phase.word().to_owned(),
                built: made.map(|made| made.id.clone()),
                built_on: build.built_on.map(|built_on| built_on.as_str().to_owned()),
                preparation: None,
                changes: made.and_then(&changes),
                size: made.and_then(|made| Some(made.proof.as_ref()?.size)),
                boot: made.and_then(|made| made.contents.as_ref()?.boot.clone()),
                slow_boot: None,
                seconds,
                phases: build.took.clone(),
            }
        });
        let failures = job.failures.iter().map(|failure| PastFailure {
            target: failure.target,
            project: failure.cloud.clone(),
            cause: failure.cause.as_str().to_owned(),
            message: failure.message.clone(),
            next_try: next_try(journal, failure),
        });
        let delivered = (0..job.delivered.len()).filter_map(|at| delivered(journal, job, at));
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
    open.filter(|open| open.failures.iter().any(|known| known.says_the_same(failure)))
        .map(|open| open.next_try)
        .min()
}

/// What a project has got by the delivery at `at` of `job`, unless it is noted before, by the id that was noted with it: relations
/// may be told of another image of the target.
fn delivered(journal: &Journal, job: &Job, at: usize) -> Option<Delivered> {
    let image @ DeliveredImage { config, id } = &job.delivered[at];
    let (before, after) = (&job.delivered[..at], &job.delivered[at + 1..]);
    if before.contains(image) {
        return None;
    }
    // A pinned build and a newer one may have gone to one place, one after the other.
    let of_place = |images: &[DeliveredImage]| images.iter().filter(|other| other.config == *config).count();
    let sent = job.sent.iter().filter(|sent| sent.place == *config).map(|sent| sent.bytes);
    let mut sent = sent.skip(of_place(before));
    let bytes = if of_place(after) == 0 { sent.reduce(u64::saturating_add) } else { sent.next() };
    let (target, project) = (config.target(), config.cloud_name.clone());
    let newest = || journal.image(target, &project).map(|image| image.result.id.clone());
    Some(Delivered { target, project: project.clone(), id: id.clone().or_else(newest)?, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::journal::Image;
    use crate::record::journal::build_state::Sent;
    use crate::record::journal::evidence::Proof;
    use crate::record::levers::Levers;
    use crate::record::request::{Reason, Request, Task};
    use crate::testing::{request, run_config};

    const CLOUD: &str = "ci-1";

    fn config() -> BuilderRunConfig {
        BuilderRunConfig { clouds: vec![CloudName::new(CLOUD)], ..run_config() }
    }

    fn build(id: &str, built: u64) -> Revision {
        Revision {
            target: config().targets[0],
            id: id.parse().unwrap(),
            job: JobId::random(),
            fingerprint: String::new(),
            built: Timestamp(built),
            proof: Some(Proof { sha512: String::new(), size: 7 }),
            failed_reads: 0,
            contents: None,
            copies: Vec::new(),
        }
    }

    fn copy(build: &Revision) -> Image {
        build.image(&CloudName::new(CLOUD), format!("{}-copy", build.id).parse().unwrap())
    }

    fn ended(journal: &mut Journal, request: &Request, work: impl FnOnce(&mut Journal)) -> PastJob {
        journal.begin(Job::new(request));
        work(journal);
        journal.end(request, Vec::new());
        PastJob::of(journal.job.as_ref().unwrap(), journal, |_| None)
    }

    #[test]
    fn a_delivery_is_told_with_the_image_that_was_delivered_whatever_is_newer() {
        let (first, second) = (build("first", 1), build("second", 2));
        let mut journal = Journal { revisions: vec![first.clone(), second.clone()], ..Journal::default() };
        let all = request(config());
        let newest = ended(&mut journal, &all, |journal| journal.publish(copy(&second)));
        assert_eq!(newest.delivered[0].id.as_str(), "second-copy");

        let mut levers = Levers::default();
        levers.pin(&first);
        let serve = Request { task: Task::Serve, reason: Reason::Action, ..request(config()) };
        let pinned = ended(&mut journal, &serve, |journal| {
            let place = copy(&first).result.config;
            journal.job.as_mut().unwrap().sent.push(Sent { place, bytes: 7 });
            journal.publish_under(&levers, copy(&first));
        });
        let [delivered] = &pinned.delivered[..] else { panic!("{pinned:?}") };
        assert_eq!((delivered.id.as_str(), delivered.bytes), ("first-copy", Some(7)));
    }

    #[test]
    fn a_job_whose_worker_was_killed_right_after_its_end_is_told_and_then_noted_once() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path());
        let (mut journal, all) = (Journal::default(), request(config()));
        ended(&mut journal, &all, |_| ());
        let ids = |history: History| history.jobs.into_iter().map(|job| job.id).collect::<Vec<_>>();
        assert_eq!(ids(History::load(&host).unwrap()), []);
        let noted = vec![all.id.clone()];
        assert_eq!(ids(History::with_last(&host, &journal).unwrap()), noted);
        assert!(History::catch_up(&host, &journal, &config()).unwrap().is_some());
        assert!(History::catch_up(&host, &journal, &config()).unwrap().is_none());
        let history = History::load(&host).unwrap();
        assert_eq!((ids(history.clone()), history.totals.jobs[0].count), (noted.clone(), 1));
        assert_eq!(ids(History::with_last(&host, &journal).unwrap()), noted);
        // One that runs is none that has ended.
        journal.begin(Job::new(&request(config())));
        assert!(History::catch_up(&host, &journal, &config()).unwrap().is_none());
    }

    #[test]
    fn phases_are_told_in_the_order_of_time() {
        let (mut journal, all) = (Journal::default(), request(config()));
        let past = ended(&mut journal, &all, |journal| {
            let build = journal.job.as_mut().unwrap().build(config().targets[0]);
            for phase in [Phase::Checking, Phase::Preparing, Phase::Launching, Phase::Failed] {
                build.enter(phase).unwrap();
            }
        });
        let phases: Vec<&str> = past.builds[0].phases.iter().map(|took| took.phase.as_str()).collect();
        assert_eq!(phases, ["checking", "preparing", "launching"]);
    }
}
