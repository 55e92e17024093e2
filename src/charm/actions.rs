//! The operator's actions.

mod answer;
pub mod cancel;
pub mod check;
pub mod clean_up;
mod decisions;
pub mod history;
pub mod image_list;
pub mod launch;
pub mod levers;
pub mod provenance;
mod run;
pub mod show_image;
pub mod signing_keys;
pub mod spdx;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::options::InvalidOption;
use super::reconcile::Demand;
use super::state::CharmState;
use super::status;
use crate::host::{FileError, Host};
use crate::juju::HookToolError;
use crate::model::{Backoff, BaseImage, Deadline, Target, poll};
use crate::record::{CloudName, JobId, Journal, Reason, Rebuild, RecordError, Request, worker_lives};

/// How long an action follows a job at most: `juju run` itself gives up after 60 s, and the unit runs nothing else.
pub const WAIT: Duration = Duration::from_secs(50);
/// How often the journal is looked into.
const LOOK: Duration = Duration::from_secs(1);
/// What `run` says when no image is due by its age.
const NOTHING_DUE: &str = "No image is due because of its age: an image is built only if its base image, runner, recipe or \
                           script has changed, or if it lacks a security fix. Set force=true to build images that are up to \
                           date.";
/// How many looks a worker may take to start.
const START: u32 = 30;

/// The parameters of action `run`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunParameters {
    /// What to build.
    pub demand: Demand,
    /// Whether to follow the job to its end.
    pub wait: bool,
}

impl RunParameters {
    /// Parses what `action-get` gives.
    pub fn parse(parameters: &BTreeMap<String, Value>) -> Result<Self, InvalidOption> {
        let flag = |name: &str| parameters.get(name).and_then(Value::as_bool).unwrap_or(false);
        let bases = parameters.get("bases").and_then(Value::as_str).unwrap_or_default();
        let bases = bases.split(',').map(str::trim).filter(|word| !word.is_empty()).map(|word| {
            BaseImage::parse(word).ok_or_else(|| InvalidOption::new(format!("Invalid bases: ({word}).")))
        });
        let rebuild = if flag("force") { Rebuild::Always } else { Rebuild::Due };
        Ok(Self { demand: Demand { rebuild, bases: bases.collect::<Result<_, _>>()? }, wait: flag("wait") })
    }

    /// What an operator should know who asks for what is due while no image is due by its age.
    pub fn hint(&self, state: &CharmState, journal: &Journal) -> Option<&'static str> {
        let max_age = state.run.max_image_age();
        let bases = &self.demand.bases;
        let mut targets =
            state.run.targets.iter().filter(|target| bases.is_empty() || bases.contains(&target.base));
        let is_young = |target: &Target, cloud: &CloudName| {
            let image = journal.image(*target, cloud);
            image.is_some_and(|image| image.revision.is_some() && image.built.age() <= max_age)
        };
        let nothing_is_due =
            targets.all(|target| state.run.clouds.iter().all(|cloud| is_young(target, cloud)));
        (self.demand.rebuild == Rebuild::Due && nothing_is_due).then_some(NOTHING_DUE)
    }

    /// Why a unit that builds `targets` does not do it: it would do nothing for a base that it does not build.
    pub fn refusal(&self, targets: &[Target]) -> Option<String> {
        let mut configured: Vec<&str> = targets.iter().map(|target| target.base.as_str()).collect();
        configured.dedup();
        let is_unknown = |base: &&BaseImage| !configured.contains(&base.as_str());
        let unknown: Vec<&str> =
            self.demand.bases.iter().filter(is_unknown).map(|base| base.as_str()).collect();
        (!unknown.is_empty()).then(|| {
            format!(
                "Not configured: {}. The option base-image has {}.",
                unknown.join(", "),
                configured.join(", ")
            )
        })
    }
}

/// Following a job did not work.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// A hook tool failed.
    #[error(transparent)]
    Juju(#[from] HookToolError),
    /// The journal or the request could not be read.
    #[error(transparent)]
    Journal(#[from] RecordError),
    /// The worker's lock could not be looked at.
    #[error(transparent)]
    File(#[from] FileError),
}

/// What came of following a job.
#[derive(Debug)]
pub enum Followed {
    /// It has ended; the journal tells how.
    Ended(Box<Journal>),
    /// Somebody has cancelled it.
    Cancelled,
    /// Nobody works at it: its worker has died.
    Orphaned,
    /// It goes on, longer than we may wait.
    TimeIsUp,
}

/// Follows `job` in the journal and gives its progress to `show`. A job whose request was replaced by a
/// newer one before a worker took it up is done with that one.
pub fn follow(
    host: &Host,
    job: &JobId,
    deadline: Deadline,
    show: &mut dyn FnMut(&str) -> Result<(), HookToolError>,
) -> Result<Followed, FollowError> {
    let (mut job, mut shown, mut lonely) = (job.clone(), String::new(), 0);
    let followed = poll(Backoff::steady(LOOK), deadline, || {
        let lives = worker_lives(host)?;
        let (request, journal) = (Request::load(host)?, Journal::load(host)?);
        match journal.job.as_ref().filter(|current| current.id == job) {
            Some(current) if current.finished.is_some() => {
                return Ok(Some(Followed::Ended(Box::new(journal))));
            }
            Some(current) => {
                // The line without its clock: a step is shown once.
                let progress = status::progress(current);
                let step = progress.rsplit_once(", ").map_or(progress.as_str(), |(step, _)| step);
                if shown != step {
                    show(&progress)?;
                    shown = step.to_owned();
                }
            }
            None => match request {
                Some(newest) if newest.reason == Reason::Cancel && newest.id != job => {
                    return Ok(Some(Followed::Cancelled));
                }
                newest => newest.into_iter().for_each(|newest| job = newest.id),
            },
        }
        // One that has just been started holds no lock yet.
        lonely = if lives { 0 } else { lonely + 1 };
        Ok::<_, FollowError>((lonely > START).then_some(Followed::Orphaned))
    })?;
    Ok(followed.unwrap_or(Followed::TimeIsUp))
}

/// All that the last job could not do, in one line.
pub fn failures(journal: &Journal) -> Option<String> {
    let failures: Vec<String> =
        journal.job.iter().flat_map(|job| &job.failures).map(ToString::to_string).collect();
    (!failures.is_empty()).then(|| failures.join("; "))
}
