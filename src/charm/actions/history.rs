//! What the last jobs were and how each target stands in each project, for people and for programs. Read from the unit's
//! records alone.

mod text;

use serde::Serialize;

use crate::charm::{reconcile, status};
use crate::host::Host;
use crate::model::{Target, Timestamp};
use crate::openstack_cloud::ImageId;
use crate::record::{
    Asked, AskedFor, CloudName, History, JobId, Journal, PastFailure, PastJob, RecordError, Request,
    Settings, Standing, TaskKind,
};

/// The last jobs, the newest first, and the outcomes.
#[derive(Debug, Serialize)]
pub struct Past {
    /// Whether builds are paused: what fails is not tried again meanwhile.
    pub paused: bool,
    /// The jobs.
    pub jobs: Vec<Entry>,
    /// How each target stands in each project.
    pub outcomes: Vec<Outcome>,
}

/// A job: what was asked for, and what came of it.
#[derive(Debug, Serialize)]
pub struct Entry {
    /// Its id.
    pub id: JobId,
    /// What was asked; unknown of a job of an earlier version.
    pub asked: Option<AskedFor>,
    /// `waits`, `runs`, `succeeded`, `failed`, `interrupted`, `replaced`, `withdrawn`, or `unknown` where its
    /// result is not on record.
    pub state: &'static str,
    /// What came of it, once it has ended.
    pub result: Option<PastJob>,
    /// How far it is, while it runs.
    #[serde(skip)]
    progress: Option<String>,
}

/// How a target stands in a project.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// The target; absent for the removal of what jobs have left.
    pub target: Option<Target>,
    /// The project; absent for what precedes any delivery.
    pub project: Option<CloudName>,
    /// When it last got a new image.
    pub last_success: Option<Timestamp>,
    /// When it last failed.
    pub last_failure: Option<Timestamp>,
    /// The class of the last failure's cause.
    pub cause: Option<String>,
    /// What the last failure was.
    pub message: Option<String>,
    /// How often it has failed in a row.
    pub failures_in_row: u32,
    /// When the first of these failures was, as far as that is known.
    pub failing_since: Option<Timestamp>,
    /// When it is tried again; while builds are paused, not before they are resumed.
    pub next_try: Option<Timestamp>,
    /// The image that relations of the project are told.
    pub image: Option<ImageId>,
    /// The build that this is an image of.
    pub build: Option<ImageId>,
    /// When that was built.
    pub built: Option<Timestamp>,
    /// Whether what fails is left of an earlier job, and no build or delivery.
    #[serde(skip)]
    is_clean_up: bool,
}

impl Past {
    /// As of now.
    pub fn load(host: &Host) -> Result<Self, RecordError> {
        let (journal, asked) = (Journal::load_told(host)?, Asked::load(host)?);
        let history = History::with_last(host, &journal)?;
        let open = Request::load(host)?.filter(|last| reconcile::is_open(last, &journal)).map(|last| last.id);
        let is_asked = |job: &&PastJob| asked.requests.iter().any(|request| request.id == job.id);
        // Of an earlier version, which noted no requests.
        let unasked = history.jobs.iter().filter(|job| !is_asked(job));
        let unasked = unasked.map(|job| (job.started, Entry::of(&job.id, None, Some(job), (&journal, None))));
        let entries = asked.requests.iter().map(|request| {
            let result = history.jobs.iter().find(|job| job.id == request.id);
            (request.at, Entry::of(&request.id, Some(request), result, (&journal, open.as_ref())))
        });
        let mut jobs: Vec<(Timestamp, Entry)> = unasked.chain(entries).collect();
        // The sort is stable: of one second, what was asked last stands last.
        jobs.sort_by_key(|(at, _)| *at);
        let outcomes = journal.standings.iter().map(|standing| Outcome::of(standing, &journal, &history));
        let paused = Settings::load(host)?.is_some_and(|settings| settings.paused);
        let outcomes = outcomes.collect();
        Ok(Self { paused, jobs: jobs.into_iter().rev().map(|(_, entry)| entry).collect(), outcomes })
    }
}

impl Entry {
    fn of(
        id: &JobId,
        asked: Option<&AskedFor>,
        result: Option<&PastJob>,
        (journal, open): (&Journal, Option<&JobId>),
    ) -> Self {
        let state = match (result.map(|result| result.outcome.as_str()), asked) {
            (Some("succeeded"), _) => "succeeded",
            (Some("failed"), _) => "failed",
            (Some(_), _) => "interrupted",
            (None, Some(AskedFor { replaced_by: Some(_), .. })) => "replaced",
            (None, Some(AskedFor { withdrawn: true, .. })) => "withdrawn",
            (None, _) if journal.running().is_some_and(|job| job.id == *id) => "runs",
            (None, _) if open == Some(id) => "waits",
            // It could not be noted, on a full disk for example.
            (None, _) => "unknown",
        };
        let running = journal.running().filter(|_| state == "runs");
        let progress = running.map(|job| format!("{}; started {}", status::progress(job), job.started));
        Self { id: id.clone(), asked: asked.cloned(), state, result: result.cloned(), progress }
    }
}

impl Outcome {
    fn of(standing: &Standing, journal: &Journal, history: &History) -> Self {
        let Standing { target, cloud, last_success, last_failure, open, .. } = standing;
        let is_of_it = |failure: &&PastFailure| {
            (failure.target == *target || failure.target.is_none())
                && (failure.project == *cloud || failure.project.is_none())
        };
        let mut past = history.jobs.iter().rev().filter(|job| job.finished == *last_failure);
        let past = past.find_map(|job| job.failures.iter().find(is_of_it));
        let failure = open.as_ref().and_then(|open| open.failures.first());
        let known = failure.map(|failure| (failure.cause.as_str().to_owned(), failure.message.clone()));
        let known = known.or_else(|| past.map(|past| (past.cause.clone(), past.message.clone())));
        let (cause, message) = known.filter(|_| last_failure.is_some()).unzip();
        // Of a build that has never failed nothing else is noted.
        let of_target = journal.revisions.iter().filter(|build| Some(build.target) == *target);
        let last_build = of_target.map(|build| build.built).max().filter(|_| cloud.is_none());
        let image = target.zip(cloud.as_ref()).and_then(|(target, cloud)| journal.image(target, cloud));
        Self {
            target: *target,
            project: cloud.clone(),
            last_success: (*last_success).max(last_build),
            last_failure: *last_failure,
            cause,
            message,
            failures_in_row: open.as_ref().map_or(0, |open| open.in_row),
            next_try: open
                .as_ref()
                .map(|open| open.next_try())
                .filter(|_| standing.task != TaskKind::CleanUp),
            failing_since: standing.fails_since(),
            image: image.map(|image| image.result.id.clone()),
            build: image.and_then(|image| image.revision.clone()),
            built: image.map(|image| image.built),
            is_clean_up: standing.task == TaskKind::CleanUp,
        }
    }
}
