//! Prepared images made after the deliveries of a job, for the builds that follow. Nobody waits for them: one that cannot be made
//! is told of and left until the next build on a base image.

use std::time::{Duration, Instant};

use super::{LOOK_LIMIT, Run};
use crate::builder::delivery::outcome::Outcome;
use crate::builder::image::site::remove_security_group;
use crate::builder::plan::Planner;
use crate::builder::releases;
use crate::builder::run_context::RunContext;
use crate::builder::upkeep::prepared::prune_prepared;
use crate::model::{Deadline, Elapsed, Target};
use crate::record::{BuilderRunConfig, Failure};

/// How long one may take.
const LIMIT: Duration = Duration::from_secs(2 * 3600);

/// What has come of a prepared image.
#[derive(Debug)]
pub enum Preparation {
    /// It was made, or there is one already.
    Made(String),
    /// Something else was waited for.
    GaveWay,
    /// It could not be made.
    Failed(Failure),
}

/// Makes the prepared images of `targets`, one after the other, as long as nobody waits for something else. `told` hears what
/// has come of each.
pub fn prepare(
    context: &RunContext<'_>,
    config: &BuilderRunConfig,
    targets: &[Target],
    is_waited_for: &(dyn Fn() -> bool + Sync),
    told: &dyn Fn(Target, Preparation),
) {
    let outcome = Outcome::default();
    let run = match Run::connect(context, config, &outcome) {
        Ok(run) => run,
        Err(failure) => {
            return targets.iter().for_each(|target| told(*target, Preparation::Failed(failure.clone())));
        }
    };
    for target in targets {
        let made =
            if is_waited_for() { Ok(Preparation::GaveWay) } else { run.prepare_one(*target, is_waited_for) };
        told(*target, made.unwrap_or_else(Preparation::Failed));
    }
    // The older ones go once the new ones are active.
    prune_prepared(&run.build_cloud, config, Deadline::after(LOOK_LIMIT));
    if run.backend.get().is_some() {
        for what in remove_security_group(&run.build_cloud, &config.owner, Deadline::after(LOOK_LIMIT)) {
            log::warn!("left for the next job: {what}");
            context.progress.sweep_again();
        }
    }
}

impl Run<'_> {
    fn prepare_one(
        &self,
        target: Target,
        is_waited_for: &(dyn Fn() -> bool + Sync),
    ) -> Result<Preparation, Failure> {
        let (began, deadline) = (Instant::now(), Deadline::after(LIMIT));
        let RunContext { host, secrets, .. } = *self.context;
        let Self { context, config, http, build_cloud, .. } = self;
        let github = &releases::github(host, http, &config.runner, secrets);
        let planner = Planner { host, http, github, config, secrets, script: None, runner: None };
        let inputs = planner.inputs(target, deadline.at_most(LOOK_LIMIT))?;
        let known =
            self.prepared_images(target).find(&inputs.preparation_key(), deadline.at_most(LOOK_LIMIT));
        let known = known.map_err(|error| Failure::of(&error, error.operator_must_act()))?;
        if let Some(known) = known {
            return Ok(Preparation::Made(format!("image {} is there already", known.id)));
        }
        let made =
            self.backend()?.prepare(context, config, (build_cloud, http), &inputs, is_waited_for, deadline);
        match made {
            Ok(Some(image)) => {
                Ok(Preparation::Made(format!("image {} made after {}", image.id, Elapsed::since(began))))
            }
            Ok(None) => Ok(Preparation::Made("not needed".to_owned())),
            Err(error) if error.gave_way() => Ok(Preparation::GaveWay),
            Err(error) => Err(error.into()),
        }
    }
}
