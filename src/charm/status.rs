//! The unit's status, a pure function of configuration, relations and journal.

mod runner;

use std::cmp::Reverse;
use std::time::Duration;

pub use self::runner::with_runners;
use super::options::InvalidOption;
use super::state::CharmState;
use crate::builder::{PIN_AGE, Schedule};
use crate::juju::Status;
use crate::model::Timestamp;
use crate::record::{Failure, Findings, Job, Journal, Phase, Reason, Remedy, TaskKind};

/// `juju status` shows about this much of a message.
const LENGTH: usize = 400;

/// What is said while builds are not to be started.
const PAUSED: &str = "Paused: no builds are started. Set paused=false to go on.";

/// What is said while nothing is built, but something removed.
const REMOVING: &str = "Removing what a job has left.";

/// What the unit shows while its configuration is refused.
pub fn invalid(reason: &InvalidOption) -> Status {
    Status::Blocked(cut(reason.to_string()))
}

/// What the unit shows while its machine does not let it work.
pub fn machine_in_trouble(remedy: &str) -> Status {
    Status::Blocked(cut(format!("The unit cannot work: {remedy}.")))
}

/// What the unit shows.
pub fn status(state: &CharmState, journal: &Journal, findings: Option<&Findings>) -> Status {
    if state.relations.is_empty() {
        let why = match refused(state).next() {
            Some(first) => format!(" {first}."),
            None if state.relation_ids.is_empty() => String::new(),
            None => " The related application has not given its OpenStack credentials yet.".to_owned(),
        };
        let check = check(state, findings, "").map(|text| format!(" {text}")).unwrap_or_default();
        return Status::Blocked(cut(format!("image integration required.{why}{check}")));
    }
    let trouble = trouble(state, journal);
    let check = check(state, findings, trouble.as_ref().map_or("", |(_, text)| text));
    if !state.leader {
        let mut parts = ages(state, journal);
        parts.extend(pins(state));
        parts.extend(revoked(state, journal));
        parts.push("Standing by; the leader builds.".into());
        parts.extend(trouble.map(|(_, text)| text));
        parts.extend(refused(state));
        parts.extend(left_behind(state, journal));
        return Status::Active(cut(parts.join("; ")));
    }
    let progress = journal.running().map(progress);
    let mut published = ages(state, journal);
    if published.is_empty() {
        let with_leftovers = |text: String| {
            let more = refused(state).map(|refused| format!("{refused}.")).chain(left_behind(state, journal));
            cut([text].into_iter().chain(more).collect::<Vec<_>>().join(" "))
        };
        return match (progress, trouble) {
            (Some(progress), _) => {
                let parts = [progress].into_iter().chain(check).chain(refused(state));
                Status::Maintenance(cut(parts.collect::<Vec<_>>().join("; ")))
            }
            (None, _) if state.paused => Status::Blocked(PAUSED.into()),
            (None, Some((Remedy::Operator, text))) => Status::Blocked(with_leftovers(text)),
            (None, _) if check.is_some() => Status::Blocked(with_leftovers(check.unwrap_or_default())),
            (None, Some((_, text))) => Status::Maintenance(with_leftovers(text)),
            (None, None) => match revoked(state, journal).next() {
                Some(revoked) => Status::Blocked(with_leftovers(revoked)),
                None => Status::Maintenance(with_leftovers("Waiting for first image.".into())),
            },
        };
    }
    published.extend(pins(state));
    let is_idle = progress.is_none() && trouble.is_none() && check.is_none() && !state.paused;
    published.extend(revoked(state, journal));
    published.extend(is_idle.then(|| next_look(state)));
    published.extend(progress);
    published.extend(check);
    published.extend(trouble.map(|(_, text)| text));
    published.extend(state.paused.then(|| PAUSED.to_owned()));
    published.extend(refused(state));
    published.extend(left_behind(state, journal));
    Status::Active(cut(published.join("; ")))
}

/// `next look 14:15Z`: a time and no span, so that a status stays as it is until it comes.
fn next_look(state: &CharmState) -> String {
    let owner = &state.run.owner;
    let schedule = Schedule::of(&format!("{}/{}", owner.application, owner.unit), state.build_interval);
    format!("next look {}", schedule.next_after(Timestamp::now()).time_of_day())
}

/// The newest image of each wanted target that has one, and its age.
fn ages(state: &CharmState, journal: &Journal) -> Vec<String> {
    let newest = state.run.targets.iter().filter_map(|target| {
        let images = state.run.clouds.iter().filter_map(|cloud| journal.image(*target, cloud));
        images.map(|image| (image.built, *target)).max()
    });
    let held = |target| journal.levers.pin_of(target).map_or("", |_| ", pinned");
    let ages = newest.map(|(built, target)| format!("{target} {} old{}", age(built.age()), held(target)));
    ages.collect()
}

