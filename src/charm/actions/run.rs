//! The action `run`: builds are asked for, and followed where the operator waits.

use super::{Followed, RunParameters, WAIT, failures, follow};
use crate::charm::dispatch::{DispatchError, Unit};
use crate::charm::event::Event;
use crate::charm::state::CharmState;
use crate::charm::turn::Turn;
use crate::model::Deadline;
use crate::record::{Asked, JobId};

impl Unit<'_> {
    pub(in crate::charm) fn run_action(&self, event: &Event) -> Result<(), DispatchError> {
        let turn = Turn::take(self.host)?;
        let Some(state) = self.state_for_action(event)? else { return Ok(()) };
        let parameters = match RunParameters::parse(&self.tools.action_get()?) {
            Ok(parameters) => parameters,
            Err(reason) => return Ok(self.tools.action_fail(&reason.to_string())?),
        };
        if state.relations.is_empty() {
            self.converge(&state, event, None)?;
            return Ok(self.tools.action_fail("Image relation not yet ready.")?);
        }
        if !state.leader {
            return Ok(self
                .tools
                .action_fail("This unit is not the leader; run the action on the leader.")?);
        }
        if let Some(refusal) = parameters.refusal(&state.run.targets) {
            return Ok(self.tools.action_fail(&refusal)?);
        }
        if state.paused {
            self.converge(&state, event, None)?;
            let refusal = "Paused. Set paused=false, then run the action again.";
            return Ok(self.tools.action_fail(refusal)?);
        }
        let Some(job) = self.converge(&state, event, Some(&parameters.demand))? else {
            return Ok(self.tools.action_fail("No job was started; see the unit's status.")?);
        };
        self.tools.action_set(&[("job", job.to_string())])?;
        if let Some(replaced) = Asked::load(self.host)?.replaced_by(&job) {
            self.tools.action_set(&[("replaced", replaced.to_string())])?;
        }
        if let Some(hint) = parameters.hint(&state, &state.journal(self.host)?) {
            self.tools.action_set(&[("note", hint.to_owned())])?;
        }
        drop(turn);
        if parameters.wait { self.wait_for(&state, event, job) } else { Ok(()) }
    }

    fn wait_for(&self, state: &CharmState, event: &Event, mut job: JobId) -> Result<(), DispatchError> {
        let deadline = Deadline::after(WAIT);
        // No hook of this unit runs meanwhile: the status of before would stand there until the action ends.
        let show = &mut |progress: &str| {
            if let Ok(journal) = state.journal(self.host) {
                self.show(state, &journal)?;
            }
            self.tools.action_log(progress)
        };
        loop {
            match follow(self.host, &job, deadline, show)? {
                Followed::Ended(_) => break,
                Followed::Orphaned => {
                    let _turn = Turn::take(self.host)?;
                    match self.converge(state, event, None)? {
                        Some(again) => job = again,
                        None => return Ok(self.tools.action_fail(&format!("Job {job} was abandoned."))?),
                    }
                }
                Followed::Cancelled => {
                    return Ok(self.tools.action_fail(&format!("Job {job} was cancelled."))?);
                }
                Followed::TimeIsUp => return self.goes_on(&job),
            }
        }
        let _turn = Turn::take(self.host)?;
        let mut journal = state.journal(self.host)?;
        self.publish(state, &mut journal, event)?;
        self.show(state, &journal)?;
        let images = journal.images.iter().map(|image| {
            let config = &image.result.config;
            format!("{}-{} {} {}", config.base, config.arch, config.cloud_name.as_str(), image.result.id)
        });
        self.tools.action_set(&[("images", images.collect::<Vec<_>>().join("\n"))])?;
        match failures(&journal) {
            None => Ok(self.tools.action_set(&[("state", "done".into())])?),
            Some(failures) => Ok(self.tools.action_fail(&failures)?),
        }
    }
}
