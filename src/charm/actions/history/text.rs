//! The history as pages of text, for somebody who knows nothing of the charm's records.

use std::fmt;

use super::{Entry, Outcome, Past};
use crate::model::{Elapsed, Timestamp, printable_line};
use crate::record::{AskedFor, Delivered, PastBuild, PastJob};

/// The jobs.
impl fmt::Display for Past {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.jobs.is_empty() {
            return writeln!(f, "no job yet");
        }
        self.jobs.iter().try_for_each(|entry| write!(f, "{entry}"))
    }
}

impl Past {
    /// How each target stands in each project, a line each.
    pub fn outcome_lines(&self) -> Vec<String> {
        self.outcomes.iter().map(|outcome| outcome.line(self.paused)).collect()
    }
}

/// `job 1a2b3c4d: succeeded after 12 min 3 s, started 2026-05-01T12:00:03Z`, and what there is to tell of it below.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, asked, result, progress, .. } = self;
        write!(f, "job {id}: {}", self.state_in_words())?;
        if let Some(by) = asked.as_ref().and_then(|asked| asked.replaced_by.as_ref()) {
            write!(f, " by job {by}")?;
        }
        if let Some(result) = result {
            let took = result.finished.map(|end| end.0.saturating_sub(result.started.0));
            took.iter().try_for_each(|took| write!(f, " after {}", Elapsed::seconds(*took)))?;
            f.write_str(if result.ending() == NOTHING_DUE { ", nothing was due" } else { "" })?;
            write!(f, ", started {}", result.started)?;
        }
        writeln!(f)?;
        asked.iter().try_for_each(|asked| write_request(f, asked))?;
        progress.iter().try_for_each(|progress| line(f, 2, progress))?;
        result.iter().try_for_each(|result| write_result(f, result))
    }
}

impl Entry {
    fn state_in_words(&self) -> &'static str {
        match self.state {
            "waits" => "waiting",
            "runs" => "running",
            "unknown" => "its result is not on record",
            state => state,
        }
    }
}

/// How a job has ended that had nothing to do.
const NOTHING_DUE: &str = "had nothing due";

/// `requested by: action run, force=true, only noble; 2026-05-01T12:00:00Z`
fn write_request(f: &mut fmt::Formatter<'_>, asked: &AskedFor) -> fmt::Result {
    let AskedFor { at, reason, task, forced, bases, changed, .. } = asked;
    let mut words = requester(asked);
    // Which action it was says it.
    let is_told = matches!(reason.as_str(), "action" | "abandoned" | "announcement" | "leftovers");
    let task = Some(task_in_words(task)).filter(|task| !task.is_empty() && !is_told);
    task.iter().for_each(|task| words.push_str(&format!(" ({task})")));
    words.push_str(if *forced { ", force=true" } else { "" });
    if !bases.is_empty() {
        words.push_str(&format!(", only {}", bases.join(", ")));
    }
    asked.continues.iter().for_each(|job| words.push_str(&format!(", continues job {job}")));
    line(f, 2, &format!("requested by: {words}; {at}"))?;
    if changed.is_empty() || reason == "configuration" {
        return Ok(());
    }
    line(f, 2, &format!("changed since the previous request: {}", changed.join(", ")))
}

/// Who has asked, or what has happened.
fn requester(asked: &AskedFor) -> String {
    let AskedFor { reason, task, changed, retries, action, .. } = asked;
    match reason.as_str() {
        "action" | "cancel" => {
            let unnamed = match (reason.as_str(), task.as_str()) {
                ("cancel", _) => "cancel",
                (_, "serve") => "pin, unpin or revoke",
                (_, "search") => "clean-up",
                _ => "run",
            };
            format!("action {}", action.as_deref().unwrap_or(unnamed))
        }
        "schedule" => "schedule (option build-interval)".to_owned(),
        "configuration" if changed.is_empty() => "configuration".to_owned(),
        "configuration" => format!("configuration: {}", changed.join(", ")),
        "release" => "new release of the runner or of a base image".to_owned(),
        "security" => "new security fix".to_owned(),
        "retry" if retries.is_empty() => "retry".to_owned(),
        "retry" => format!("retry of {}", retries.join(", ")),
        "secret" if retries.is_empty() => "new revision of a secret".to_owned(),
        "secret" => format!("new secret or credentials, retry of {}", retries.join(", ")),
        "abandoned" => "clean-up after a job that was interrupted".to_owned(),
        "announcement" => "new images of the leader".to_owned(),
        "leftovers" => "clean-up of projects that are no longer used".to_owned(),
        other => other.to_owned(),
    }
}

fn task_in_words(task: &str) -> &str {
    match task {
        "take_over" => "check of the leader's images",
        "clean_up" => "clean-up",
        "serve" => "delivery of earlier builds",
        "search" => "search for unneeded resources",
        _ => "",
    }
}

