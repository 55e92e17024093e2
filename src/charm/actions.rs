//! The operator's actions.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::options::InvalidOption;
use super::reconcile::Demand;
use super::status;
use crate::builder::{JobId, Journal, JournalError, Rebuild};
use crate::deadline::Deadline;
use crate::host::Host;
use crate::juju::{HookToolError, HookTools};
use crate::target::BaseImage;

/// How long `wait=true` holds the unit's turn at most.
const WAIT: Duration = Duration::from_secs(30 * 60);
/// How often it looks into the journal.
const LOOK: Duration = Duration::from_secs(1);

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
}

/// Following a job did not work.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// A hook tool failed.
    #[error(transparent)]
    Juju(#[from] HookToolError),
    /// The journal could not be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Follows `job` in the journal, shows its progress in the action's log, and returns the journal once the job has
/// ended; `None` when the time is up before that.
pub fn follow(host: &Host, tools: &dyn HookTools, job: &JobId) -> Result<Option<Journal>, FollowError> {
    let deadline = Deadline::after(WAIT);
    let mut shown = String::new();
    loop {
        let journal = Journal::load(host)?;
        if let Some(current) = journal.job.as_ref().filter(|current| current.id == *job) {
            if current.finished.is_some() {
                return Ok(Some(journal));
            }
            // The line without its clock: a step is shown once.
            let progress = status::progress(current);
            let step = progress.rsplit_once(", ").map_or(progress.as_str(), |(step, _)| step);
            if shown != step {
                tools.action_log(&progress)?;
                shown = step.to_owned();
            }
        }
        if !deadline.sleep(LOOK) {
            return Ok(None);
        }
    }
}
