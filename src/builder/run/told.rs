//! Images that relations are told, whatever becomes of builds: what operators have chosen, and what was deleted by hand while
//! no new image can be made.

use super::Run;
use crate::builder::delivery::chosen::{ChosenDelivery, Remedy};
use crate::builder::delivery::outcome::Outcome;
use crate::builder::run_context::RunContext;
use crate::model::Target;
use crate::record::{BuilderRunConfig, Choice, CloudName, Failure, Levers, Phase};

/// Brings the builds that operators have chosen to the projects that lack them, and builds nothing. Returns what went wrong.
pub fn deliver_chosen(context: &RunContext<'_>, config: &BuilderRunConfig) -> Vec<Failure> {
    let outcome = Outcome::default();
    match Run::connect(context, config, &outcome) {
        Err(failure) => outcome.fail(failure),
        Ok(run) => {
            for choice in &context.known.choices {
                let phase = |phase| context.progress.phase(choice.build.target, phase);
                phase(Phase::Checking);
                phase(Phase::Delivering);
                phase(if run.deliver_chosen(choice) { Phase::Done } else { Phase::Failed });
            }
        }
    }
    outcome.into_parts().1
}

impl Run<'_> {
    /// Serves projects with a build that operators have chosen. Returns whether any has it.
    pub(super) fn deliver_chosen(&self, choice: &Choice) -> bool {
        self.serve(choice, Remedy::Levers)
    }

    /// Looks whether the images of a target of which no image can be made now are where relations are told that they are;
    /// what is gone is delivered again, from the build project.
    pub(super) fn restore_told(&self, target: Target) {
        let known = self.context.known;
        // Those have been served.
        if known.choices.iter().any(|choice| choice.build.target == target) {
            return;
        }
        // What was revoked since the job began is not brought back.
        let levers = Levers::load(self.context.host).unwrap_or_default();
        let told = known.told(target, &self.config.clouds);
        let kept = told.iter().filter(|told| levers.revocation(&told.build.id).is_none());
        kept.for_each(|told| _ = self.serve(told, Remedy::Build));
    }

    fn serve(&self, choice: &Choice, remedy: Remedy) -> bool {
        let Self { config, outcome, build_cloud, .. } = self;
        let (job, progress) = (self.context.job, self.context.progress);
        let reach = &|name: &CloudName| self.lane(name).reach();
        ChosenDelivery { config, job, progress, outcome, reach, build_cloud, remedy }.serve(choice)
    }
}
