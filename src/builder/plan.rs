//! What is due: what an image of a target would be made of now, and whether there is such a build already.

use std::time::Duration;

use super::fingerprint::{fingerprint, preparation_key};
use super::releases::{find_runner, find_tools};
use crate::builder::delivery::revisions;
use crate::builder::image::base_image::{self, UpstreamImage};
use crate::builder::ownership::labels::{self, FINGERPRINT};
use crate::builder::ownership::own_images::OwnImages;
use crate::github::GithubClient;
use crate::host::Host;
use crate::http::HttpClient;
use crate::instance::{ExternalScript, ImageInfo, Part, RunnerBase, RunnerTarball};
use crate::model::{Deadline, Target, Timestamp};
use crate::openstack_cloud::{Image as CloudImage, ImageStatus};
use crate::record::{
    BuildSecrets, BuilderRunConfig, Contents, FAILED_READS, Failure, JobId, Known, Manifest, Rebuild,
    Revision, SecurityFixes, Upstream, first_few,
};

/// How long a snapshot that could not be verified is kept for further tries.
const SNAPSHOT_KEPT: Duration = Duration::from_secs(24 * 3600);

/// What an image is made of.
pub struct BuildInputs {
    /// What goes into it.
    pub base: RunnerBase,
    /// What it is built on.
    pub offer: UpstreamImage,
    /// Both as one digest.
    pub fingerprint: String,
}

impl BuildInputs {
    /// What a prepared image must have been made of to be built on.
    pub fn preparation_key(&self) -> String {
        preparation_key(&self.base, &self.offer.sha256)
    }

    /// What people are told of it, beside what the image itself says.
    pub fn contents(&self) -> Contents {
        Contents {
            runner: self.base.runner.version.clone(),
            base_image: self.offer.signed,
            base_serial: None,
            manifest: None,
            boot: None,
            snapshot_format: None,
            begun: Some(self.base.image.built),
        }
    }
}

/// A target of which we know what its image would be made of, and how far it is.
pub struct Plan {
    /// What the image is made of.
    pub inputs: BuildInputs,
    /// The build that is up to date, by our own evidence: projects that have it need no other.
    pub current: Option<Revision>,
    /// Its image in the build project, to be copied to those that lack it.
    pub source: Option<CloudImage>,
    /// A snapshot of it that an earlier run has left to be verified and kept.
    pub snapshot: Option<CloudImage>,
    /// Snapshots for this target that nobody waits for any more.
    pub stale: Vec<CloudImage>,
}

impl Plan {
    /// What the image is for.
    pub fn target(&self) -> Target {
        self.inputs.base.target
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
    fn accepts_snapshot(&self, image: &CloudImage) -> bool {
        self.rebuild == Rebuild::Due || labels::is_of_job(self.jobs, image)
    }

    fn accepts(&self, revision: &Revision) -> bool {
        self.rebuild == Rebuild::Due || self.jobs.contains(&revision.job)
    }
}

/// Finds out what is due.
pub struct Planner<'a> {
    /// The machine that we run on.
    pub host: &'a Host,
    /// The door to the web.
    pub http: &'a HttpClient,
    /// Who has the releases.
    pub github: &'a GithubClient,
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
    pub fn inputs(&self, target: Target, deadline: Deadline) -> Result<BuildInputs, Failure> {
        let offer = base_image::look_up(self.host, self.http, &self.config.base_image, target, deadline)
            .map_err(|error| Failure::of(&error, error.operator_must_act()))?;
        let (source, recipe) = (&self.config.runner, self.config.recipe.of(target));
        let runner = match self.runner {
            Some(runner) => runner.clone(),
            None => find_runner(self.github, source, &recipe, target, deadline)
                .map_err(|error| Failure::of(&error, error.operator_must_act()))?,
        };
        let tools = find_tools(self.github, source, &recipe, deadline)
            .map_err(|error| Failure::of(&error, error.operator_must_act()))?;
        let base = RunnerBase {
            part: Part::Whole,
            target,
            recipe,
            tools,
            runner,
            script: self.script.cloned(),
            script_variables: self.secrets.script.clone(),
            environment: self.secrets.proxies.environment(),
            apt_mirror: self.config.vm.apt_mirror.clone(),
            image: ImageInfo {
                application: self.config.owner.application.clone(),
                base_image: offer.signed,
                built: Timestamp::now(),
            },
        };
        let fingerprint = fingerprint(&base, &offer.sha256, self.config.script_secret.as_deref());
        Ok(BuildInputs { base, offer, fingerprint })
    }

