//! What is due: whether a worker has something to do after an event, what, and why.

use super::event::Event;
use super::reconcile::{Demand, is_of_script, is_open, is_orphaned};
use super::state::CharmState;
use crate::model::{BaseImage, Timestamp};
use crate::record::{
    CloudName, JobId, Journal, OpenFailure, Reason, Rebuild, Remedy, Request, Task, TaskKind, Upstream,
};

/// How many earlier jobs a request goes on with at most.
const MANY: usize = 20;

/// The clean-up after a worker that died, or could not remove all, when nothing is to be built that would begin with it.
pub(super) fn abandoned(state: &CharmState, journal: &Journal, worker_lives: bool) -> Option<Due> {
    let next_try = journal.next_try(&state.run, TaskKind::CleanUp);
    let is_time = next_try.is_none_or(|at| at <= Timestamp::now());
    // While builds are merely paused, a finished snapshot may wait.
    let left = match state.paused {
        true => journal.is_building() || journal.is_preparing(),
        false => journal.left_something(),
    };
    let leaves = !journal.clouds_to_leave(&state.run).is_empty();
    let shares = state.leader && journal.has_former_members(&state.run);
    ((((left || shares) && is_time) || leaves) && !worker_lives)
        .then(|| Due { task: Task::CleanUp, ..Due::whatever(Reason::Abandoned) })
}

/// Why a hook runs: what it brings may mend what has failed.
#[derive(Clone, Copy)]
pub struct Occasion<'a> {
    /// The event.
    pub event: &'a Event,
    /// The clouds that have other credentials than before.
    pub new_credentials: &'a [CloudName],
    /// The cloud that is meant where a failure names none.
    pub build_cloud: &'a CloudName,
}

impl Occasion<'_> {
    /// Whether what `open` is about may just have been mended. What one project brings mends nothing of another.
    fn may_have_mended(&self, open: &OpenFailure) -> bool {
        let is_for_operator = || open.failures.iter().any(|failure| failure.remedy == Remedy::Operator);
        let brings = matches!(self.event, Event::ConfigChanged | Event::SecretChanged { .. });
        let has_credentials = |cloud: &CloudName| self.new_credentials.contains(cloud);
        let is_of_cloud =
            || open.failures.iter().any(|failure| failure.cloud.as_ref().is_some_and(has_credentials));
        (brings || is_of_cloud()) && is_for_operator() || self.brings_secrets_for(open)
    }

    /// Whether it has failed with a password, a token or variables of the script that are others now.
    fn brings_secrets_for(&self, open: &OpenFailure) -> bool {
        let is_secret = matches!(self.event, Event::SecretChanged { .. });
        (is_secret && open.depends_on_secrets())
            || open.depends_on_credentials(self.new_credentials, self.build_cloud)
    }

    /// Why what `open` lists is tried again: with other secrets, or since it is time.
    pub(super) fn reason_to_retry<'a>(&self, mut open: impl Iterator<Item = &'a OpenFailure>) -> Reason {
        if open.any(|open| self.brings_secrets_for(open)) { Reason::Secret } else { Reason::Retry }
    }
}

/// What the worker is to be asked for, and why.
pub(super) struct Due {
    /// Why.
    pub(super) reason: Reason,
    /// What.
    pub(super) task: Task,
    /// How much of it.
    pub(super) demand: Demand,
    /// The jobs that it goes on with.
    pub(super) continues: Vec<JobId>,
}

impl Due {
    /// What changed or grew old.
    pub(super) fn whatever(reason: Reason) -> Self {
        let demand = Demand { rebuild: Rebuild::Due, bases: Vec::new() };
        Self { reason, task: Task::Build, demand, continues: Vec::new() }
    }

    /// What `last` has asked for, from where it has come to, with the secrets of now.
    fn again(reason: Reason, last: &Request) -> Self {
        // What the oldest have built has grown old since.
        let earlier = last.continues.iter().rev().take(MANY).rev();
        Self {
            reason,
            task: last.task.clone(),
            demand: Demand { rebuild: last.rebuild, bases: last.bases.clone() },
            continues: earlier.chain([&last.id]).cloned().collect(),
        }
    }
}

