//! `dispatch jobs`: what is asked for, what runs, what came of it and what comes next, for people and for programs.

use std::fmt;

use serde::Serialize;

use crate::builder::Schedule;
use crate::host::Host;
use crate::model::{Timestamp, printable_line};
use crate::record::{
    Build, BuilderRunConfig, Failure, Job, Journal, Launch, OpenFailure, Orphans, Peers, Phase, RecordError,
    Request, Standing, TaskKind, worker_lives,
};

/// All that there is to tell; displays as a page of text, serialises as JSON.
#[derive(Debug, Serialize)]
pub struct Jobs {
    pub(super) worker_lives: bool,
    task: TaskKind,
    request: Option<Request>,
    pub(super) next_try: Option<Timestamp>,
    pub(super) next_look: Option<Timestamp>,
    pub(super) journal: Journal,
    pub(super) launches: Vec<Launch>,
}

impl Jobs {
    /// As of now. Reads files only, so it may be asked at any time.
    pub fn load(host: &Host) -> Result<Self, RecordError> {
        let (journal, request, peers) = (Journal::load_told(host)?, Request::load(host)?, Peers::load(host)?);
        let config = request.as_ref().map(|request| &request.config);
        Ok(Self {
            worker_lives: worker_lives(host)?,
            task: peers.task(),
            next_try: config.and_then(|config| journal.next_try(config, peers.task())),
            request,
            next_look: Schedule::load(host)?.map(|schedule| schedule.next_after(Timestamp::now())),
            journal,
            launches: Launch::all(host)?,
        })
    }

    pub(super) fn waiting(&self) -> Option<&Request> {
        let known = self.journal.job.as_ref().map(|job| &job.id);
        self.request.as_ref().filter(|request| Some(&request.id) != known)
    }
}

/// What fails in a project, or of a build.
pub(super) struct Failing<'a> {
    pub(super) standing: &'a Standing,
    pub(super) open: &'a OpenFailure,
    /// Whether the options have changed since: it says nothing of those of now.
    pub(super) is_past: bool,
}

impl Jobs {
    /// What fails of what this unit does. What is not configured or related any more does not count, as far as that is known.
    pub(super) fn failing(&self) -> Vec<Failing<'_>> {
        let config = self.request.as_ref().map(|request| &request.config);
        let digests = config.map(BuilderRunConfig::failure_digests);
        let all = self.journal.standings.iter();
        let ours = all.filter(|standing| standing.task == self.task || standing.task == TaskKind::CleanUp);
        let known = ours.filter(|standing| config.is_none_or(|config| standing.is_of(config)));
        let failing = known.filter_map(|standing| Some((standing, standing.open.as_ref()?)));
        let is_past = |open: &OpenFailure| digests.as_ref().is_some_and(|digests| !open.is_of(digests));
        failing.map(|(standing, open)| Failing { standing, open, is_past: is_past(open) }).collect()
    }

    /// Whether what the last job has failed at says nothing of the options of now, which are others than it had.
    pub(super) fn is_past(&self, job: &Job, failure: &Failure) -> bool {
        let is_same = |known: &Failing<'_>| {
            !known.is_past && known.open.failures.iter().any(|known| known.says_the_same(failure))
        };
        let is_other = |request: &Request| request.config.digest() != job.config_digest;
        job.finished.is_some()
            && self.request.as_ref().is_some_and(is_other)
            && !self.failing().iter().any(is_same)
    }
}

impl fmt::Display for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.journal.job {
            None => writeln!(f, "no job yet")?,
            Some(job) => self.write_job(f, job)?,
        }
        if let Some(at) = self.next_try {
            writeln!(f, "  next try: {at}")?;
        }
        self.failing().iter().try_for_each(|failing| write_failing(f, failing))?;
        if let Some(request) = self.waiting() {
            writeln!(f, "job {}: waits since {}, {}", request.id, request.at, request.reason.as_str())?;
        }
        for image in &self.journal.images {
            let config = &image.result.config;
            let (base, arch, cloud) = (config.base, config.arch, &config.cloud_name);
            let id = &image.result.id;
            line(f, format_args!("image {base}-{arch} in {cloud}: {id}, built {}", image.built))?;
        }
        self.journal.orphans.iter().try_for_each(|orphans| self.write_orphans(f, orphans))?;
        self.launches.iter().try_for_each(|launch| line(f, format_args!("{launch}")))?;
        let ever = |moment: Option<Timestamp>| moment.map_or("never".into(), |moment| moment.to_string());
        writeln!(f, "last success: {}", ever(self.journal.last_success()))?;
        writeln!(f, "next scheduled job: {}", ever(self.next_look))?;
        writeln!(f, "last sweep of the clouds: {}", ever(self.journal.swept))
    }
}

