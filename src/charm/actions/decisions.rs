//! The actions `pin`, `unpin` and `revoke`: a decision is noted, and told to relations before the action ends. What a project
//! lacks is delivered by the worker.

use std::collections::BTreeMap;

use serde_json::Value;

use super::answer::LONGEST;
use super::history::Past;
use super::image_list::ImageList;
use super::levers::{self, Force, LeverError};
use crate::charm::dispatch::{DispatchError, Unit};
use crate::charm::event::{Action, Event};
use crate::charm::turn::Turn;
use crate::model::Target;
use crate::record::{BuilderRunConfig, Image, JobId, Journal};

type Parameters = BTreeMap<String, Value>;

impl Unit<'_> {
    /// Takes the decision that `action` is about.
    pub(in crate::charm) fn decide(&self, event: &Event, action: Action) -> Result<(), DispatchError> {
        let _turn = Turn::take(self.host)?;
        let Some(state) = self.state_for_action(event)? else { return Ok(()) };
        if !state.leader {
            return Ok(self
                .tools
                .action_fail("This unit is not the leader; run the action on the leader.")?);
        }
        let decided = match self.tools.action_get().map(|parameters| self.take(action, &parameters))? {
            Ok(decided) => decided,
            Err(LeverError::Record(error)) => return Err(error.into()),
            Err(LeverError::File(error)) => return Err(error.into()),
            Err(refusal) => return Ok(self.tools.action_fail(&format!("{refusal}."))?),
        };
        let job: Option<JobId> = self.converge(&state, event, None)?;
        let journal = state.journal(self.host)?;
        let mut results = decided;
        results.extend(told(&journal, &state.run));
        results.extend(job.map(|job| ("job", job.to_string())));
        Ok(self.tools.action_set(&results)?)
    }

    /// Lists what images there are, as a table and for programs.
    pub(in crate::charm) fn list_images(&self) -> Result<(), DispatchError> {
        let list = ImageList::load(self.host)?;
        // Plain data always serialises.
        let json = serde_json::to_string(&list.images).unwrap_or_default();
        self.answer(vec![("images", list.to_string()), ("json", json)], "list-images --format json")
    }

    /// Tells what the last jobs were, and how each target stands in each project.
    pub(in crate::charm) fn history(&self) -> Result<(), DispatchError> {
        let mut past = Past::load(self.host)?;
        let (history, json) = loop {
            let (text, json) = (past.to_string(), serde_json::to_string(&past).unwrap_or_default());
            // The newest jobs come first.
            if text.len().max(json.len()) <= LONGEST || past.jobs.pop().is_none() {
                break (text, json);
            }
        };
        let outcomes = past.outcome_lines().join("\n");
        let results = vec![("history", history), ("outcomes", outcomes), ("json", json)];
        self.answer(results, "history --format json")
    }

    fn take(
        &self,
        action: Action,
        parameters: &Parameters,
    ) -> Result<Vec<(&'static str, String)>, LeverError> {
        let text = |name: &str| parameters.get(name).and_then(Value::as_str).map_or("", str::trim);
        match action {
            Action::Unpin => {
                let target = text("target");
                let parsed = Target::parse(target);
                if !target.is_empty() && parsed.is_none() {
                    return Err(LeverError::NotPinned(format!("{target} is not a target such as noble-x64")));
                }
                let ended = levers::unpin(self.host, parsed)?;
                let ended: Vec<String> =
                    ended.iter().map(|build| format!("{} {}", build.target, build.id)).collect();
                Ok(vec![("unpinned", ended.join("\n"))])
            }
            Action::Revoke => {
                let (target, build) = levers::revoke(self.host, text("image"), text("reason"))?;
                Ok(vec![("revoked", build.to_string()), ("target", target.to_string())])
            }
            _ => {
                let is_forced = parameters.get("force").and_then(Value::as_bool).unwrap_or(false);
                let force = if is_forced { Force::Yes } else { Force::No };
                let build = levers::pin(self.host, text("image"), force)?;
                Ok(vec![("pinned", build.id.to_string()), ("target", build.target.to_string())])
            }
        }
    }
}

/// What projects are told now, and which of them wait for what was decided.
fn told(journal: &Journal, config: &BuilderRunConfig) -> Vec<(&'static str, String)> {
    let line = |image: &Image| {
        let cloud = &image.result.config.cloud_name;
        format!("{} {cloud}: {}", image.target(), image.result.id)
    };
    let told: Vec<String> = journal.images.iter().map(line).collect();
    let choices =
        journal.levers.choices(journal, config).into_iter().filter_map(|choice| choice.where_it_lacks());
    let waiting: Vec<String> = choices
        .flat_map(|choice| {
            let target = choice.build.target;
            choice.places.into_iter().map(move |(cloud, _)| format!("{target} {cloud}"))
        })
        .collect();
    let mut results = vec![("told", told.join("\n"))];
    results.extend((!waiting.is_empty()).then(|| ("waiting", waiting.join("\n"))));
    results
}