/// What the leader's worker is to be asked for on `occasion`, when it may build; `last` is what it was asked last.
pub(super) fn due(
    state: &CharmState,
    (journal, upstream): (&Journal, &Upstream),
    occasion: Occasion<'_>,
    last: Option<&Request>,
    worker_lives: bool,
    is_rebuild_owed: bool,
) -> Option<Due> {
    let event = occasion.event;
    if is_rebuild_owed || matches!(event, Event::SecretChanged { id } if is_of_script(state, id)) {
        let demand = Demand { rebuild: Rebuild::Always, bases: Vec::new() };
        return Some(Due { demand, ..Due::whatever(Reason::Secret) });
    }
    let Some(last) = last else { return Some(Due::whatever(Reason::Configuration)) };
    // After a clean-up only, what was being built still is to be.
    if last.config.digest() != state.run.digest() || last.reason == Reason::Abandoned {
        return Some(Due::whatever(Reason::Configuration));
    }
    if is_open(last, journal) {
        return is_orphaned(last, journal, worker_lives).then(|| Due::again(last.reason, last));
    }
    if upstream.has_news_for(&state.run.targets, last) {
        return Some(Due::whatever(Reason::Release));
    }
    if state.run.rebuild_on.security() && upstream.has_fixes_for(&state.run.targets, journal, last) {
        return Some(Due::whatever(Reason::Security));
    }
    if *event == Event::Scheduled {
        return Some(Due::whatever(Reason::Schedule));
    }
    let cleans_up = last.task == Task::CleanUp
        && journal.failing(&state.run, TaskKind::CleanUp).any(|(_, open)| is_due(open, occasion));
    if cleans_up || has_lost_secrets(journal) {
        return Some(Due::again(last.reason, last));
    }
    if let Some(retry) = retry(state, journal, occasion) {
        return Some(retry);
    }
    // Every job begins with what is left in clouds that are not used any more; one that failed is tried again anyway.
    let fails = [TaskKind::Build, TaskKind::CleanUp]
        .into_iter()
        .any(|task| journal.failing(&state.run, task).next().is_some());
    let leaves = !fails && !journal.clouds_to_leave(&state.run).is_empty();
    // A worker that has died at what follows its job has left a VM.
    let leaves = leaves || (journal.is_preparing() && !worker_lives);
    leaves.then(|| Due::whatever(Reason::Orphans))
}

/// The delivery of what operators have chosen, after each of their decisions: each project is looked at, and served with
/// what it lacks. While builds are paused, also with each look for work.
pub(super) fn chosen(
    state: &CharmState,
    journal: &Journal,
    event: &Event,
    last: Option<&Request>,
) -> Option<Due> {
    let levers = &journal.levers;
    let choices = levers.choices(journal, &state.run);
    if choices.is_empty() || last.is_some_and(|last| is_open(last, journal)) {
        return None;
    }
    let was_asked = last.is_some_and(|last| {
        last.at > levers.changed || (last.at == levers.changed && last.task == Task::Serve)
    });
    let is_due = !was_asked || (state.paused && *event == Event::Scheduled);
    let reason = if was_asked { Reason::Schedule } else { Reason::Action };
    is_due.then(|| Due { task: Task::Serve, ..Due::whatever(reason) })
}

/// Another try at the builds and deliveries that have failed and whose time has come. Those that are owed a rebuild come
/// first: the others would be rebuilt along with them.
fn retry(state: &CharmState, journal: &Journal, occasion: Occasion<'_>) -> Option<Due> {
    let failing = journal.failing(&state.run, TaskKind::Build).filter(|(_, open)| is_due(open, occasion));
    let (owed, others): (Vec<_>, Vec<_>) = failing.partition(|(_, open)| open.rebuild == Rebuild::Always);
    let (rebuild, due) = if owed.is_empty() { (Rebuild::Due, others) } else { (Rebuild::Always, owed) };
    if due.is_empty() {
        return None;
    }
    let concerns = |base: &BaseImage| {
        due.iter().any(|(standing, _)| standing.target.is_some_and(|target| target.base == *base))
    };
    let mut bases: Vec<BaseImage> = Vec::new();
    let mut is_about_all = true;
    for base in state.run.targets.iter().map(|target| target.base) {
        if !concerns(&base) {
            is_about_all = false;
        } else if !bases.contains(&base) {
            bases.push(base);
        }
    }
    if is_about_all {
        bases.clear();
    }
    let mut continues: Vec<JobId> = Vec::new();
    for job in due.iter().flat_map(|(_, open)| &open.jobs) {
        if !continues.contains(job) {
            continues.push(job.clone());
        }
    }
    let demand = Demand { rebuild, bases };
    let reason = occasion.reason_to_retry(due.iter().map(|(_, open)| *open));
    Some(Due { reason, task: Task::Build, demand, continues })
}

/// Whether the last job came to nothing since its secrets were lost with its worker: a hook brings them again.
pub(super) fn has_lost_secrets(journal: &Journal) -> bool {
    journal.job.iter().flat_map(|job| &job.failures).any(|failure| failure.remedy == Remedy::Hook)
}

/// Whether it is time to try again.
pub(super) fn is_due(open: &OpenFailure, occasion: Occasion<'_>) -> bool {
    occasion.may_have_mended(open) || open.next_try() <= Timestamp::now()
}