fn write_result(f: &mut fmt::Formatter<'_>, result: &PastJob) -> fmt::Result {
    result.builds.iter().try_for_each(|build| write_build(f, build))?;
    for Delivered { target, project, id, bytes } in &result.delivered {
        let how = match bytes {
            Some(0) => "shared".to_owned(),
            Some(bytes) => format!("{} MiB sent", bytes.div_ceil(1 << 20)),
            None => "published without a transfer".to_owned(),
        };
        line(f, 2, &format!("{target} in {project}: new image {id}, {how}"))?;
    }
    result.failures.iter().try_for_each(|failure| {
        let target = failure.target.map(|target| format!("{target}: "));
        let project = failure.project.as_ref().map(|project| format!("{project}: "));
        let text: String = target.into_iter().chain(project).chain([failure.message.clone()]).collect();
        line(f, 2, &format!("failed ({}): {text}", failure.cause))
    })
}

/// `noble-x64: done, new build 5d1f...; checking 2 s, preparing 40 s, ...; 12 min 3 s in all`
fn write_build(f: &mut fmt::Formatter<'_>, build: &PastBuild) -> fmt::Result {
    let phase = build.phase.replace('_', " ");
    let made = build.built.as_ref().map_or(String::new(), |id| format!(", new build {id}"));
    let on = build.built_on.as_ref().map_or(String::new(), |on| format!(" on the {on}"));
    let mut text = format!("{}: {phase}{made}{on}", build.target);
    let phases: Vec<String> = if build.phases.is_empty() {
        let seconds = build.seconds.iter().filter(|(phase, _)| *phase != TOTAL);
        let took = |(phase, seconds): (&String, &u64)| {
            format!("{} {}", phase.replace('_', " "), Elapsed::seconds(*seconds))
        };
        seconds.map(took).collect()
    } else {
        build.phases.iter().map(ToString::to_string).collect()
    };
    if !phases.is_empty() {
        text.push_str(&format!("; {}", phases.join(", ")));
    }
    if let Some(total) = build.seconds.get(TOTAL) {
        text.push_str(&format!("; {} in all", Elapsed::seconds(*total)));
    }
    line(f, 2, &text)?;
    let prepared = build.preparation.as_ref().map(|what| format!("prepared image: {what}"));
    let changes =
        build.changes.as_ref().map(|changes| format!("changed since the previous build: {changes}"));
    let slow = build.slow_boot.as_ref().map(|slow| format!("warning: {slow}"));
    let lines = [prepared, changes, measured(build), slow];
    lines.iter().flatten().try_for_each(|text| line(f, 4, text))
}

/// `image: 812 MiB; boot: 21.4 s ...`, as far as it was measured.
fn measured(build: &PastBuild) -> Option<String> {
    let size = build.size.map(|size| format!("{} MiB", size.div_ceil(1 << 20)));
    let boot = build.boot.as_ref().map(|times| format!("boot: {times}"));
    let measured: Vec<String> = size.into_iter().chain(boot).collect();
    (!measured.is_empty()).then(|| format!("image: {}", measured.join("; ")))
}

/// What the whole of a build is noted as, beside its phases.
const TOTAL: &str = "total";

impl Outcome {
    /// `noble-x64 in ci (image:1): image 7c41... of build 5d1f... is published, built ...; last success ...; failing since ...`
    fn line(&self, paused: bool) -> String {
        let place = match (&self.target, &self.project) {
            (Some(target), Some(project)) => format!("{target} in {project}"),
            (Some(target), None) => format!("{target} build"),
            (None, _) => "clean-up after earlier jobs".to_owned(),
        };
        let parts = [self.published(), self.succeeded(), self.failed(paused)];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        printable_line(&format!("{place}: {}", parts.join("; "))).to_string()
    }

    fn published(&self) -> Option<String> {
        let image = self.image.as_ref()?;
        let build = self.build.as_ref().filter(|build| *build != image);
        let of = build.map_or(String::new(), |build| format!(" of build {build}"));
        let built = self.built.map_or(String::new(), |built| format!(", built {built}"));
        Some(format!("image {image}{of} is published{built}"))
    }

    fn succeeded(&self) -> Option<String> {
        match self.last_success {
            Some(at) => Some(format!("last success {at}")),
            None if self.is_clean_up => None,
            None => Some("no success yet".to_owned()),
        }
    }

    fn failed(&self, paused: bool) -> Option<String> {
        let Some(last) = self.last_failure else { return Some("no failure".to_owned()) };
        let cause = self.cause.as_ref().map_or(String::new(), |cause| format!(" ({cause})"));
        if self.failures_in_row == 0 {
            return Some(format!("last failure {last}{cause}, resolved since"));
        }
        let since = self.failing_since.unwrap_or(last);
        let message = self.message.as_ref().map_or(String::new(), |message| format!(": {message}"));
        let row = format!("{} in a row", self.failures_in_row);
        let failing = format!("failing since {since}, {row}, last {last}{cause}{message}");
        Some(format!("{failing}; {}", next_try(self.next_try, paused)))
    }
}

fn next_try(at: Option<Timestamp>, paused: bool) -> String {
    match at {
        Some(_) if paused => "no next try while paused=true".to_owned(),
        Some(at) => format!("next try {at}"),
        None => "next try with the next job".to_owned(),
    }
}

/// A line that may quote what a cloud has said, so many spaces from the margin.
fn line(f: &mut fmt::Formatter<'_>, margin: usize, text: &str) -> fmt::Result {
    writeln!(f, "{:margin$}{}", "", printable_line(text))
}

#[cfg(test)]
mod tests;
