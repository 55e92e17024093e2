//! The builds that operators have chosen (pinned, or next best after a revocation), brought from the build project to the
//! related projects that lack them. Nothing is built for it.

use std::sync::Arc;
use std::thread::scope;
use std::time::Duration;

use super::distribution::{Distributor, Publisher, Recipient};
use super::outcome::Outcome;
use super::queue::{DeliveryQueue, Report};
use super::revisions;
use super::source::Artifact;
use crate::builder::clouds::clouds_yaml::Clouds;
use crate::builder::clouds::connect::connect_to;
use crate::builder::clouds::projects::{Part, Projects};
use crate::http::HttpClient;
use crate::model::{Cause, Classified, Deadline};
use crate::openstack_cloud::{Cloud, ImageId, OpenStackError};
use crate::record::{BuilderRunConfig, Choice, CloudName, Failure, JobId, Phase, Progress, Revision};

/// How long a project may take to accept us.
const CONNECT: Duration = Duration::from_secs(60);
/// How long a look at an image may take.
const LOOK: Duration = Duration::from_secs(120);
/// How long those may take to get an image who are served together.
const DELIVERY: Duration = Duration::from_secs(3 * 3600);

/// A build that was chosen cannot be delivered.
#[derive(Debug, thiserror::Error)]
#[error(
    "build {0} is not in the build project any more, so that projects that lack it cannot be served; pin another or unpin it"
)]
struct Gone(ImageId);

impl Classified for Gone {
    fn cause(&self) -> Cause {
        Cause::Image
    }
}

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
    /// The web.
    pub http: &'a HttpClient,
    /// The credentials.
    pub clouds: &'a Clouds,
    /// The build project.
    pub build_cloud: &'a Cloud,
}

impl ChosenDelivery<'_> {
    /// Makes sure that each place of `choices` has its build, and publishes it there.
    pub fn serve(&self, choices: &[Choice]) {
        for choice in choices {
            let target = choice.build.target;
            self.progress.phase(target, Phase::Delivering);
            let phase = match self.serve_one(choice) {
                Ok(phase) => phase,
                Err(failure) => {
                    self.outcome.fail(Failure { target: Some(target), ..failure });
                    Phase::Failed
                }
            };
            self.progress.phase(target, phase);
        }
    }

    fn serve_one(&self, Choice { build, places }: &Choice) -> Result<Phase, Failure> {
        let Self { config, job, progress, outcome, build_cloud, .. } = *self;
        let target = build.target;
        let found = revisions::image(build_cloud, &config.owner, build, Deadline::after(LOOK))
            .map_err(|error| Failure::of(&error, error.operator_must_act()))?;
        let artifact = found.map(|image| Arc::new(Artifact::new(build.clone(), image)));
        let (projects, queue) = (Projects::default(), DeliveryQueue::new(places.len()));
        let publisher = Publisher { progress, outcome, projects: &projects };
        let distributor = Distributor::new(build_cloud, &config.owner, job, publisher, &queue);
        scope(|scope| {
            for (name, copy) in places {
                let report = queue.report();
                scope.spawn(move || self.look(build, name, copy.as_ref(), publisher, &report));
            }
            while queue.is_wanted(target) {
                match &artifact {
                    Some(artifact) => distributor.deliver(scope, artifact, Deadline::after(DELIVERY)),
                    None => {
                        for Recipient { name, .. } in queue.next(target, places.len()) {
                            let failure = Failure::of(&Gone(build.id.clone()), true);
                            outcome.fail(Failure { target: Some(target), cloud: Some(name), ..failure });
                            queue.is_given_up(target);
                        }
                    }
                }
            }
        });
        Ok(if queue.anybody_has(target) { Phase::Done } else { Phase::Failed })
    }

    /// Publishes the `copy` that a project has, or says that it lacks one.
    fn look(
        &self,
        build: &Revision,
        name: &CloudName,
        copy: Option<&ImageId>,
        publisher: Publisher<'_>,
        report: &Report<'_, Recipient>,
    ) {
        let target = build.target;
        let fail = |failure| {
            self.outcome.fail(Failure { target: Some(target), cloud: Some(name.clone()), ..failure });
        };
        let cloud = match connect_to(self.clouds, name, self.http, Deadline::after(CONNECT)) {
            Ok(cloud) => cloud,
            Err(error) => return fail(Failure::of(&error, error.operator_must_act())),
        };
        if let Part::Sharer(images) = publisher.projects.join(name, &cloud) {
            return images.into_iter().for_each(|image| publisher.note(image));
        }
        let is_there = |copy: &ImageId| {
            let found = cloud.images().get(copy, Deadline::after(LOOK))?;
            let proof = build.proof.as_ref();
            Ok::<_, OpenStackError>(
                found.zip(proof).is_some_and(|(found, proof)| proof.holds_for(&found, &cloud.project_id())),
            )
        };
        match copy.map(is_there).transpose() {
            Ok(Some(true)) => {
                copy.iter().for_each(|copy| publisher.published(&build.image(name, (*copy).clone())));
                report.has(target);
            }
            Ok(_) => report.lacks(target, Recipient { name: name.clone(), cloud, tries: 0 }),
            Err(error) => fail(Failure::of(&error, error.operator_must_act())),
        }
    }
}