/// The targets of which relations are told nothing, since what there was is revoked.
fn revoked(state: &CharmState, journal: &Journal) -> impl Iterator<Item = String> {
    let untold = state
        .run
        .targets
        .iter()
        .filter(|target| !journal.images.iter().any(|image| image.target() == **target));
    untold.filter_map(|target| {
        let last = journal.levers.revoked.iter().rev().find(|known| known.target == *target)?;
        Some(format!("{target} revoked ({}), and no other build is kept: run action `run`", last.reason))
    })
}

/// `noble pinned to 20261115`, for each base that is not built on its newest release, and for how long it has been so where
/// that is too long.
fn pins(state: &CharmState) -> impl Iterator<Item = String> {
    state.run.base_image.pins.iter().map(|(base, date)| {
        let pinned = format!("{base} pinned to {date}");
        match date.day().age() {
            long if long > PIN_AGE => {
                format!("{pinned}, {} ago: set base-image for security updates", age(long))
            }
            _ => pinned,
        }
    })
}

/// `Building noble-x64: installing packages, 3 of 9, 4 min`, for the target that is furthest behind.
pub fn progress(job: &Job) -> String {
    if matches!(job.reason, Some(Reason::Cancel | Reason::Abandoned)) {
        return REMOVING.into();
    }
    let working = job.builds.iter().filter(|build| !build.phase.is_over() && build.phase != Phase::Waiting);
    let Some(build) = working.min_by_key(|build| build.since) else {
        return match job.reason {
            Some(Reason::Orphans) => REMOVING.into(),
            _ => "Building image.".into(),
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
        all => format!(
            " ({} of {all} images done)",
            job.builds.iter().filter(|build| build.phase.is_over()).count()
        ),
    };
    format!("Building {}: {step}, {}{others}", build.target, age(build.since.age()))
}

/// What has failed and not succeeded since, and who can mend it: what the operator can mend comes first, then what failed
/// last.
fn trouble(state: &CharmState, journal: &Journal) -> Option<(Remedy, String)> {
    // While a job runs its progress is told.
    if journal.running().is_some() {
        return None;
    }
    let task = if state.leader { TaskKind::Build } else { TaskKind::TakeOver };
    let failing = [task, TaskKind::CleanUp].into_iter().flat_map(|task| journal.failing(&state.run, task));
    // A job of another configuration has nothing to say about this one.
    let digest = state.run.digest();
    let mut failing: Vec<_> = failing.filter(|(_, open)| open.config_digest == digest).collect();
    failing.sort_by_key(|(standing, _)| Reverse(standing.last_failure));
    // That a project cannot be reached concerns each target, and is told once.
    let mut failures: Vec<&Failure> = Vec::new();
    for failure in failing.iter().flat_map(|(_, open)| &open.failures) {
        if !failures.contains(&failure) {
            failures.push(failure);
        }
    }
    let first = failures.iter().find(|failure| failure.remedy == Remedy::Operator).or(failures.first())?;
    let more = match failures.len() {
        1 => String::new(),
        count => format!(" (and {} more, see the unit's log)", count - 1),
    };
    let next = match (first.remedy, failing.iter().map(|(_, open)| open.next_try()).min()) {
        (Remedy::Operator, _) | (_, None) => String::new(),
        (_, Some(at)) => format!(" Next try {}.", at.time_of_day()),
    };
    let what = if state.leader { "Build" } else { "Last job" };
    Some((first.remedy, format!("{what} failed: {}{more}.{next}", first.to_string().trim_end_matches('.'))))
}

/// What a check has found to stop the next build or delivery, unless a job has failed with just that, which is `told`.
fn check(state: &CharmState, findings: Option<&Findings>, told: &str) -> Option<String> {
    let digest = state.run.digest();
    let failures = findings.filter(|_| state.leader)?.failures(&digest);
    let mut failures = failures.filter(|failure| !told.contains(failure.text.trim_end_matches('.')));
    let first = failures.next()?.told();
    Some(match failures.count() {
        0 => format!("Check failed: {first}"),
        more => format!("Check failed: {first} (and {more} more, run the action check)"),
    })
}

/// The relations that get no image, and why; the others are served.
fn refused(state: &CharmState) -> impl Iterator<Item = String> {
    state.refused.iter().map(|(id, why)| format!("{id} is not used: {why}"))
}

/// What had to stay in a cloud that is not used any more.
fn left_behind(state: &CharmState, journal: &Journal) -> impl Iterator<Item = String> {
    journal.left_behind(&state.run).map(|leftovers| format!("Left in {leftovers}"))
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

#[cfg(test)]
mod tests;
