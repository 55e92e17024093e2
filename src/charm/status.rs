//! The unit's status for one glance, a pure function of configuration, relations, journal and findings of checks. The
//! gravest comes first, with its cause and next try within what `juju status` shows; several images are counted; times
//! are times of day, so that a status changes only when something does. The rest is for the actions `list-images`,
//! `check` and `history`.

mod images;
mod progress;
mod runner;
pub mod shown;
mod text;
mod trouble;

use self::images::{Detail, images, pinned};
pub use self::progress::progress;
use self::progress::progress_behind;
pub use self::runner::with_runners;
use self::text::{Problem, age, cut, sentence, short_names, shortened};
use self::trouble::{Trouble, place};
use super::options::InvalidOption;
use super::state::CharmState;
use crate::builder::{PIN_AGE, Schedule};
use crate::juju::Status;
use crate::model::Timestamp;
use crate::record::{Finding, Findings, Journal, Remedy, Revocation, SigningKeys};

/// What is said while builds are not to be started.
const PAUSED: &str = "paused, set paused=false to resume builds";

/// The longest reason of a revocation in a status, in bytes.
const REASON: usize = 40;

/// What the unit shows while its configuration is refused.
pub fn invalid(reason: &InvalidOption) -> Status {
    Status::Blocked(cut(short_names(&reason.to_string())))
}

/// What the unit shows while its machine does not let it work.
pub fn machine_in_trouble(remedy: &str) -> Status {
    Status::Blocked(cut(format!("The unit cannot work: {remedy}.")))
}

/// What the unit shows.
pub fn status(state: &CharmState, journal: &Journal, findings: Option<&Findings>) -> Status {
    if state.relations.is_empty() {
        return unrelated(state, findings);
    }
    let trouble = Trouble::of(state, journal);
    let told = trouble.iter().flat_map(|trouble| trouble.messages.iter().copied()).collect::<Vec<_>>();
    let next = (journal.running().is_none() && !state.paused).then(|| next_look(state));
    let check = check(state, findings, &told, next.clone());
    let is_well = trouble.is_none() && check.is_none();
    let images = images(state, journal, if is_well { Detail::Whole } else { Detail::Count });
    let held = pinned(state, journal).filter(|_| !is_well);
    if !state.leader {
        let head = format!("standby: {}", images.unwrap_or("no image from the leader yet".into()));
        let trouble = trouble.map(|trouble| trouble.problem.told(head.len() + "; ".len()));
        let parts = [head].into_iter().chain(trouble).chain(held).chain(revoked(state, journal));
        let parts = parts.chain(pins(state)).chain(refused(state));
        return Status::Active(sentence(parts.chain(left_behind(state, journal))));
    }
    let Some(head) = images else { return without_image(state, journal, trouble, check) };
    let before = head.len() + "; ".len();
    let progress = journal.running().map(|job| uncapitalised(progress_behind(job, before)));
    let parts = [head].into_iter().chain(trouble.map(|trouble| trouble.problem.told(before)));
    let parts = parts.chain(progress).chain(check.map(|check| check.told(before)));
    let parts = parts.chain(held).chain(state.paused.then(|| PAUSED.to_owned()));
    let parts = parts.chain(revoked(state, journal)).chain(next.filter(|_| is_well)).chain(pins(state));
    Status::Active(sentence(parts.chain(refused(state)).chain(left_behind(state, journal))))
}

/// `status` with why builds are not signed, behind all that matters more.
pub fn with_signing(status: Status, state: &CharmState, keys: &SigningKeys) -> Status {
    let Some(problem) = keys.problem.as_ref().filter(|_| state.leader && !state.relations.is_empty()) else {
        return status;
    };
    let behind = |text: String| sentence([text, format!("builds are not signed: {problem}")]);
    match status {
        Status::Active(text) => Status::Active(behind(text)),
        Status::Maintenance(text) => Status::Maintenance(behind(text)),
        other => other,
    }
}

/// What the leader shows while no relation is told an image.
fn without_image(
    state: &CharmState,
    journal: &Journal,
    trouble: Option<Trouble<'_>>,
    check: Option<Problem<'_>>,
) -> Status {
    let with_rest = |first: String| {
        let rest = pins(state).chain(refused(state)).chain(left_behind(state, journal));
        sentence([first].into_iter().chain(rest))
    };
    if let Some(progress) = journal.running().map(progress) {
        let parts = [progress].into_iter().chain(check.map(|check| check.told(0)));
        return Status::Maintenance(sentence(parts.chain(refused(state))));
    }
    if state.paused {
        return Status::Blocked(with_rest(PAUSED.to_owned()));
    }
    if let Some(trouble) = trouble {
        let told = with_rest(trouble.problem.told(0));
        return match trouble.remedy {
            Remedy::Operator => Status::Blocked(told),
            Remedy::Retry | Remedy::Hook => Status::Maintenance(told),
        };
    }
    let until_next_look = |first: String| with_rest(format!("{first}; {}", next_look(state)));
    if let Some(check) = check {
        return Status::Blocked(with_rest(check.told(0)));
    }
    match revoked(state, journal).next() {
        Some(revoked) => Status::Blocked(until_next_look(revoked)),
        None => Status::Maintenance(with_rest("waiting for first image".into())),
    }
}

