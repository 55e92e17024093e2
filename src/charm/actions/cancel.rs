//! Stops a job and has what it made removed: for the action `cancel`, and for people on the unit.

use super as actions;
use super::{Followed, failures, follow};
use crate::charm::dispatch::{DispatchError, Unit};
use crate::charm::reconcile::{self, ReconcileError};
use crate::charm::state::proxies;
use crate::charm::turn::Turn;
use crate::host::Host;
use crate::model::{Deadline, Timestamp};
use crate::openstack_cloud::openstack_manager::ProxyConfig;
use crate::record::{BuildSecrets, JobId, Journal, Reason, Rebuild, Request, Task};
use crate::worker;

/// A job that was stopped.
#[derive(Debug)]
pub struct Cancelled {
    /// Which one it was, for people.
    pub what: String,
    /// What it had made in the clouds and not published.
    pub made: Vec<String>,
    /// The job that removes this; the next hook asks for one when there is none.
    pub removal: Option<JobId>,
}

/// Stops the worker and has another remove what it has made. `None` when there was nothing to cancel. Needs no
/// configuration but that of the job, so it works while the present one is refused.
pub fn cancel(host: &Host, proxies: ProxyConfig, turn: Turn) -> Result<Option<Cancelled>, ReconcileError> {
    let (last, journal) = (Request::load(host)?, Journal::load(host)?);
    let is_open = |last: &Request| reconcile::is_open(last, &journal);
    if !last.as_ref().is_some_and(is_open) && !journal.left_something() {
        return Ok(None);
    }
    let what = journal.running().map_or("a job that waited".to_owned(), |job| job.id.to_string());
    if !worker::stop_worker(host) {
        return Err(ReconcileError::StillWorks);
    }
    // It may have made more until then.
    let made = Journal::load(host)?.resources().map(ToString::to_string).collect();
    // A request that was withdrawn while an older job runs: the configuration of that job is known to the next hook only.
    let Some(last) = last else { return Ok(Some(Cancelled { what, made, removal: None })) };
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
        new_credentials: Vec::new(),
        ..last
    };
    request.save(host, &secrets)?;
    log::info!("cancelled: {what}; job {} deletes what it has created", request.id);
    worker::start_worker(host)?;
    drop(turn);
    Ok(Some(Cancelled { what, made, removal: Some(request.id) }))
}

impl Unit<'_> {
    pub(in crate::charm) fn cancel_action(&self) -> Result<(), DispatchError> {
        let turn = Turn::take(self.host)?;
        let cancelled = match cancel(self.host, proxies(self.environment), turn) {
            Err(error @ ReconcileError::StillWorks) => {
                return Ok(self.tools.action_fail(&error.to_string())?);
            }
            cancelled => cancelled?,
        };
        let Some(cancelled) = cancelled else {
            return Ok(self.tools.action_set(&[("cancelled", "nothing: no job runs or waits".into())])?);
        };
        let Cancelled { what, made, removal } = cancelled;
        let Some(removal) = removal else {
            let next = "the next hook".to_owned();
            return Ok(self.tools.action_set(&[("cancelled", what), ("removed-by", next)])?);
        };
        self.tools.action_set(&[("cancelled", what), ("removed-by", removal.to_string())])?;
        let deadline = Deadline::after(actions::WAIT);
        let show = &mut |progress: &str| self.tools.action_log(progress);
        let Followed::Ended(journal) = follow(self.host, &removal, deadline, show)? else {
            return self.goes_on(&removal);
        };
        match failures(&journal) {
            None => Ok(self.tools.action_set(&[("state", "done".into()), ("removed", made.join("; "))])?),
            Some(failures) => Ok(self.tools.action_fail(&format!("{failures}. The charm retries."))?),
        }
    }

    /// Says how to go on watching a job that takes longer than an action may.
    pub(in crate::charm) fn goes_on(&self, job: &JobId) -> Result<(), DispatchError> {
        let unit = &self.environment.unit;
        let watch = format!(
            "Job {job} continues: juju status shows its progress, juju exec --unit {unit} ./dispatch jobs the details."
        );
        Ok(self.tools.action_set(&[("state", "running".into()), ("watch", watch)])?)
    }
}