impl Jobs {
    fn write_orphans(&self, f: &mut fmt::Formatter<'_>, orphans: &Orphans) -> fmt::Result {
        let Orphans { tries, since: Some(since), .. } = orphans else { return Ok(()) };
        let left = format!("left in {orphans}");
        write!(f, "{}, tried {tries} times since {since}, ", printable_line(&left))?;
        match (orphans.given_up, orphans.next_try()) {
            (Some(at), _) => writeln!(f, "retries ended {at}: delete it by hand"),
            (None, Some(at)) => writeln!(f, "next try {at}"),
            (None, None) => writeln!(f, "not tried again"),
        }
    }

    fn write_job(&self, f: &mut fmt::Formatter<'_>, job: &Job) -> fmt::Result {
        let reason = job.reason.map_or("for an unknown reason", |reason| reason.as_str());
        let state = match job.finished {
            Some(at) => format!("ended {at}"),
            None if self.worker_lives => "runs".into(),
            None => "its worker died; the next hook starts another".into(),
        };
        writeln!(f, "job {}: {reason}, since {}, {state}", job.id, job.started)?;
        for build @ Build { target, phase, hampered, since, resources, took, .. } in &job.builds {
            let reason = hampered.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
            line(f, format_args!("  {target}: {}{reason}, since {since}", describe(phase)))?;
            if !took.is_empty() {
                line(f, format_args!("    took: {}", build.times()))?;
            }
            resources.iter().try_for_each(|resource| line(f, format_args!("    {resource}")))?;
        }
        job.failures.iter().try_for_each(|failure| {
            let when = if self.is_past(job, failure) { BEFORE } else { "" };
            line(f, format_args!("  failed{when}: {failure}"))
        })
    }
}

/// What is said of what failed with other options.
const BEFORE: &str = " before the last change of options";

/// `failing: noble-x64 in ci-1a2b3c4d, 3 in a row since ..., last ..., next try ...: ...`
fn write_failing(f: &mut fmt::Formatter<'_>, failing: &Failing<'_>) -> fmt::Result {
    let Failing { standing, open, is_past } = failing;
    write!(f, "{}: ", if *is_past { format!("failed{BEFORE}") } else { "failing".to_owned() })?;
    match standing.target {
        Some(target) => write!(f, "{target}")?,
        None => write!(f, "removing orphans")?,
    }
    standing.cloud.iter().try_for_each(|cloud| write!(f, " in {cloud}"))?;
    write!(f, ", {} in a row", open.in_row)?;
    standing.fails_since().iter().try_for_each(|at| write!(f, " since {at}"))?;
    standing.last_failure.iter().try_for_each(|at| write!(f, ", last {at}"))?;
    let messages: Vec<&str> = open.failures.iter().map(|failure| failure.message.as_str()).collect();
    line(f, format_args!(", next try {}: {}", open.next_try(), messages.join("; ")))
}

/// A line that may quote what a cloud has said.
fn line(f: &mut fmt::Formatter<'_>, text: fmt::Arguments<'_>) -> fmt::Result {
    writeln!(f, "{}", printable_line(&text.to_string()))
}

