//! The unit's status, a pure function of configuration, relations and journal.

use std::time::Duration;

use super::options::InvalidOption;
use super::state::CharmState;
use crate::builder::{Failure, Job, Journal, Phase, Remedy, Timestamp};
use crate::juju::Status;

/// `juju status` shows about this much of a message.
const LENGTH: usize = 400;

/// What the unit shows while its configuration is refused.
pub fn invalid(reason: &InvalidOption) -> Status {
    Status::Blocked(cut(reason.to_string()))
}

/// What the unit shows.
pub fn status(state: &CharmState, journal: &Journal) -> Status {
    if state.relations.is_empty() {
        let message = if state.relation_ids.is_empty() {
            "image integration required."
        } else {
            "image integration required. The related application has not given its OpenStack credentials yet."
        };
        return Status::Blocked(message.into());
    }
    if !state.leader {
        return Status::Active("Standing by; the leader builds.".into());
    }
    let progress = journal.running().map(progress);
    let trouble = trouble(state, journal);
    let newest = state.run.targets.iter().filter_map(|target| {
        let images = state.run.clouds.iter().filter_map(|cloud| journal.image(*target, cloud));
        images.map(|image| (image.built, *target)).max()
    });
    let mut published: Vec<String> =
        newest.map(|(built, target)| format!("{target} {} old", age(built.age()))).collect();
    if published.is_empty() {
        return match (progress, trouble) {
            (Some(progress), _) => Status::Maintenance(cut(progress)),
            (None, Some((Remedy::Operator, text))) => Status::Blocked(cut(text)),
            (None, Some((_, text))) => Status::Maintenance(cut(text)),
            (None, None) => Status::Maintenance("Waiting for first image.".into()),
        };
    }
    published.extend(progress);
    published.extend(trouble.map(|(_, text)| text));
    Status::Active(cut(published.join("; ")))
}

/// `Building noble-x64: installing packages, 3 of 9, 4 min`, for the target that is furthest behind.
pub fn progress(job: &Job) -> String {
    let working = job.builds.iter().filter(|build| {
        !matches!(build.phase, Phase::Waiting | Phase::Done | Phase::UpToDate | Phase::Failed)
    });
    let Some(build) = working.min_by_key(|build| build.since) else { return "Building image.".into() };
    let step = match &build.phase {
        Phase::Checking => "looking for changes".to_owned(),
        Phase::Preparing => "preparing base image".to_owned(),
        Phase::Launching => "launching builder VM".to_owned(),
        Phase::Installing { step, number, of } => format!("{step}, {number} of {of}"),
        Phase::Snapshotting => "taking snapshot".to_owned(),
        Phase::Delivering => "delivering image".to_owned(),
        Phase::Waiting | Phase::Done | Phase::UpToDate | Phase::Failed => "waiting".to_owned(),
    };
    let others = match job.builds.len() {
        0 | 1 => String::new(),
        all => format!(
            " ({} of {all} images done)",
            job.builds.iter().filter(|build| is_over(&build.phase)).count()
        ),
    };
    format!("Building {}: {step}, {}{others}", build.target, age(build.since.age()))
}

fn is_over(phase: &Phase) -> bool {
    matches!(phase, Phase::Done | Phase::UpToDate | Phase::Failed)
}

/// What the last job could not do, and who can mend it: what the operator can mend comes first.
fn trouble(state: &CharmState, journal: &Journal) -> Option<(Remedy, String)> {
    let job = journal.job.as_ref()?;
    // A job of another configuration has nothing to say about this one.
    let current = job.finished.is_some() && job.config_digest == state.run.digest();
    let failures: Vec<&Failure> = job.failures.iter().filter(|_| current).collect();
    let first = failures.iter().find(|failure| failure.remedy == Remedy::Operator).or(failures.first())?;
    let subject = match (&first.target, &first.cloud) {
        (Some(target), Some(cloud)) => format!("{target} for {cloud}: "),
        (Some(target), None) => format!("{target}: "),
        (None, Some(cloud)) => format!("{cloud}: "),
        (None, None) => String::new(),
    };
    let more = match failures.len() {
        1 => String::new(),
        count => format!(" (and {} more, see the unit's log)", count - 1),
    };
    let next = match (first.remedy, journal.retry_at()) {
        (Remedy::Operator, _) | (_, None) => String::new(),
        (_, Some(at)) => {
            format!(" Next try in {}.", age(Duration::from_secs(at.0.saturating_sub(Timestamp::now().0))))
        }
    };
    Some((
        first.remedy,
        format!("Build failed: {subject}{}{more}.{next}", first.message.trim_end_matches('.')),
    ))
}

fn age(age: Duration) -> String {
    match age.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

fn cut(mut text: String) -> String {
    if text.len() > LENGTH {
        text.truncate(text.floor_char_boundary(LENGTH - 3));
        text.push_str("...");
    }
    // One line: Juju shows a status in a table.
    text.replace(['\n', '\r'], " ")
}
