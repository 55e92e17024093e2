//! What the last jobs were and how each target stands in each project, for people and for programs. Read from the unit's
//! records alone.

use std::fmt;

use serde::Serialize;

use crate::host::Host;
use crate::model::{Target, Timestamp, printable_line};
use crate::record::{
    Asked, AskedFor, CloudName, History, JobId, Journal, PastFailure, PastJob, RecordError, Standing,
    TaskKind,
};

/// The last jobs, the newest first, and the outcomes.
#[derive(Debug, Serialize)]
pub struct Past {
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
    /// `waits`, `runs`, `succeeded`, `failed`, `interrupted`, `replaced` or `withdrawn`.
    pub state: &'static str,
    /// What came of it, once it has ended.
    pub result: Option<PastJob>,
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
    /// When it is tried again.
    pub next_try: Option<Timestamp>,
}

impl Past {
    /// As of now.
    pub fn load(host: &Host) -> Result<Self, RecordError> {
        let (journal, asked, history) = (Journal::load(host)?, Asked::load(host)?, History::load(host)?);
        let is_asked = |job: &&PastJob| asked.requests.iter().any(|request| request.id == job.id);
        // Of an earlier version, which noted no requests.
        let unasked = history.jobs.iter().filter(|job| !is_asked(job));
        let unasked = unasked.map(|job| (job.started, Entry::of(&job.id, None, Some(job), &journal)));
        let entries = asked.requests.iter().map(|request| {
            let result = history.jobs.iter().find(|job| job.id == request.id);
            (request.at, Entry::of(&request.id, Some(request), result, &journal))
        });
        let mut jobs: Vec<(Timestamp, Entry)> = unasked.chain(entries).collect();
        // The sort is stable: of one second, what was asked last stands last.
        jobs.sort_by_key(|(at, _)| *at);
        let outcomes = journal.standings.iter().map(|standing| Outcome::of(standing, &history));
        let outcomes = outcomes.collect();
        Ok(Self { jobs: jobs.into_iter().rev().map(|(_, entry)| entry).collect(), outcomes })
    }
}

impl Entry {
    fn of(id: &JobId, asked: Option<&AskedFor>, result: Option<&PastJob>, journal: &Journal) -> Self {
        let state = match (result.map(|result| result.outcome.as_str()), asked) {
            (Some("succeeded"), _) => "succeeded",
            (Some("failed"), _) => "failed",
            (Some(_), _) => "interrupted",
            (None, Some(AskedFor { replaced_by: Some(_), .. })) => "replaced",
            (None, Some(AskedFor { withdrawn: true, .. })) => "withdrawn",
            (None, _) if journal.running().is_some_and(|job| job.id == *id) => "runs",
            (None, _) => "waits",
        };
        Self { id: id.clone(), asked: asked.cloned(), state, result: result.cloned() }
    }
}

impl Outcome {
    fn of(standing: &Standing, history: &History) -> Self {
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
        Self {
            target: *target,
            project: cloud.clone(),
            last_success: *last_success,
            last_failure: *last_failure,
            cause,
            message,
            failures_in_row: open.as_ref().map_or(0, |open| open.in_row),
            next_try: open
                .as_ref()
                .map(|open| open.next_try())
                .filter(|_| standing.task != TaskKind::CleanUp),
        }
    }
}

/// The jobs as a page of text.
impl fmt::Display for Past {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.jobs.is_empty() {
            return writeln!(f, "no job yet");
        }
        self.jobs.iter().try_for_each(|entry| write!(f, "{entry}"))
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, asked, state, result } = self;
        write!(f, "job {id}: {state}")?;
        if let Some(by) = asked.as_ref().and_then(|asked| asked.replaced_by.as_ref()) {
            write!(f, " by job {by}")?;
        }
        if let Some(AskedFor { at, reason, task, forced, bases, .. }) = asked {
            write!(f, "; {}, asked by {reason} {at}", task.replace('_', " "))?;
            f.write_str(if *forced { ", forced" } else { "" })?;
            write!(
                f,
                "{}",
                if bases.is_empty() { String::new() } else { format!(", only {}", bases.join(", ")) }
            )?;
        }
        if let Some(result) = result {
            write!(f, "; started {}", result.started)?;
            if let Some(end) = result.finished {
                write!(f, ", took {} s", end.0.saturating_sub(result.started.0))?;
            }
            match result.bytes() {
                0 => (),
                bytes => write!(f, ", sent {} MiB", bytes.div_ceil(1 << 20))?,
            }
        }
        writeln!(f)?;
        let changed =
            asked.iter().map(|asked| asked.changed.join(", ")).filter(|changed| !changed.is_empty());
        changed.into_iter().try_for_each(|changed| writeln!(f, "  changed: {changed}"))?;
        result.iter().try_for_each(|result| write_result(f, result))
    }
}

fn write_result(f: &mut fmt::Formatter<'_>, result: &PastJob) -> fmt::Result {
    for build in &result.builds {
        let made = build.built.as_ref().map_or(String::new(), |id| format!(", made build {id}"));
        let seconds: Vec<String> = build
            .seconds
            .iter()
            .map(|(phase, seconds)| format!("{} {seconds} s", phase.replace('_', " ")))
            .collect();
        let on =
            build.built_on.as_ref().map_or(String::new(), |on| format!(" on the {}", printable_line(on)));
        writeln!(
            f,
            "  {}: {}{made}{on}; {}",
            build.target,
            build.phase.replace('_', " "),
            seconds.join(", ")
        )?;
        build
            .preparation
            .iter()
            .try_for_each(|what| writeln!(f, "    prepared image: {}", printable_line(what)))?;
        build
            .changes
            .iter()
            .try_for_each(|changes| writeln!(f, "    since the last: {}", printable_line(changes)))?;
        let size = build.size.map(|size| format!("{} MiB", size.div_ceil(1 << 20)));
        let boot = build.boot.as_ref().map(|times| format!("boot: {times}"));
        let measured: Vec<String> = size.into_iter().chain(boot).collect();
        if !measured.is_empty() {
            writeln!(f, "    image: {}", measured.join("; "))?;
        }
        build.slow_boot.iter().try_for_each(|slow| writeln!(f, "    warning: {slow}"))?;
    }
    for delivered in &result.delivered {
        writeln!(f, "  {} to {}: image {}", delivered.target, delivered.project, delivered.id)?;
    }
    result.failures.iter().try_for_each(|failure| {
        let target = failure.target.map(|target| format!("{target}: "));
        let project = failure.project.as_ref().map(|project| format!("{project}: "));
        let text: String = target.into_iter().chain(project).chain([failure.message.clone()]).collect();
        writeln!(f, "  failed ({}): {}", failure.cause, printable_line(&text))
    })
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.target, &self.project) {
            (Some(target), Some(project)) => write!(f, "{target} in {project}: ")?,
            (Some(target), None) => write!(f, "{target}: ")?,
            (None, _) => write!(f, "removing what jobs have left: ")?,
        }
        let ever = |at: Option<Timestamp>| at.map_or("never".to_owned(), |at| at.to_string());
        write!(f, "last success {}, last failure {}", ever(self.last_success), ever(self.last_failure))?;
        self.cause.iter().try_for_each(|cause| write!(f, " ({cause})"))?;
        match self.failures_in_row {
            0 => Ok(()),
            count => write!(f, ", {count} in a row, next try {}", ever(self.next_try)),
        }
    }
}
