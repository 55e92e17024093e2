//! How far a job is.

use super::text::span;
use crate::record::{Job, Phase, Reason};

/// What is said while nothing is built, but something removed.
const REMOVING: &str = "Removing what an earlier job left";

/// `Building noble-x64: installing packages, 3 of 9, 4 min (1 of 3 done)`, for the target that is furthest behind.
pub fn progress(job: &Job) -> String {
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
    let step = match &build.hampered {
        Some(reason) => format!("{step} ({reason})"),
        None => step,
    };
    let others = match job.builds.len() {
        0 | 1 => String::new(),
        all => {
            let done = job.builds.iter().filter(|build| build.phase.is_over()).count();
            format!(" ({done} of {all} done)")
        }
    };
    format!("Building {}: {step}, {}{others}", build.target, span(build.since.age()))
}
