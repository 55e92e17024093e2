//! The builds that operators have chosen (pinned, or next best after a revocation), and those that relations are told while no
//! other can be made, brought from the build project to the related projects that lack them. Nothing is built for it.

use std::sync::Arc;
use std::thread::scope;
use std::time::Duration;

use super::distribution::{Distributor, Recipient, Way};
use super::outcome::Outcome;
use super::publisher::Publisher;
use super::queue::{DeliveryQueue, Report};
use super::revisions;
use super::sharing::is_shared;
use super::source::Artifact;
use crate::builder::clouds::projects::{Part, Projects};
use crate::model::{Cause, Classified, Deadline};
use crate::openstack_cloud::{Cloud, Image, ImageId, OpenStackError};
use crate::record::{BuilderRunConfig, Choice, CloudName, Failure, JobId, Progress, Revision};

/// How long a look at an image may take.
const LOOK: Duration = Duration::from_secs(120);
/// How long those may take to get an image who are served together.
const DELIVERY: Duration = Duration::from_secs(3 * 3600);

/// A build cannot be delivered.
#[derive(Debug, thiserror::Error)]
#[error("build {0} is no longer in the build project, so projects without a copy of it cannot get it; {1}")]
struct Gone(ImageId, &'static str);

/// What helps projects that cannot be served with a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Another decision of the operator, who has chosen it.
    Levers,
    /// The next build that succeeds: it is what relations are told, and nobody's choice.
    Build,
}

impl Remedy {
    fn failure(self, build: &ImageId) -> Failure {
        match self {
            Self::Levers => Failure::of(&Gone(build.clone(), "pin another build, or unpin this one"), true),
            Self::Build => Failure::of(&Gone(build.clone(), "the next build replaces it"), false),
        }
    }
}

impl Classified for Gone {
    fn cause(&self) -> Cause {
        Cause::Image
    }
}

/// How a related project is reached, and how it gets images.
pub type Reach<'a> = dyn Fn(&CloudName) -> Result<(Cloud, Way), Failure> + Sync + 'a;

/// What brings chosen builds to projects.
pub struct ChosenDelivery<'a> {
    /// What is configured.
    pub config: &'a BuilderRunConfig,
    /// The job that delivers.
    pub job: &'a JobId,
    /// Who hears of it.
    pub progress: &'a dyn Progress,
    /// What comes of it.
    pub outcome: &'a Outcome,
    /// How a related project is reached, and how it gets images.
    pub reach: &'a Reach<'a>,
    /// The build project.
    pub build_cloud: &'a Cloud,
    /// What helps when the build is gone.
    pub remedy: Remedy,
}

impl ChosenDelivery<'_> {
    /// Makes sure that each place of a choice has its build, and publishes it there. Returns whether any has.
    pub fn serve(&self, choice: &Choice) -> bool {
        let target = choice.build.target;
        self.try_to_serve(choice).unwrap_or_else(|failure| {
            self.outcome.fail(Failure { target: Some(target), ..failure });
            false
        })
    }

    fn try_to_serve(&self, Choice { build, places }: &Choice) -> Result<bool, Failure> {
        let Self { config, job, progress, outcome, build_cloud, .. } = *self;
        let target = build.target;
        let found = revisions::image(build_cloud, &config.owner, build, Deadline::after(LOOK))
            .map_err(|error| Failure::of(&error, error.operator_must_act()))?;
        let artifact = found.map(|image| Arc::new(Artifact::new(build.clone(), image)));
        let (projects, queue) = (Projects::default(), DeliveryQueue::new(places.len()));
        let publisher = Publisher { progress, outcome, projects: &projects };
        let distributor = Distributor::new(build_cloud, config, job, publisher, &queue);
        scope(|scope| {
            for (name, copy) in places {
                let report = queue.report();
                let source = artifact.as_ref().map(|artifact| &artifact.image);
                scope.spawn(move || self.look((build, source), name, copy.as_ref(), publisher, &report));
            }
            while queue.is_wanted(target) {
                match &artifact {
                    Some(artifact) => distributor.deliver(scope, artifact, Deadline::after(DELIVERY)),
                    None => {
                        for Recipient { name, .. } in queue.next(target, places.len()) {
                            let failure = self.remedy.failure(&build.id);
                            outcome.fail(Failure { target: Some(target), cloud: Some(name), ..failure });
                            queue.is_given_up(target);
                        }
                    }
                }
            }
        });
        Ok(queue.anybody_has(target))
    }

    /// Publishes the `copy` that a project has, or says that it lacks one.
    fn look(
        &self,
        (build, source): (&Revision, Option<&Image>),
        name: &CloudName,
        copy: Option<&ImageId>,
        publisher: Publisher<'_>,
        report: &Report<'_, Recipient>,
    ) {
        let target = build.target;
        let fail = |failure| {
            self.outcome.fail(Failure { target: Some(target), cloud: Some(name.clone()), ..failure });
        };
        if self.outcome.is_unreachable(name) {
            return;
        }
        let (cloud, way) = match (self.reach)(name) {
            Ok(reached) => reached,
            Err(failure) => return self.outcome.could_not_reach(name, failure),
        };
        if let Part::Sharer(images) = publisher.projects.join(name, &cloud) {
            return images.into_iter().for_each(|image| publisher.note(image));
        }
        let deadline = Deadline::after(LOOK);
        let is_there = |copy: &ImageId| {
            if *copy == build.id {
                let source = source.filter(|_| way == Way::Share);
                return source
                    .map_or(Ok(false), |source| is_shared(self.build_cloud, &cloud, source, deadline));
            }
            let found = cloud.images().get(copy, deadline)?.zip(build.proof.as_ref());
            Ok::<_, OpenStackError>(
                found.is_some_and(|(found, proof)| proof.holds_for(&found, &cloud.project_id())),
            )
        };
        match copy.map(is_there).transpose() {
            Ok(Some(true)) => {
                copy.iter().for_each(|copy| publisher.published(&build.image(name, (*copy).clone())));
                report.has(target);
            }
            Ok(found) => {
                if let Some(copy) = copy.filter(|_| found.is_some()) {
                    log::warn!(
                        "{target} in {name}: image {copy} is missing, or differs from what was delivered"
                    );
                }
                report.lacks(target, Recipient { name: name.clone(), cloud, way, copy: None, tries: 0 });
            }
            Err(error) => fail(Failure::of(&error, error.operator_must_act())),
        }
    }
}
