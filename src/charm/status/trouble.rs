//! What has failed and not succeeded since: what, why, and when it is tried again.

use std::cmp::Reverse;

use super::text::{Problem, shortened};
use crate::charm::state::CharmState;
use crate::model::{Cause, Target};
use crate::record::{CloudName, Failure, Journal, OpenFailure, Remedy, Standing, TaskKind};

/// The longest name of a project or application in a status, in bytes.
const NAME: usize = 24;

/// The failure that a status tells: what an operator can mend comes first, then what failed last.
pub struct Trouble<'a> {
    /// Who can mend it.
    pub remedy: Remedy,
    /// What all open failures say, in full.
    pub messages: Vec<&'a str>,
    /// What is told of it.
    pub problem: Problem<'a>,
}

/// What is failing of what this unit does, with the configuration of now: a job of another one has nothing to say.
pub fn open_failures<'a>(
    state: &'a CharmState,
    journal: &'a Journal,
) -> impl Iterator<Item = (&'a Standing, &'a OpenFailure)> {
    let task = if state.leader { TaskKind::Build } else { TaskKind::TakeOver };
    let digests = state.run.failure_digests();
    let failing = [task, TaskKind::CleanUp].into_iter().flat_map(|task| journal.failing(&state.run, task));
    failing.filter(move |(_, open)| open.is_of(&digests))
}

impl<'a> Trouble<'a> {
    /// What there is to tell; nothing while a job runs, whose progress is told.
    pub fn of(state: &'a CharmState, journal: &'a Journal) -> Option<Self> {
        if journal.running().is_some() {
            return None;
        }
        let mut failing: Vec<_> = open_failures(state, journal).collect();
        failing.sort_by_key(|(standing, _)| Reverse(standing.last_failure));
        // That a project cannot be reached concerns each target, and is told once.
        let mut failures: Vec<(&Standing, &OpenFailure, &Failure)> = Vec::new();
        for (standing, open) in failing {
            for failure in &open.failures {
                if !failures.iter().any(|(_, _, known)| known.says_the_same(failure)) {
                    failures.push((standing, open, failure));
                }
            }
        }
        let for_operator = |failure: &&(_, _, &Failure)| failure.2.remedy == Remedy::Operator;
        let (standing, _, failure) = *failures.iter().find(for_operator).or(failures.first())?;
        let (cause, advice) = failure.cause_and_remedy();
        let is_same = |other: &&(&Standing, _, &Failure)| {
            (&other.2.cloud, other.2.cause_and_remedy()) == (&failure.cloud, (cause, advice))
                && other.0.task == standing.task
                && other.2.target.is_some() == failure.target.is_some()
        };
        let same: Vec<_> = failures.iter().filter(is_same).collect();
        let is_tried = !state.paused || standing.task == TaskKind::CleanUp;
        let next_try = same.iter().map(|(_, open, _)| open.next_try()).min().filter(|_| is_tried);
        let (what, place) = subject(state, standing.task, failure, same.len());
        Some(Self {
            remedy: failure.remedy,
            messages: failures.iter().map(|(_, _, failure)| failure.message.as_str()).collect(),
            problem: Problem {
                what,
                place,
                cause: cause_in_place(state, failure, cause),
                next: next_try.map(|at| format!("next try {}", at.time_of_day())),
                advice,
                others: failures.len() - same.len(),
                action: "history",
            },
        })
    }
}

/// What has failed, and where: `jammy-x64 build`, `3 builds`, `noble-x64 delivery to ` and `app (project)`.
fn subject(state: &CharmState, task: TaskKind, failure: &Failure, count: usize) -> (String, String) {
    let related = failure.cloud.as_ref().filter(|cloud| state.run.clouds.contains(cloud));
    let (one, many) = match (task, related) {
        (TaskKind::TakeOver, _) => ("check of the leader's image", "checks of the leader's images"),
        (TaskKind::CleanUp, _) => ("removing orphans", "removing orphans"),
        (_, Some(_)) => ("delivery", "deliveries"),
        (_, None) => ("build", "builds"),
    };
    let what = match failure.target {
        _ if count > 1 => format!("{count} {many}"),
        Some(target) if names(state, target) => format!("{target} {one}"),
        _ => one.to_owned(),
    };
    match (task, &failure.cloud, related) {
        (TaskKind::CleanUp, Some(cloud), _) => (format!("{what} in "), place(state, cloud)),
        (TaskKind::Build, _, Some(cloud)) => (format!("{what} to "), place(state, cloud)),
        _ => (what, String::new()),
    }
}

/// Whether a target has to be named: where there is only one, the rest of the status does so.
fn names(state: &CharmState, target: Target) -> bool {
    state.run.targets.len() != 1 || !state.run.targets.contains(&target)
}

/// `instance quota exhausted in project builders`: services do not name the project.
fn cause_in_place(state: &CharmState, failure: &Failure, cause: &str) -> String {
    let is_of_build_project = failure.cloud.as_ref().is_none_or(|cloud| *cloud == state.run.build_cloud);
    if failure.cause != Cause::Quota || !is_of_build_project {
        return cause.to_owned();
    }
    format!("{cause} in {}", place(state, &state.run.build_cloud))
}

/// Whether an application is one of another model, of which Juju tells no more than `remote-` and a token: a name that no
/// operator knows.
fn is_of_another_model(application: &str) -> bool {
    let token = application.strip_prefix("remote-").unwrap_or_default();
    token.len() == 32 && token.chars().all(|c| c.is_ascii_hexdigit())
}

/// `upload-runners (ci)` for an application and its project, `another model (ci)` where the application is there, `project
/// builders` for the build project.
pub fn place(state: &CharmState, cloud: &CloudName) -> String {
    let name = |name: &str| shortened(name, NAME);
    if let Some((id, relation)) = state.relations.iter().find(|(_, relation)| relation.cloud == *cloud) {
        let application = match relation.application.as_deref() {
            Some(application) if is_of_another_model(application) => "another model",
            Some(application) => application,
            None => id.as_str(),
        };
        return format!("{} ({})", name(application), name(&relation.config.project_name));
    }
    match state.clouds.get(cloud) {
        Some(config) if !config.project_name.is_empty() => format!("project {}", name(&config.project_name)),
        Some(_) if *cloud == state.run.build_cloud => "the build project".to_owned(),
        _ => cloud.to_string(),
    }
}
