//! `dispatch jobs --format json`: the same as the text, in a form that stays as it is when the records change. Its schema is
//! docs/reference/jobs.schema.json; fields are added to it, and none is renamed or removed.

use serde::Serialize;

use super::jobs::{Failing, Jobs, describe};
use crate::model::Timestamp;
use crate::record::{Failure, Job, Orphans, Remedy};

/// The document.
#[derive(Debug, Serialize)]
pub struct JobsView {
    worker_running: bool,
    job: Option<JobView>,
    waiting: Option<WaitingView>,
    failing: Vec<FailingView>,
    images: Vec<ImageView>,
    orphans: Vec<OrphansView>,
    runners: Vec<String>,
    last_success: Option<Timestamp>,
    last_sweep: Option<Timestamp>,
    next_retry: Option<Timestamp>,
    next_look: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
struct JobView {
    id: String,
    reason: Option<&'static str>,
    started: Timestamp,
    finished: Option<Timestamp>,
    builds: Vec<BuildView>,
    failures: Vec<FailureView>,
}

#[derive(Debug, Serialize)]
struct BuildView {
    target: String,
    phase: String,
    since: Timestamp,
    resources: Vec<String>,
}

#[derive(Debug, Serialize)]
struct FailureView {
    target: Option<String>,
    cloud: Option<String>,
    message: String,
    operator_must_act: bool,
    past: bool,
}

#[derive(Debug, Serialize)]
struct WaitingView {
    id: String,
    reason: &'static str,
    requested: Timestamp,
}

#[derive(Debug, Serialize)]
struct FailingView {
    target: Option<String>,
    cloud: Option<String>,
    failures_in_row: u32,
    failing_since: Option<Timestamp>,
    past: bool,
    last_success: Option<Timestamp>,
    last_failure: Option<Timestamp>,
    next_retry: Timestamp,
    messages: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ImageView {
    target: String,
    cloud: String,
    id: String,
    built: Timestamp,
}

#[derive(Debug, Serialize)]
struct OrphansView {
    cloud: String,
    resources: Vec<String>,
    tries: u32,
    since: Timestamp,
    reason: Option<String>,
    abandoned: Option<Timestamp>,
}

impl JobsView {
    /// What `jobs` tells.
    pub fn of(jobs: &Jobs) -> Self {
        let Jobs { worker_lives, next_try, next_look, journal, launches, .. } = jobs;
        Self {
            worker_running: *worker_lives,
            job: journal.job.as_ref().map(|last| job(jobs, last)),
            waiting: jobs.waiting().map(|request| WaitingView {
                id: request.id.to_string(),
                reason: request.reason.as_str(),
                requested: request.at,
            }),
            failing: jobs.failing().iter().map(failing).collect(),
            images: journal
                .images
                .iter()
                .map(|image| {
                    let config = &image.result.config;
                    ImageView {
                        target: format!("{}-{}", config.base, config.arch),
                        cloud: config.cloud_name.as_str().to_owned(),
                        id: image.result.id.to_string(),
                        built: image.built,
                    }
                })
                .collect(),
            orphans: journal.orphans.iter().filter_map(orphans).collect(),
            runners: launches.iter().map(ToString::to_string).collect(),
            last_success: journal.last_success(),
            last_sweep: journal.swept,
            next_retry: *next_try,
            next_look: *next_look,
        }
    }
}

fn job(jobs: &Jobs, job: &Job) -> JobView {
    let builds = job.builds.iter().map(|build| BuildView {
        target: build.target.to_string(),
        phase: describe(&build.phase),
        since: build.since,
        resources: build.resources.iter().map(ToString::to_string).collect(),
    });
    JobView {
        id: job.id.to_string(),
        reason: job.reason.map(|reason| reason.as_str()),
        started: job.started,
        finished: job.finished,
        builds: builds.collect(),
        failures: job.failures.iter().map(|said| failure(said, jobs.is_past(job, said))).collect(),
    }
}

fn failure(failure: &Failure, past: bool) -> FailureView {
    FailureView {
        target: failure.target.map(|target| target.to_string()),
        cloud: failure.cloud.as_ref().map(|cloud| cloud.as_str().to_owned()),
        message: failure.message.clone(),
        operator_must_act: failure.remedy == Remedy::Operator,
        past,
    }
}

fn failing(Failing { standing, open, is_past }: &Failing<'_>) -> FailingView {
    FailingView {
        target: standing.target.map(|target| target.to_string()),
        cloud: standing.cloud.as_ref().map(|cloud| cloud.as_str().to_owned()),
        failures_in_row: open.in_row,
        failing_since: standing.fails_since(),
        past: *is_past,
        last_success: standing.last_success,
        last_failure: standing.last_failure,
        next_retry: open.next_try(),
        messages: open.failures.iter().map(|failure| failure.message.clone()).collect(),
    }
}

fn orphans(orphans: &Orphans) -> Option<OrphansView> {
    Some(OrphansView {
        cloud: orphans.cloud.as_str().to_owned(),
        resources: orphans.what.iter().cloned().collect(),
        tries: orphans.tries,
        since: orphans.since?,
        reason: orphans.why.clone(),
        abandoned: orphans.given_up,
    })
}