/// What a unit shows to which nothing is related that can be served.
fn unrelated(state: &CharmState, findings: Option<&Findings>) -> Status {
    let why = match refused(state).next() {
        Some(first) => format!(" {first}."),
        None if state.relation_ids.is_empty() => String::new(),
        None => " The related application has not given its OpenStack credentials yet.".to_owned(),
    };
    let required = format!("image integration required.{why}");
    match check(state, findings, &[], None) {
        Some(check) => {
            let check = sentence([check.told(required.len() + 1)]);
            Status::Blocked(cut(format!("{required} {check}")))
        }
        None => Status::Blocked(cut(required)),
    }
}

/// `next look 14:15Z`: a time and no span, so that a status stays as it is until it comes.
fn next_look(state: &CharmState) -> String {
    let owner = &state.run.owner;
    let schedule = Schedule::of(&format!("{}/{}", owner.application, owner.unit), state.build_interval);
    format!("next look {}", schedule.next_after(Timestamp::now()).time_of_day())
}

/// The targets whose newest build is revoked: of which relations are told nothing, since no other is kept, or an earlier build.
fn revoked(state: &CharmState, journal: &Journal) -> impl Iterator<Item = String> {
    state.run.targets.iter().filter_map(move |target| {
        let mut revoked = journal.levers.revoked.iter().rev().filter(|known| known.target == *target);
        let told = journal.images.iter().filter(|image| image.target() == *target);
        let Some(told) = told.map(|image| image.built).max() else {
            let reason = shortened(&revoked.next()?.reason, REASON);
            return Some(format!(
                "{target} revoked ({reason}) and no other build is kept, run the action run"
            ));
        };
        let is_newer =
            |known: &&Revocation| journal.revision(&known.build).is_some_and(|build| build.built > told);
        let reason = shortened(&revoked.find(is_newer)?.reason, REASON);
        Some(format!("{target} newest build revoked ({reason})"))
    })
}

/// `noble base image pinned to 20261115`, for each base that is not built on its newest release, and for how long it has
/// been so where that is too long.
fn pins(state: &CharmState) -> impl Iterator<Item = String> {
    state.run.base_image.pins.iter().map(|(base, date)| {
        let pinned = format!("{base} base image pinned to {date}");
        match date.day().age() {
            long if long > PIN_AGE => {
                format!("{pinned}, {} old, set base-image to get security updates", age(long))
            }
            _ => pinned,
        }
    })
}

/// What a check has found to stop the next build or delivery, for the leader to tell, unless a job has failed with just
/// that, as one of `told`; and when it is looked at `next`.
fn check<'a>(
    state: &CharmState,
    findings: Option<&'a Findings>,
    told: &[&str],
    next: Option<String>,
) -> Option<Problem<'a>> {
    let digest = state.run.digest();
    let is_told =
        |finding: &&'a Finding| told.iter().any(|told| told.contains(finding.text.trim_end_matches('.')));
    let failures = findings.filter(|_| state.leader)?.failures(&digest);
    let mut failures = failures.filter(|finding| !is_told(finding));
    let first = failures.next()?;
    let name = first.check.as_str();
    let (what, place) = match (&first.cloud, first.target) {
        (Some(cloud), _) if *cloud != state.run.build_cloud => {
            (format!("{name} check of "), place(state, cloud))
        }
        (_, Some(target)) => (format!("{name} check of {target}"), String::new()),
        _ => (format!("{name} check"), String::new()),
    };
    let (cause, advice) = first.cause_and_remedy();
    let (cause, others) = (cause.to_owned(), failures.count());
    Some(Problem { what, place, cause, next, advice, others, action: "check" })
}

/// The relations that get no image, and why; the others are served.
fn refused(state: &CharmState) -> impl Iterator<Item = String> {
    state.refused.iter().map(|(id, why)| format!("{id} is not used: {why}"))
}

/// What had to stay in a cloud that is not used any more.
fn left_behind(state: &CharmState, journal: &Journal) -> impl Iterator<Item = String> {
    journal.left_behind(&state.run).map(|leftovers| format!("left in {leftovers}"))
}

/// What comes behind something else begins with a small letter.
fn uncapitalised(text: String) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(characters).collect()
}

#[cfg(test)]
mod tests;