/// A phase as people read it.
pub(super) fn describe(phase: &Phase) -> String {
    match phase {
        Phase::Installing { step, number, of } => format!("{}: {step}, {number} of {of}", phase.word()),
        _ => phase.word().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn operators_read_this_page_of_jobs() {
        let time = "2026-05-01T12:00:00Z";
        let (noble, jammy) =
            (json!({"base": "noble", "arch": "x64"}), json!({"base": "jammy", "arch": "arm64"}));
        let failure = json!({"target": noble, "cloud": "ci-1", "message": "listing images: busy (HTTP 503, 4 attempts)",
            "remedy": "retry"});
        let took = json!([{"phase": "checking", "seconds": 2}, {"phase": "preparing", "seconds": 61},
            {"phase": "launching", "seconds": 45}, {"phase": "installing packages", "seconds": 5025}]);
        let journal = json!({
            "format": 3, "swept": time,
            "standings": [{"task": "build", "target": noble, "cloud": "ci-1", "last_success": time,
                "last_failure": time, "open": {"failures": [failure], "in_row": 2, "next_try": time,
                    "rebuild": "always", "jobs": ["ab"], "config_digest": "d"}}],
            "job": {
                "id": "ab", "reason": "schedule", "config_digest": "d", "started": time, "finished": null,
                "owner": {"model_uuid": "m", "application": "a", "unit": 0},
                "builds": [
                    {"target": noble, "since": time, "entered": time, "took": took,
                        "phase": {"name": "installing", "step": "installing snaps", "number": 4, "of": 9},
                        "resources": [{"kind": "builder_vm", "cloud": "ci-1", "name": "vm", "id": "7"}]},
                    {"target": jammy, "since": time, "resources": [], "phase": {"name": "up_to_date"}}],
                "failures": [failure]
            },
            "images": [{"config": {"base": "noble", "arch": "x64", "cloud_name": "ci-1"}, "id": "i",
                "fingerprint": "f", "built": time}],
            "in_use": [],
            "leftovers": [{"cloud": "ci-2", "work": "builds", "what": ["base image b"], "tries": 9, "why": "no\nroute",
                "since": time, "last": time, "given_up": time}]
        });
        let journal: Journal = serde_json::from_value(journal).unwrap();
        let (next, request) = (Timestamp::of_rfc3339("2026-05-01T18:17:00Z"), None);
        let (none, task) = (Vec::new, TaskKind::Build);
        let works = Jobs {
            worker_lives: true,
            task,
            request,
            next_try: None,
            next_look: next,
            journal,
            launches: none(),
        };
        let mut waits = crate::testing::request(crate::testing::run_config());
        (waits.id, waits.at) = (serde_json::from_value(json!("cd")).unwrap(), Timestamp(0));
        let empty = Jobs {
            worker_lives: false,
            task,
            request: Some(waits),
            next_try: next,
            next_look: None,
            journal: Journal::default(),
            launches: none(),
        };
        insta::assert_snapshot!(format!("{works}\nOf a unit that has done nothing:\n{empty}"), @r#"
        job ab: schedule, since 2026-05-01T12:00:00Z, runs
          noble-x64: installing: installing snaps, 4 of 9, since 2026-05-01T12:00:00Z
            took: checking 2 s, preparing 1 min 1 s, launching 45 s, installing packages 1 h 23 min
            builder VM vm (7) in ci-1
          jammy-arm64: up to date, since 2026-05-01T12:00:00Z
          failed: noble-x64 for ci-1: listing images: busy (HTTP 503, 4 attempts)
        failing: noble-x64 in ci-1, 2 in a row since 2026-05-01T12:00:00Z, last 2026-05-01T12:00:00Z, next try 2026-05-01T12:00:00Z: listing images: busy (HTTP 503, 4 attempts)
        image noble-x64 in ci-1: i, built 2026-05-01T12:00:00Z
        left in ci-2: base image b (no\nroute), tried 9 times since 2026-05-01T12:00:00Z, retries ended 2026-05-01T12:00:00Z: delete it by hand
        last success: 2026-05-01T12:00:00Z
        next scheduled job: 2026-05-01T18:17:00Z
        last sweep of the clouds: 2026-05-01T12:00:00Z

        Of a unit that has done nothing:
        no job yet
          next try: 2026-05-01T18:17:00Z
        job cd: waits since 1970-01-01T00:00:00Z, schedule
        last success: never
        next scheduled job: never
        last sweep of the clouds: never
        "#);
    }

    #[test]
    fn what_failed_with_other_options_is_told_as_past() {
        let mut request = crate::testing::request(crate::testing::run_config());
        let target = request.config.targets[0];
        let mut journal = Journal::default();
        journal.begin(Job::new(&request));
        let failure = Failure { target: Some(target), ..Failure::of(&"no flavor".to_owned(), true) };
        journal.end(&request, vec![failure]);
        let told = |request: &Request| {
            let (request, journal) = (Some(request.clone()), journal.clone());
            let (next_try, next_look, launches) = (None, None, Vec::new());
            let task = TaskKind::Build;
            Jobs { worker_lives: false, task, request, next_try, next_look, journal, launches }.to_string()
        };
        let now = told(&request);
        assert!(
            now.contains("  failed: noble-x64: no flavor") && now.contains("\nfailing: noble-x64,"),
            "{now}"
        );
        request.config.clouds.push(crate::record::CloudName::new("another-1"));
        let beside = told(&request);
        assert!(
            beside.contains("  failed: ") && beside.contains("\nfailing: "),
            "no matter of options: {beside}"
        );
        request.config.vm.flavor = Some("large".into());
        let corrected = told(&request);
        for past in
            ["  failed before the last change of options: ", "\nfailed before the last change of options: "]
        {
            assert!(corrected.contains(past), "{past}: {corrected}");
        }
        assert!(!corrected.contains("failing: "), "{corrected}");
        request.config.targets.clear();
        assert!(!told(&request).contains("in a row"), "it is not configured any more");
    }
}
