//! One related project's part of a run, beside those of all others: connected to, cleaned, looked at. Whatever goes wrong
//! there, and however long it takes, concerns no other project.

use std::time::Duration;

use super::plan::Plan;
use super::run_context::{RunContext, Sweep};
use crate::builder::clouds::connect::{ConnectError, connect_to};
use crate::builder::clouds::names::{Clouds, is_same_project};
use crate::builder::clouds::projects::{Part, Projects};
use crate::builder::delivery::distribution::{Recipient, Way};
use crate::builder::delivery::outcome::Outcome;
use crate::builder::delivery::publisher::Publisher;
use crate::builder::delivery::queue::Report;
use crate::builder::delivery::sharing::is_shared;
use crate::builder::ownership::description;
use crate::builder::upkeep::leave::leave_clouds;
use crate::builder::upkeep::sweep::{Keep, sweep_copies, sweep_servers};
use crate::http::HttpClient;
use crate::model::{Deadline, Target};
use crate::openstack_cloud::{Cloud, Image as CloudImage, OpenStackError};
use crate::record::{
    BuilderRunConfig, CloudName, Comparison, Delivery, Failure, Image, Proof, ResourceKind, ResourceTracker,
    Revision,
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
        let left = self.serve(plans, report);
        self.projects.has_come().into_iter().for_each(|failure| self.outcome.fail(failure));
        left
    }

    fn serve(&self, plans: &[Plan], report: &Report<'_, Recipient>) -> Vec<String> {
        let (cloud, way) = match self.reach() {
            Ok(reached) => reached,
            Err(failure) => {
                self.outcome.could_not_reach(self.name, failure);
                return Vec::new();
            }
        };
        let Self { context, config, http, build_cloud, name, .. } = *self;
        let RunContext { host, job, former, progress, .. } = *context;
        leave_clouds(host, former, (job, progress), config, http, build_cloud, &|former| former == name);
        let publisher = Publisher { progress, outcome: self.outcome, projects: self.projects };
        if let Part::Sharer(images) = self.projects.join(name, &cloud) {
            log::info!(
                "{name} is related to the same project as another relation; images are delivered once for both"
            );
            images.into_iter().for_each(|image| publisher.note(image));
            for target in self.projects.take_unseen(name) {
                let plan = plans.iter().find(|plan| plan.target() == target);
                plan.into_iter().for_each(|plan| self.say_what_lacks((&cloud, way), plan, &[], report));
            }
            return Vec::new();
        }
        let salvaged = self.salvage(&cloud, plans);
        let left = match context.sweep {
            Sweep::Due => self.sweep(&cloud, Keep::Usable(config, job)),
            Sweep::NotDue => Vec::new(),
        };
        plans.iter().for_each(|plan| self.say_what_lacks((&cloud, way), plan, &salvaged, report));
        left
    }

    /// Looks whether the project has the image of `plan`, with the eyes of this relation or, if these do not see, of another
    /// to the same project.
    fn say_what_lacks(
        &self,
        (cloud, way): (&Cloud, Way),
        plan: &Plan,
        salvaged: &[Image],
        report: &Report<'_, Recipient>,
    ) {
        let target = plan.target();
        let publisher =
            Publisher { progress: self.context.progress, outcome: self.outcome, projects: self.projects };
        let (mut name, mut cloud) = (self.name.clone(), cloud.clone());
        loop {
            match self.look(&name, (&cloud, way), plan, salvaged) {
                Ok(Look::Has(image)) => {
                    publisher.published(&image);
                    return report.has(target);
                }
                Ok(Look::Lacks { copy }) => {
                    return report.lacks(target, Recipient { name, cloud, way, copy, tries: 0 });
                }
                Err(error) => {
                    let failure = Failure::of(&error, error.operator_must_act());
                    let failure = Failure { target: Some(target), cloud: Some(name.clone()), ..failure };
                    let Some(next) = self.projects.could_not_look(&name, target, failure) else { return };
                    log::warn!("{target} in {name}: {error}; retrying as {} (same project)", next.0);
                    (name, cloud) = next;
                }
            }
        }
    }

    /// Cleans the project of all that no run goes on with. Returns what had to stay, and why.
    pub fn clean_up(&self, keep: Keep<'_>) -> Vec<String> {
        match self.connect() {
            Ok(cloud) => self.sweep(&cloud, keep),
            Err(error) => vec![format!("{}: could not be searched: {error}", self.name)],
        }
    }

    /// Connects to the project: where images are to be shared with it, beside the build project, and by nothing that the
    /// relation says but who the user is.
    pub fn reach(&self) -> Result<(Cloud, Way), Failure> {
        let Self { context, config, known, build_cloud, name, .. } = *self;
        let failed = |error: ConnectError| Failure::of(&error, error.operator_must_act());
        let related = known.get(name).ok_or(ConnectError::Forgotten).map_err(failed)?;
        let build = known.get(&config.build_cloud);
        let is_near =
            build.is_some_and(|build| build.is_same_cloud(related)) && build_cloud.is_in_region_of(related);
        match (config.delivery, is_near) {
            (Delivery::Copy, _) | (Delivery::Auto, false) => Ok((self.connect().map_err(failed)?, Way::Copy)),
            (Delivery::Share, false) => Err(Failure::of(&NOT_SHARED.to_owned(), true)),
            (Delivery::Auto | Delivery::Share, true) => {
                let connected = build_cloud.connect_beside(related, Deadline::after(CONNECT));
                let cloud = connected.map_err(|error| failed(error.into()))?;
                let noted = context.progress.joins(name, &cloud.project_id());
                noted.map_err(|error| Failure::of(&error, false))?;
                Ok((cloud, Way::Share))
            }
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
            Err(error) => log::info!("{name}: expired runners could not be looked for: {error}"),
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
            let Some(plan) = plans.iter().find(|plan| plan.target() == *target) else { continue };
            let Some((revision, proof)) = plan.current.as_ref().and_then(with_proof) else { continue };
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
                let is_complete = |found: &CloudImage| {
                    proof.holds_for(found, &project) && proof.compare(found) == Comparison::Same
                };
                let Some(found) = found.filter(is_complete) else { return Ok(false) };
                // A build that is gone has given its copy what that cannot boot without.
                let build = plan.source.as_ref().unwrap_or(&found);
                description::publish_copy(&images, &id, revision, build, deadline)?;
                Ok(true)
            });
            match published {
                Ok(true) => {
                    let image = revision.image(self.name, id);
                    self.context.progress.published(image.clone());
                    ResourceTracker { progress: self.context.progress, target: *target }.settled(resource);
                    salvaged.push(image);
                }
                Ok(false) => (),
                Err(error) => log::warn!("{resource}: could not be checked for completeness: {error}"),
            }
        }
        salvaged
    }

    /// Whether two relations name the same project; only the project itself proves it.
    fn lead_to_the_same_project(&self, one: &CloudName, other: &CloudName) -> bool {
        let config = |name: &CloudName| self.known.get(name);
        other != one && config(one).zip(config(other)).is_some_and(|(a, b)| is_same_project(a, b))
    }

    /// The images that may be the one that `name` leads to: its own; those of other relations to its project; and those of
    /// relations that have gone, or have another user now.
    fn candidates<'i>(&'i self, target: Target, name: &'i CloudName) -> impl Iterator<Item = &'i Image> {
        let clouds = &self.config.clouds;
        let others = clouds.iter().filter(move |other| self.lead_to_the_same_project(name, other));
        let images = self.context.known.images.iter();
        let gone = images.filter(move |image| {
            let cloud = &image.result.config.cloud_name;
            !clouds.contains(cloud) && image.is_of(target, cloud)
        });
        let image_of = move |name| self.context.known.image(target, name);
        image_of(name).into_iter().chain(others.filter_map(image_of)).chain(gone)
    }

    /// Whether the project has the image of a plan: one that we have delivered there, that is there still, and of which
    /// nothing says that its bytes are others.
    fn look(
        &self,
        name: &CloudName,
        (cloud, way): (&Cloud, Way),
        plan: &Plan,
        salvaged: &[Image],
    ) -> Result<Look, OpenStackError> {
        let (target, mut copy) = (plan.target(), None);
        let Some((revision, proof)) = plan.current.as_ref().and_then(with_proof) else {
            return Ok(Look::Lacks { copy });
        };
        let salvaged = salvaged.iter().filter(|image| image.is_of(target, name));
        let candidates = salvaged.chain(self.candidates(target, name));
        for known in candidates.filter(|image| image.revision.as_ref() == Some(&revision.id)) {
            let mut image = known.clone();
            image.result.config.cloud_name.clone_from(name);
            let deadline = Deadline::after(LOOK);
            if known.is_shared() {
                // One that another build project shares is not this one's.
                let source = plan.source.as_ref().filter(|_| way == Way::Share);
                if let Some(source) = source
                    && is_shared(self.build_cloud, cloud, source, deadline)?
                {
                    return Ok(Look::Has(image));
                }
                continue;
            }
            let found = cloud.images().get(&known.result.id, deadline)?;
            if !found.is_some_and(|found| proof.holds_for(&found, &cloud.project_id())) {
                if known.is_of(target, name) {
                    log::warn!(
                        "{target} in {name}: image {} is missing, or differs from what was delivered",
                        known.result.id
                    );
                }
            } else if way == Way::Share && self.config.delivery == Delivery::Share {
                copy.get_or_insert(image);
            } else {
                return Ok(Look::Has(image));
            }
        }
        Ok(Look::Lacks { copy })
    }
}

/// What the delivery option asks for where it cannot be had.
const NOT_SHARED: &str = "sharing images with the project: its auth_url or region_name differs from that of the build project \
    (openstack-auth-url, openstack-region-name); set delivery to auto or copy";

/// What was seen in a project.
enum Look {
    /// It has the image.
    Has(Image),
    /// It is to get it.
    Lacks {
        /// The copy that it has of it, where a shared image is wanted.
        copy: Option<Image>,
    },
}

fn with_proof(revision: &Revision) -> Option<(&Revision, &Proof)> {
    Some((revision, revision.proof.as_ref()?))
}
