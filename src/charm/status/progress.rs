//! How far a job is.

use super::text::{SHOWN, shortened, span};
use crate::record::{Job, Phase, Reason};

/// What is said while nothing is built, but something removed.
const REMOVING: &str = "Removing what an earlier job left";

/// The least that is shown of why a step takes long, in bytes.
const LEAST: usize = 12;

/// `Building noble-x64: installing packages, 3 of 9, 4 min (1 of 3 done)`, for the target that is furthest behind.
pub fn progress(job: &Job) -> String {
    progress_behind(job, 0)
}

/// The same within what `juju status` shows, where `before` bytes stand in front of it.
pub fn progress_behind(job: &Job, before: usize) -> String {
    if matches!(job.reason, Some(Reason::Cancel | Reason::Abandoned)) {
        return REMOVING.into();
    }
    let working = job.builds.iter().filter(|build| !build.phase.is_over() && build.phase != Phase::Waiting);
    let Some(build) = working.min_by_key(|build| build.since) else {
        return match job.reason {
            Some(Reason::Orphans) => REMOVING.into(),
            _ => "Building image".into(),
        };
    };
    let step = match &build.phase {
        Phase::Checking => "looking for changes".to_owned(),
        Phase::Preparing => "preparing base image".to_owned(),
        Phase::Launching => "launching builder VM".to_owned(),
        Phase::Installing { step, number, of } => format!("{step}, {number} of {of}"),
        Phase::Snapshotting => "taking snapshot".to_owned(),
        Phase::Verifying => "verifying image".to_owned(),
        Phase::Packing => "packing image".to_owned(),
        Phase::Delivering => "delivering image".to_owned(),
        Phase::Waiting | Phase::Done | Phase::UpToDate | Phase::Failed => "waiting".to_owned(),
    };
    let others = match job.builds.len() {
        0 | 1 => String::new(),
        all => {
            let done = job.builds.iter().filter(|build| build.phase.is_over()).count();
            format!(" ({done} of {all} done)")
        }
    };
    let (doing, since) = (format!("Building {}: {step}", build.target), span(build.since.age()));
    let reason = build.hampered.as_ref().map_or(String::new(), |reason| {
        let around = before + doing.len() + " ()".len() + ", ".len() + since.len() + others.len();
        format!(" ({})", shortened(reason, SHOWN.saturating_sub(around).max(LEAST)))
    });
    format!("{doing}{reason}, {since}{others}")
}
