//! One related project's part of a run, beside those of all others: connected to, cleaned, looked at. Whatever goes wrong
//! there, and however long it takes, concerns no other project.

use std::time::Duration;

use super::plan::Plan;
use super::run_context::{RunContext, Sweep};
use crate::builder::clouds::clouds_yaml::{Clouds, is_same_project};
use crate::builder::clouds::connect::{ConnectError, connect_to};
use crate::builder::clouds::projects::{Part, Projects};
use crate::builder::delivery::distribution::{Publisher, Recipient};
use crate::builder::delivery::outcome::Outcome;
use crate::builder::delivery::queue::Report;
use crate::builder::ownership::labels;
use crate::builder::upkeep::adoption::adopt;
use crate::builder::upkeep::leave::leave_clouds;
use crate::builder::upkeep::sweep::{Keep, sweep_copies, sweep_servers};
use crate::http::HttpClient;
use crate::model::Deadline;
use crate::openstack_cloud::{Cloud, OpenStackError};
use crate::record::{
    BuilderRunConfig, CloudName, Comparison, Failure, Image, Proof, ResourceKind, ResourceTracker, Revision,
};

/// How long a project may take to accept us.
const CONNECT: Duration = Duration::from_secs(60);
/// How long it may take to search it for what earlier runs have left, runners that have expired left out.
const SWEEP: Duration = Duration::from_secs(300);
/// How long it may take to look for runners that have expired.
const RUNNERS: Duration = Duration::from_secs(60);
/// How long it may take to look for its images.
const LOOK: Duration = Duration::from_secs(120);

/// What a lane works with.
pub struct Lane<'a> {
    /// The run that it is part of.
    pub context: &'a RunContext<'a>,
    /// What is wanted.
    pub config: &'a BuilderRunConfig,
    /// The door to the web.
    pub http: &'a HttpClient,
    /// The credentials.
    pub known: &'a Clouds,
    /// The build project.
    pub build_cloud: &'a Cloud,
    /// The related projects that were reached.
    pub projects: &'a Projects,
    /// The project's name in clouds.yaml.
    pub name: &'a CloudName,
    /// What comes of it.
    pub outcome: &'a Outcome,
}