    /// The plan for `target`, as far as `known` and our `own` images in the build project tell.
    pub fn plan(
        &self,
        target: Target,
        own: &Result<OwnImages, Failure>,
        known: &Known,
        wanted: Wanted<'_>,
        deadline: Deadline,
    ) -> Result<Plan, Failure> {
        let inputs = self.inputs(target, deadline)?;
        let planned =
            |known: &mut Upstream| known.plans(target, &inputs.base.runner.version, &inputs.offer.sha256);
        if let Err(error) = Upstream::change(self.host, planned) {
            log::warn!("{error}; the next check may request this build again");
        }
        let own = own.as_ref().map_err(Clone::clone)?;
        let fingerprint = inputs.fingerprint.as_str();
        let owner = &self.config.owner;
        let fixes = SecurityFixes::load(self.host);
        let counts = |revision: &&Revision| {
            revision.target == target
                && revision.fingerprint == fingerprint
                && revision.built.age() <= self.max_age(revision)
                && wanted.accepts(revision)
                && !self.lacks_fixes(&fixes, revision)
        };
        let current = known.revisions.iter().filter(counts).max_by_key(|revision| revision.built);
        let readable = current.filter(|revision| revision.failed_reads < FAILED_READS);
        let source = readable.and_then(|revision| revisions::find(&own.builds, owner, revision)).cloned();
        // What was never read, nobody can have a copy of.
        let current = current.filter(|revision| source.is_some() || revision.proof.is_some()).cloned();
        let is_for_it =
            |image: &&CloudImage| labels::is_of_this_unit(owner, image) && labels::is_for(target, image);
        let mut stale: Vec<CloudImage> = own.snapshots.iter().filter(is_for_it).cloned().collect();
        // Where no VM is launched there is none to verify it with.
        let lacks_build = source.is_none() && self.config.launches_vms();
        let usable = |image: &CloudImage| {
            is_complete(image)
                && image.properties.get(FINGERPRINT).is_some_and(|made_of| made_of == fingerprint)
                && built(image).age() <= self.config.max_image_age()
                && wanted.accepts_snapshot(image)
        };
        let usable = stale.iter().position(|image| lacks_build && usable(image));
        let snapshot = usable.map(|index| stale.remove(index));
        Ok(Plan { inputs, current, source, snapshot, stale })
    }

    /// How old `revision` may be.
    fn max_age(&self, revision: &Revision) -> Duration {
        match Manifest::of(self.host, revision) {
            Ok(Some(_)) => self.config.max_image_age(),
            Ok(None) | Err(_) => self.config.max_unknown_age(),
        }
    }

    /// Whether a new build may bring security fixes that `revision` lacks. Where that cannot be told it does not count.
    fn lacks_fixes(&self, fixes: &SecurityFixes, revision: &Revision) -> bool {
        let due = fixes.due(self.host, self.config, revision).unwrap_or_else(|error| {
            log::warn!("{}: {error}; security fixes of its packages are not considered", revision.target);
            Vec::new()
        });
        if !due.is_empty() {
            let (target, id) = (revision.target, &revision.id);
            log::info!("{target}: build {id} lacks security fixes: {}", first_few(&due));
        }
        !due.is_empty()
    }
}

/// Whether a snapshot has all of its bytes, and not since too long ago.
fn is_complete(snapshot: &CloudImage) -> bool {
    snapshot.status == ImageStatus::Active
        && snapshot.size.is_some_and(|size| size > 0)
        && built(snapshot).age() <= SNAPSHOT_KEPT
}

/// When an image was made.
pub fn built(image: &CloudImage) -> Timestamp {
    Timestamp::of_rfc3339(&image.created_at).unwrap_or(Timestamp(0))
}
