//! Stops a job and has what it made removed: for the action `cancel`, and for people on the unit.

use super::actions::{self, Followed, failures, follow};
use super::dispatch::{DispatchError, Unit};
use super::reconcile::{self, ReconcileError};
use super::state::proxies;
use super::turn::Turn;
use crate::builder::{
    self, BuildSecrets, JobId, Journal, ProxyConfig, Reason, Rebuild, Request, Task, Timestamp,
};
use crate::deadline::Deadline;
use crate::host::Host;

/// A job that was stopped.
#[derive(Debug)]
pub struct Cancelled {
    /// Which one it was, for people.
    pub what: String,
    /// What it had made in the clouds and not published.
    pub made: Vec<String>,
    /// The job that removes this.
    pub removal: JobId,
}

/// Stops the worker and has another remove what it has made. `None` when there was nothing to cancel. Needs no
/// configuration but that of the job, so it works while the present one is refused.
pub fn cancel(host: &Host, proxies: ProxyConfig, turn: Turn) -> Result<Option<Cancelled>, ReconcileError> {
    let Some(last) = Request::load(host)? else { return Ok(None) };
    let journal = Journal::load(host)?;
    if !reconcile::is_open(&last, &journal) && !journal.left_something() {
        return Ok(None);
    }
    let what = journal.running().map_or("a job that waited".to_owned(), |job| job.id.to_string());
    builder::stop_worker(host);
    // It may have made more until then.
    let made = Journal::load(host)?.resources().map(ToString::to_string).collect();
    let secrets = BuildSecrets { proxies, ..BuildSecrets::default() };
    let request = Request {
        id: JobId::random(),
        at: Timestamp::now(),
        reason: Reason::Cancel,
        task: Task::CleanUp,
        rebuild: Rebuild::Due,
        bases: Vec::new(),
        has_secrets: !secrets.is_empty(),
        continues: Vec::new(),
        ..last
    };
    request.save(host, &secrets)?;
    builder::start_worker(host)?;
    drop(turn);
    Ok(Some(Cancelled { what, made, removal: request.id }))
}

impl Unit<'_> {
    pub(super) fn cancel_action(&self) -> Result<(), DispatchError> {
        let turn = Turn::take(self.host)?;
        let Some(cancelled) = cancel(self.host, proxies(self.environment), turn)? else {
            return Ok(self.tools.action_set(&[("cancelled", "nothing: no job runs or waits".into())])?);
        };
        let Cancelled { what, made, removal } = cancelled;
        self.tools.action_set(&[("cancelled", what), ("removed-by", removal.to_string())])?;
        let deadline = Deadline::after(actions::WAIT);
        let show = &mut |progress: &str| self.tools.action_log(progress);
        let Followed::Ended(journal) = follow(self.host, &removal, deadline, show)? else {
            return self.goes_on(&removal);
        };
        match failures(&journal) {
            None => Ok(self.tools.action_set(&[("state", "done".into()), ("removed", made.join("; "))])?),
            Some(failures) => Ok(self.tools.action_fail(&format!("{failures}. The charm tries again."))?),
        }
    }

    /// Says how to go on watching a job that takes longer than an action may.
    pub(super) fn goes_on(&self, job: &JobId) -> Result<(), DispatchError> {
        let unit = &self.environment.unit;
        let watch = format!(
            "Job {job} goes on: juju status shows its progress, juju exec --unit {unit} ./dispatch jobs all of it."
        );
        Ok(self.tools.action_set(&[("state", "running".into()), ("watch", watch)])?)
    }
}
