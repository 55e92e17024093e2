//! What is due: what an image of a target would be made of now, and which clouds have it already.

use std::time::Duration;

use super::base_image::{self, Offer};
use super::config::{BuildMode, BuildSecrets, BuilderRunConfig, CloudName, JobId};
use super::connect::visit_each;
use super::fingerprint::fingerprint;
use super::job::Rebuild;
use super::journal::{Failure, Timestamp};
use super::labels::{self, FINGERPRINT, Stage};
use super::latest::published;
use super::releases::{find_runner, find_tools};
use crate::deadline::Deadline;
use crate::host::Host;
use crate::http::HttpClient;
use crate::instance::{ExternalScript, RunnerBase, RunnerTarball};
use crate::openstack_cloud::{Cloud, Image as CloudImage, ImageStatus, OpenStackError};
use crate::target::Target;

/// How long a snapshot that no cloud has taken is kept for further tries.
const SNAPSHOT_KEPT: Duration = Duration::from_secs(24 * 3600);

/// What an image is made of.
pub struct Ingredients {
    /// What goes into it.
    pub base: RunnerBase,
    /// What it is built on.
    pub offer: Offer,
    /// Both as one digest.
    pub fingerprint: String,
}

/// A target of which we know what its image would be made of, and where there is one already.
pub struct Plan {
    /// What the image is made of.
    pub ingredients: Ingredients,
    /// The clouds that have it.
    pub present: Vec<(CloudName, CloudImage)>,
    /// The clouds that lack it.
    pub missing: Vec<CloudName>,
    /// Why it is not known of the other clouds whether they have it.
    pub unknown: Vec<Failure>,
    /// A snapshot of it that an earlier run has left to be delivered.
    pub snapshot: Option<CloudImage>,
    /// Snapshots for this target that nobody waits for any more.
    pub stale: Vec<CloudImage>,
}

impl Plan {
    /// What the image is for.
    pub fn target(&self) -> Target {
        self.ingredients.base.target
    }

    /// Whether no cloud has what some want: it is built, or a snapshot of it is looked at.
    pub fn needs_place(&self) -> bool {
        self.present.is_empty() && !self.missing.is_empty()
    }
}

/// What counts as built.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// Whether images that are up to date do.
    pub rebuild: Rebuild,
    /// The job, and those that it goes on with: what they have built does in any case.
    pub jobs: &'a [JobId],
}

impl Wanted<'_> {
    fn accepts(&self, image: &CloudImage) -> bool {
        self.rebuild == Rebuild::Due || labels::is_of_job(self.jobs, image)
    }
}

/// Finds out what is due.
pub struct Planner<'a> {
    /// The machine that we run on.
    pub host: &'a Host,
    /// The door to the web.
    pub http: &'a HttpClient,
    /// What is wanted.
    pub config: &'a BuilderRunConfig,
    /// The secrets of the run.
    pub secrets: &'a BuildSecrets,
    /// The external script, fetched.
    pub script: Option<&'a ExternalScript>,
    /// The runner application; what the recipe names when absent.
    pub runner: Option<&'a RunnerTarball>,
}

impl Planner<'_> {
    /// What an image of `target` would be made of now.
    pub fn ingredients(&self, target: Target, deadline: Deadline) -> Result<Ingredients, Failure> {
        let offer = base_image::look_up(self.host, self.http, &self.config.base_image, target, deadline)
            .map_err(|error| Failure::of(&error, error.operator_must_act()))?;
        let (source, recipe) = (&self.config.runner, self.config.recipe.of(target));
        let runner = match self.runner {
            Some(runner) => runner.clone(),
            None => find_runner(self.http, source, &recipe, target, deadline)
                .map_err(|error| Failure::of(&error, error.operator_must_act()))?,
        };
        let tools = find_tools(self.http, source, &recipe, deadline)
            .map_err(|error| Failure::of(&error, error.operator_must_act()))?;
        let base = RunnerBase {
            target,
            recipe,
            tools,
            runner,
            script: self.script.cloned(),
            script_variables: self.secrets.script.clone(),
            environment: self.secrets.proxies.environment(),
            apt_mirror: self.config.vm.apt_mirror.clone(),
        };
        let fingerprint = fingerprint(&base, &offer.sha256, self.config.script_secret.as_deref());
        Ok(Ingredients { base, offer, fingerprint })
    }

    /// The plan for `target` in `clouds`, where `build_cloud` may have a snapshot of an earlier run.
    pub fn plan<'c>(
        &self,
        target: Target,
        build_cloud: &Cloud,
        clouds: impl Iterator<Item = (&'c CloudName, &'c Cloud)>,
        wanted: Wanted<'_>,
        deadline: Deadline,
    ) -> Result<Plan, Failure> {
        let ingredients = self.ingredients(target, deadline)?;
        let counts =
            |image: &CloudImage| wanted.accepts(image) && self.is_fresh(image, &ingredients.fingerprint);
        let failure = |error: OpenStackError| Failure::of(&error, error.operator_must_act());
        let looks =
            visit_each(clouds, |name, cloud| (name, published(cloud, &self.config.owner, target, deadline)));
        let (mut present, mut missing, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
        for (name, images) in looks {
            match images.map(|images| images.into_iter().find(counts)) {
                Ok(Some(image)) => present.push((name.clone(), image)),
                Ok(None) => missing.push(name.clone()),
                // The others are served all the same.
                Err(error) => unknown.push(Failure {
                    target: Some(target),
                    cloud: Some(name.clone()),
                    ..failure(error)
                }),
            }
        }
        let mut stale = labels::images(build_cloud, &self.config.owner, Stage::Snapshot, None, deadline)
            .map_err(failure)?;
        stale.retain(|image| {
            labels::is_of_this_unit(&self.config.owner, image) && labels::is_for(target, image)
        });
        // One that is built here has no need of a snapshot, and no VM to verify it with.
        let is_wanted = !missing.is_empty() || !unknown.is_empty();
        let undelivered = present.is_empty() && is_wanted && self.config.build_mode == BuildMode::External;
        let usable = stale.iter().position(|image| undelivered && is_complete(image) && counts(image));
        let snapshot = usable.map(|index| stale.remove(index));
        Ok(Plan { ingredients, present, missing, unknown, snapshot, stale })
    }

    fn is_fresh(&self, image: &CloudImage, fingerprint: &str) -> bool {
        let limit = Duration::from_secs(u64::from(self.config.max_image_age_hours) * 3600);
        image.properties.get(FINGERPRINT).is_some_and(|made_of| made_of == fingerprint)
            && built(image).age() <= limit
    }
}

/// Whether a snapshot has all of its bytes, and not since too long ago.
fn is_complete(snapshot: &CloudImage) -> bool {
    snapshot.status == ImageStatus::Active
        && snapshot.size.is_some_and(|size| size > 0)
        && built(snapshot).age() <= SNAPSHOT_KEPT
}

/// When a published image was built.
pub fn built(image: &CloudImage) -> Timestamp {
    Timestamp::of_rfc3339(&image.created_at).unwrap_or(Timestamp(0))
}
