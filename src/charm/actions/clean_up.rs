//! What is ours in the build project and nothing needs is listed, and deleted where its id is given: for the action
//! `clean-up`, and for people on the unit.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Followed, WAIT, failures, follow};
use crate::charm::dispatch::{DispatchError, Unit};
use crate::charm::event::Event;
use crate::charm::reconcile::{self, ReconcileError};
use crate::charm::turn::Turn;
use crate::host::Host;
use crate::model::{Deadline, printable_line};
use crate::record::{BuildSecrets, Found, JobId, Journal, Request, Unneeded};
use crate::worker;

/// Asks the worker what nothing needs in the build project, with the configuration of the last request, and to delete of it
/// what has one of `ids`. None while there is no such request, or its job is open and would lose its place.
pub fn clean_up(
    host: &Host,
    ids: Vec<String>,
    secrets: &BuildSecrets,
    turn: Turn,
) -> Result<Option<JobId>, ReconcileError> {
    let (last, journal) = (Request::load(host)?, Journal::load(host)?);
    let Some(last) = last.filter(|last| !reconcile::is_open(last, &journal)) else { return Ok(None) };
    let request = Request::search(last.unit_name, last.config, ids, !secrets.is_empty());
    request.save(host, secrets)?;
    worker::start_worker(host)?;
    drop(turn);
    Ok(Some(request.id))
}

impl Unit<'_> {
    pub(in crate::charm) fn clean_up(&self, event: &Event) -> Result<(), DispatchError> {
        let turn = Turn::take(self.host)?;
        let Some(state) = self.state_for_action(event)? else { return Ok(()) };
        if !state.leader {
            return Ok(self
                .tools
                .action_fail("This unit is not the leader; run the action on the leader.")?);
        }
        self.converge(&state, event, None)?;
        let journal = state.journal(self.host)?;
        let ids = ids(&self.tools.action_get()?);
        let Some(job) = reconcile::search(self.host, self.environment, &state, &journal, ids)? else {
            let refusal = "A job runs or waits. Run the action again when it has ended, or cancel it.";
            return Ok(self.tools.action_fail(refusal)?);
        };
        self.tools.action_set(&[("job", job.to_string())])?;
        drop(turn);
        let show = &mut |progress: &str| self.tools.action_log(progress);
        let Followed::Ended(journal) = follow(self.host, &job, Deadline::after(WAIT), show)? else {
            return self.goes_on(&job);
        };
        if let Some(failures) = failures(&journal) {
            return Ok(self.tools.action_fail(&failures)?);
        }
        let found = Found::load(self.host, &job)?.map(|found| found.unneeded).unwrap_or_default();
        let json = serde_json::to_string(&found).unwrap_or_default();
        self.answer(vec![("found", page(&found)), ("json", json)], "clean-up --format json")
    }
}

/// The ids that are to be deleted.
fn ids(parameters: &BTreeMap<String, Value>) -> Vec<String> {
    let text = parameters.get("ids").and_then(Value::as_str).unwrap_or_default();
    text.split(',').map(str::trim).filter(|id| !id.is_empty()).map(str::to_owned).collect()
}

/// What was found, a line each.
pub fn page(found: &[Unneeded]) -> String {
    let lines = found.iter().map(|Unneeded { kind, id, name, why, created, outcome, project }| {
        let created = created.as_ref().map_or(String::new(), |at| format!(", created {at}"));
        let outcome = outcome.as_ref().map_or(String::new(), |outcome| format!(": {outcome}"));
        printable_line(&format!("{kind} {id} {name} in {project}, {why}{created}{outcome}")).to_string()
    });
    match found {
        [] => "nothing to clean up".to_owned(),
        _ => lines.collect::<Vec<_>>().join("\n"),
    }
}
