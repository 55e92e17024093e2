//! What is removed at an operator's word: what an earlier job has left, and what nothing in the build project needs.

use std::thread::scope;

use super::{LOOK_LIMIT, Run};
use crate::builder::delivery::outcome::Outcome;
use crate::builder::run_context::RunContext;
use crate::builder::upkeep::memberships::{Ending, Members};
use crate::builder::upkeep::sweep::Keep;
use crate::builder::upkeep::unneeded::Search;
use crate::model::Deadline;
use crate::record::{BuilderRunConfig, Failure, Found, Journal, RecordError, Told};

/// Lists what neither we nor relations need in the build project, and deletes what has one of `ids`. Returns what went wrong.
pub fn search(
    context: &RunContext<'_>,
    config: &BuilderRunConfig,
    told: &Told,
    ids: &[String],
) -> Vec<Failure> {
    let outcome = Outcome::default();
    let search = || {
        let run = Run::connect(context, config, &outcome)?;
        let search = Search { cloud: &run.build_cloud, config, known: context.known, told };
        let found = search.delete(ids, Deadline::after(LOOK_LIMIT));
        let found = found.map_err(|error| Failure::of(&error, error.operator_must_act()))?;
        Found::by(context.job, found).save(context.host).map_err(|error| Failure::of(&error, false))
    };
    if let Err(failure) = search() {
        outcome.fail(failure);
    }
    outcome.into_parts().1
}

/// Removes what an earlier job has made and not published: all but published images, base images, and those that failed
/// last. Returns what could not be done.
pub fn clean_up(context: &RunContext<'_>, config: &BuilderRunConfig) -> Vec<Failure> {
    let outcome = Outcome::default();
    match Run::connect(context, config, &outcome) {
        Err(failure) => outcome.fail(failure),
        Ok(run) => {
            let left = run.clean_up();
            if left.is_empty() {
                context.progress.searched();
            } else {
                outcome
                    .fail(Failure::of(&format!("removing what a job has left: {}", left.join("; ")), false));
            }
        }
    }
    outcome.into_parts().1
}

impl Run<'_> {
    /// Removes what an earlier job has left, everywhere and side by side; returns what had to stay.
    fn clean_up(&self) -> Vec<String> {
        let keep = Keep::BaseImages(self.config);
        let left = scope(|scope| {
            let lanes: Vec<_> = self
                .config
                .clouds
                .iter()
                .map(|name| scope.spawn(move || self.lane(name).clean_up(keep)))
                .collect();
            self.leave(scope);
            let mut left = self.sweep(keep).left;
            left.extend(self.end_memberships());
            left.extend(lanes.into_iter().filter_map(|lane| lane.join().ok()).flatten());
            left
        });
        left.iter().for_each(|what| log::warn!("not removed; the next sweep retries: {what}"));
        left
    }

    /// Ends the memberships of projects that no relation leads to any more; returns what had to stay.
    fn end_memberships(&self) -> Vec<String> {
        let host = self.context.host;
        let known =
            Told::load(host).map_err(RecordError::from).and_then(|told| Ok((told, Journal::load(host)?)));
        let (told, journal) = match known {
            Ok(known) => known,
            Err(error) => return vec![error.to_string()],
        };
        let members = Members::new(self.config, &journal, &told, Ending::OfFormer);
        let left = members.end_others(&self.build_cloud, Deadline::after(LOOK_LIMIT));
        if left.is_empty() {
            self.context.progress.former_members_have_left(self.config);
        }
        left
    }
}
