//! `dispatch jobs`: what is asked for, what runs, what came of it and what comes next, for people and for programs.

use std::fmt;

use serde::Serialize;

use crate::builder::Schedule;
use crate::host::Host;
use crate::model::{Timestamp, printable_line};
use crate::record::{
    Build, Job, Journal, Launch, Orphans, Peers, Phase, RecordError, Request, Standing, worker_lives,
};

/// All that there is to tell; displays as a page of text, serialises as JSON.
#[derive(Debug, Serialize)]
pub struct Jobs {
    worker_lives: bool,
    request: Option<Request>,
    next_try: Option<Timestamp>,
    next_look: Option<Timestamp>,
    journal: Journal,
    launches: Vec<Launch>,
}

impl Jobs {
    /// As of now. Reads files only, so it may be asked at any time.
    pub fn load(host: &Host) -> Result<Self, RecordError> {
        let (journal, request, peers) = (Journal::load(host)?, Request::load(host)?, Peers::load(host)?);
        let config = request.as_ref().map(|request| &request.config);
        Ok(Self {
            worker_lives: worker_lives(host)?,
            next_try: config.and_then(|config| journal.next_try(config, peers.task())),
            request,
            next_look: Schedule::load(host)?.map(|schedule| schedule.next_after(Timestamp::now())),
            journal,
            launches: Launch::all(host)?,
        })
    }

    fn waiting(&self) -> Option<&Request> {
        let known = self.journal.job.as_ref().map(|job| &job.id);
        self.request.as_ref().filter(|request| Some(&request.id) != known)
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
        self.journal.standings.iter().try_for_each(|standing| write_standing(f, standing))?;
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
        writeln!(f, "cron looks for work next: {}", ever(self.next_look))?;
        writeln!(f, "last sweep of the clouds: {}", ever(self.journal.swept))
    }
}

impl Jobs {
    fn write_orphans(&self, f: &mut fmt::Formatter<'_>, orphans: &Orphans) -> fmt::Result {
        let Orphans { tries, since: Some(since), .. } = orphans else { return Ok(()) };
        let left = format!("left in {orphans}");
        write!(f, "{}, tried {tries} times since {since}, ", printable_line(&left))?;
        match (orphans.given_up, orphans.next_try()) {
            (Some(at), _) => writeln!(f, "given up {at}: it is yours to remove"),
            (None, Some(at)) => writeln!(f, "next try {at}"),
            (None, None) => writeln!(f, "not tried again"),
        }
    }

    fn write_job(&self, f: &mut fmt::Formatter<'_>, job: &Job) -> fmt::Result {
        let reason = job.reason.map_or("for an unknown reason", |reason| reason.as_str());
        let state = match job.finished {
            Some(at) => format!("ended {at}"),
            None if self.worker_lives => "runs".into(),
            None => "its worker has died; the next hook sees to it".into(),
        };
        writeln!(f, "job {}: {reason}, since {}, {state}", job.id, job.started)?;
        for Build { target, phase, hampered, since, resources } in &job.builds {
            let reason = hampered.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
            line(f, format_args!("  {target}: {}{reason}, since {since}", describe(phase)))?;
            resources.iter().try_for_each(|resource| line(f, format_args!("    {resource}")))?;
        }
        job.failures.iter().try_for_each(|failure| line(f, format_args!("  failed: {failure}")))
    }
}

/// `failing: noble-x64 in ci-1a2b3c4d, 3 in a row, last ..., next try ...: ...`
fn write_standing(f: &mut fmt::Formatter<'_>, standing: &Standing) -> fmt::Result {
    let Standing { target, cloud, last_failure, open: Some(open), .. } = standing else { return Ok(()) };
    write!(f, "failing: ")?;
    match target {
        Some(target) => write!(f, "{target}")?,
        None => write!(f, "removing what a job has left")?,
    }
    cloud.iter().try_for_each(|cloud| write!(f, " in {cloud}"))?;
    write!(f, ", {} in a row", open.in_row)?;
    last_failure.iter().try_for_each(|at| write!(f, ", last {at}"))?;
    let messages: Vec<&str> = open.failures.iter().map(|failure| failure.message.as_str()).collect();
    line(f, format_args!(", next try {}: {}", open.next_try(), messages.join("; ")))
}

/// A line that may quote what a cloud has said.
fn line(f: &mut fmt::Formatter<'_>, text: fmt::Arguments<'_>) -> fmt::Result {
    writeln!(f, "{}", printable_line(&text.to_string()))
}

fn describe(phase: &Phase) -> String {
    // The journal's own word for it: what is found here is found there.
    let word =
        serde_json::to_value(phase).ok().and_then(|value| Some(value.get("name")?.as_str()?.to_owned()));
    let word = word.unwrap_or_default().replace('_', " ");
    match phase {
        Phase::Installing { step, number, of } => format!("{word}: {step}, {number} of {of}"),
        _ => word,
    }
}