impl Lane<'_> {
    /// Cleans the project and says what it lacks of `plans`. Returns what had to stay of earlier runs.
    pub fn run(&self, plans: &[Plan], report: &Report<'_, Recipient>) -> Vec<String> {
        let cloud = match self.connect() {
            Ok(cloud) => cloud,
            Err(error) => {
                let failure = Failure::of(&error, error.operator_must_act());
                self.outcome.fail(Failure { cloud: Some(self.name.clone()), ..failure });
                return Vec::new();
            }
        };
        let Self { context, config, http, build_cloud, name, .. } = *self;
        let RunContext { host, job, former, progress, .. } = *context;
        leave_clouds(host, former, (job, progress), config, http, build_cloud, &|former| former == name);
        let publisher = Publisher { progress, outcome: self.outcome, projects: self.projects };
        if let Part::Sharer(images) = self.projects.join(name, &cloud) {
            log::info!("{name} shares the project of another relation, which is served for both");
            images.into_iter().for_each(|image| publisher.note(image));
            return Vec::new();
        }
        let salvaged = self.salvage(&cloud, plans);
        let left = match context.sweep {
            Sweep::Due => self.sweep(&cloud, Keep::Usable(config, job)),
            Sweep::NotDue => Vec::new(),
        };
        if config.adopt {
            adopt([(name, &cloud)].into_iter(), config, context.job, Deadline::after(LOOK));
        }
        for plan in plans {
            let target = plan.target();
            match self.look(&cloud, plan, &salvaged) {
                Ok(Some(image)) => {
                    publisher.published(&image);
                    report.has(target);
                }
                Ok(None) => {
                    report.lacks(target, Recipient { name: name.clone(), cloud: cloud.clone(), tries: 0 })
                }
                Err(error) => {
                    let failure = Failure::of(&error, error.operator_must_act());
                    let failure = Failure { target: Some(target), cloud: Some(name.clone()), ..failure };
                    self.outcome.fail(failure);
                }
            }
        }
        left
    }

    /// Cleans the project of all that no run goes on with. Returns what had to stay, and why.
    pub fn clean_up(&self, keep: Keep<'_>) -> Vec<String> {
        match self.connect() {
            Ok(cloud) => self.sweep(&cloud, keep),
            Err(error) => vec![format!("{}: it could not be searched: {error}", self.name)],
        }
    }

    fn connect(&self) -> Result<Cloud, ConnectError> {
        connect_to(self.known, self.name, self.http, Deadline::after(CONNECT))
    }

    /// Removes what earlier runs have left; returns what had to stay. The build project is swept as a whole.
    fn sweep(&self, cloud: &Cloud, keep: Keep<'_>) -> Vec<String> {
        let Self { config, name, .. } = *self;
        if cloud.is_same_project(self.build_cloud) {
            return Vec::new();
        }
        let mut left = sweep_copies(cloud, &config.owner, keep, Deadline::after(SWEEP));
        match sweep_servers(cloud, &config.owner, keep, Deadline::after(RUNNERS)) {
            Ok(runners) => left.extend(runners),
            // Builds have no need of that cloud's Nova, and the launcher has notes of its own.
            Err(error) => log::info!("{name}: runners that have expired are not looked for: {error}"),
        }
        if left.is_empty() {
            self.context.progress.swept(name);
        }
        left.into_iter().map(|what| format!("{name}: {what}")).collect()
    }

    /// Publishes the copies of an earlier run that are complete: those that it has noted, of a build that is up to date, and
    /// of which this project's Glance names the digest that we hold.
    fn salvage(&self, cloud: &Cloud, plans: &[Plan]) -> Vec<Image> {
        let mut salvaged = Vec::new();
        for (target, resource) in &self.context.known.noted {
            let plan = plans.iter().find(|plan| plan.target() == *target);
            let revision = plan.and_then(|plan| plan.current.as_ref());
            let Some((revision, proof)) = revision.and_then(with_proof) else { continue };
            let is_copy = resource.kind == ResourceKind::Copy
                && resource.cloud == *self.name
                && resource.revision.as_ref() == Some(&revision.id);
            let Some(id) = resource.id.as_ref().filter(|_| is_copy).and_then(|id| id.parse().ok()) else {
                continue;
            };
            let deadline = Deadline::after(LOOK);
            let images = cloud.images();
            let published = images.get(&id, deadline).and_then(|found| {
                let project = cloud.project_id();
                let is_complete = found.is_some_and(|found| {
                    proof.holds_for(&found, &project) && proof.compare(&found) == Comparison::Same
                });
                if is_complete {
                    images.update(&id, &labels::publish(), deadline)?;
                }
                Ok(is_complete)
            });
            match published {
                Ok(true) => {
                    let image = revision.image(self.name, id);
                    self.context.progress.published(image.clone());
                    ResourceTracker { progress: self.context.progress, target: *target }.settled(resource);
                    salvaged.push(image);
                }
                Ok(false) => (),
                Err(error) => log::warn!("{resource}: whether it is complete is not known: {error}"),
            }
        }
        salvaged
    }

    /// Whether another relation names the same project; only the project itself proves it.
    fn leads_to_the_same_project(&self, other: &CloudName) -> bool {
        let config = |name: &CloudName| self.known.get(name);
        other != self.name && config(self.name).zip(config(other)).is_some_and(|(a, b)| is_same_project(a, b))
    }

    /// The image that the project has of a plan: one that we have delivered there, that is there still, and of which
    /// nothing says that its bytes are others.
    fn look(&self, cloud: &Cloud, plan: &Plan, salvaged: &[Image]) -> Result<Option<Image>, OpenStackError> {
        let target = plan.target();
        let Some((revision, proof)) = plan.current.as_ref().and_then(with_proof) else { return Ok(None) };
        let salvaged = salvaged.iter().find(|image| image.is_of(target, self.name));
        let is_current = |image: &&Image| image.revision.as_ref() == Some(&revision.id);
        let own = salvaged.or(self.context.known.image(target, self.name)).filter(is_current);
        // Another relation to this project may have been served before.
        let mut others = self.config.clouds.iter().filter(|other| self.leads_to_the_same_project(other));
        let image_of = |other| self.context.known.image(target, other).filter(is_current);
        let Some(known) = own.or_else(|| others.find_map(image_of)) else { return Ok(None) };
        let found = cloud.images().get(&known.result.id, Deadline::after(LOOK))?;
        let is_good = found.is_some_and(|found| proof.holds_for(&found, &cloud.project_id()));
        if !is_good {
            log::warn!("{target} in {}: image {} is not what was delivered", self.name, known.result.id);
        }
        let mut image = known.clone();
        image.result.config.cloud_name.clone_from(self.name);
        Ok(is_good.then_some(image))
    }
}

fn with_proof(revision: &Revision) -> Option<(&Revision, &Proof)> {
    Some((revision, revision.proof.as_ref()?))
}
