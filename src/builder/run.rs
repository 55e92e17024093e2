//! One run over all targets and clouds: find out what is due, build it side by side, deliver it, and tell of each
//! result as soon as there is one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use super::base_image;
use super::clouds_yaml::read_clouds_yaml;
use super::config::{BuildConfig, BuildResult, BuildSecrets, BuilderRunConfig, CloudName, JobId};
use super::delivery::Parcel;
use super::external::ExternalBuild;
use super::job::Rebuild;
use super::journal::{Failure, Image, Phase, Timestamp};
use super::plan::{Plan, Planner, built};
use super::prune::prune;
use super::script;
use super::side_by_side::side_by_side;
use super::site::{Site, SiteError, remove_security_group};
use super::sweep::sweep;
use crate::deadline::Deadline;
use crate::host::Host;
use crate::http::HttpClient;
use crate::instance::ExternalScript;
use crate::openstack_cloud::{Cloud, Image as CloudImage};
use crate::target::{BaseImage, Target};

/// How long one target may take, all in all.
const BUILD_LIMIT: Duration = Duration::from_secs(3 * 3600);
/// How long looking, connecting and sweeping may take.
const LOOK_LIMIT: Duration = Duration::from_secs(900);

/// Not everything that was asked for was built (seed `builder`: `BuilderRunError`). What was built stands in it.
#[derive(Debug, thiserror::Error)]
#[error("{} of the asked-for images failed: {}", failures.len(), failures.first().map_or("", |failure| &failure.message))]
pub struct BuilderRunError {
    /// The images that exist.
    pub results: Vec<BuildResult>,
    /// What went wrong, at least one.
    pub failures: Vec<Failure>,
}

/// Hears of a run's progress, from several threads.
pub trait Progress: Sync {
    /// A target is in this phase now.
    fn phase(&self, target: Target, phase: Phase);
    /// An image is active and checked in its cloud.
    fn published(&self, image: Image);
}

/// What a run works with beside its configuration.
pub struct RunContext<'a> {
    /// The machine that we run on.
    pub host: &'a Host,
    /// The job's id.
    pub job: &'a JobId,
    /// The secrets of the run.
    pub secrets: &'a BuildSecrets,
    /// Whether to build what is up to date.
    pub rebuild: Rebuild,
    /// Only these bases; all when empty.
    pub bases: &'a [BaseImage],
    /// Who hears of it.
    pub progress: &'a dyn Progress,
}

/// Builds and delivers images now (seed `builder`: `run`): one result for each base, architecture and cloud. An image
/// that is there already, made of the same and young enough, is a result without a build. Blocks for as long as it
/// takes: for the worker and the command line, never for a hook.
pub fn run(context: &RunContext<'_>, config: &BuilderRunConfig) -> Result<Vec<BuildResult>, BuilderRunError> {
    let outcome = Outcome::default();
    match Run::prepare(context, config, &outcome) {
        Ok(run) => run.work(),
        Err(failure) => outcome.fail(failure),
    }
    let (results, failures) = outcome.into_parts();
    if failures.is_empty() { Ok(results) } else { Err(BuilderRunError { results, failures }) }
}

/// Prunes old revisions in every cloud of `config`, after the new ones are published. `named` are the images that
/// relations name; they stay.
pub fn prune_all(host: &Host, secrets: &BuildSecrets, config: &BuilderRunConfig, named: &BTreeSet<String>) {
    let outcome = Outcome::default();
    let deadline = Deadline::after(LOOK_LIMIT);
    let Ok(http) = http_client(secrets) else { return };
    for (name, cloud) in connect(host, config, &http, &outcome, deadline) {
        for target in config.targets.iter().filter(|_| config.clouds.contains(&name)) {
            let limit = config.revision_history_limit;
            if let Err(error) = prune(&cloud, &config.owner, *target, limit, named, deadline) {
                log::warn!("pruning {target} in {name}: {error}");
            }
        }
    }
}

/// What has come of a run so far.
#[derive(Default)]
struct Outcome {
    results: Mutex<Vec<BuildResult>>,
    failures: Mutex<Vec<Failure>>,
}

impl Outcome {
    fn fail(&self, failure: Failure) {
        log::error!("{}", failure.message);
        lock(&self.failures).push(failure);
    }

    fn into_parts(self) -> (Vec<BuildResult>, Vec<Failure>) {
        (std::mem::take(&mut lock(&self.results)), std::mem::take(&mut lock(&self.failures)))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn http_client(secrets: &BuildSecrets) -> Result<HttpClient, Failure> {
    Ok(HttpClient::new(secrets.proxies.resolved().map_err(|error| Failure::of(&error, true))?))
}

struct Run<'a> {
    context: &'a RunContext<'a>,
    config: &'a BuilderRunConfig,
    outcome: &'a Outcome,
    http: HttpClient,
    build_cloud: Cloud,
    clouds: BTreeMap<CloudName, Cloud>,
    script: Option<ExternalScript>,
}

impl<'a> Run<'a> {
    fn prepare(
        context: &'a RunContext<'a>,
        config: &'a BuilderRunConfig,
        outcome: &'a Outcome,
    ) -> Result<Self, Failure> {
        let deadline = Deadline::after(LOOK_LIMIT);
        let http = http_client(context.secrets)?;
        let clouds = connect(context.host, config, &http, outcome, deadline);
        let Some(build_cloud) = clouds.get(&config.build_cloud).cloned() else {
            // The outcome has the reason already.
            return Err(lock(&outcome.failures)
                .pop()
                .unwrap_or_else(|| Failure::of(&"no build cloud", true)));
        };
        let run = Self { context, config, outcome, http, build_cloud, clouds, script: None };
        sweep(&run.build_cloud, run.clouds.values(), &config.owner, deadline);
        let script =
            config.script_url.as_deref().map(|url| script::fetch(&run.http, url, deadline)).transpose();
        let script = script.map_err(|error| Failure::of(&error, error.operator_must_act()))?;
        Ok(Self { script, ..run })
    }

    fn targets(&self) -> Vec<Target> {
        let chosen =
            |target: &&Target| self.context.bases.is_empty() || self.context.bases.contains(&target.base);
        self.config.targets.iter().filter(chosen).copied().collect()
    }

    fn work(&self) {
        let targets = self.targets();
        targets.iter().for_each(|target| self.context.progress.phase(*target, Phase::Waiting));
        let planner = Planner {
            host: self.context.host,
            http: &self.http,
            config: self.config,
            secrets: self.context.secrets,
            script: self.script.as_ref(),
        };
        let plans: Vec<Plan> = side_by_side(&targets, |target| {
            self.context.progress.phase(*target, Phase::Checking);
            planner
                .plan(*target, self.related_clouds(), self.context.rebuild, Deadline::after(LOOK_LIMIT))
                .map_err(|failure| self.give_up(*target, failure))
                .ok()
        })
        .into_iter()
        .flatten()
        .collect();
        let site = match plans.iter().any(Plan::needs_build) {
            true => Some(Site::choose(
                &self.build_cloud,
                &self.config.owner,
                &self.config.vm,
                Deadline::after(LOOK_LIMIT),
            )),
            false => None,
        };
        side_by_side(&plans, |plan| {
            let target = plan.target();
            if let Err(failure) = self.execute(plan, site.as_ref(), Deadline::after(BUILD_LIMIT)) {
                self.give_up(target, failure);
            }
        });
        if site.is_some()
            && let Err(error) =
                remove_security_group(&self.build_cloud, &self.config.owner, Deadline::after(LOOK_LIMIT))
        {
            log::warn!("the security group stays for the next job: {error}");
        }
    }

    fn give_up(&self, target: Target, failure: Failure) {
        self.context.progress.phase(target, Phase::Failed);
        self.outcome.fail(Failure { target: Some(target), ..failure });
    }

    /// The clouds of relations that could be reached.
    fn related_clouds(&self) -> impl Iterator<Item = (&CloudName, &Cloud)> {
        self.clouds.iter().filter(|(name, _)| self.config.clouds.contains(name))
    }

    fn execute(
        &self,
        plan: &Plan,
        site: Option<&Result<Site, SiteError>>,
        deadline: Deadline,
    ) -> Result<(), Failure> {
        let target = plan.target();
        for (name, image) in &plan.present {
            self.publish(target, name, image.id.clone(), &plan.ingredients.fingerprint, built(image));
        }
        if plan.missing.is_empty() {
            self.context.progress.phase(target, Phase::UpToDate);
            return Ok(());
        }
        // A cloud that has it can give it to the others: nothing is built twice.
        let reached = plan.present.first().and_then(|(name, image)| Some((self.clouds.get(name)?, image)));
        if let Some((cloud, image)) = reached {
            self.deliver(plan, cloud, image, built(image), deadline);
            return Ok(());
        }
        let snapshot = self.build(plan, site, deadline)?;
        self.deliver(plan, &self.build_cloud, &snapshot, Timestamp::now(), deadline);
        if let Err(error) = self.build_cloud.images().delete(&snapshot.id, Deadline::after(LOOK_LIMIT)) {
            log::warn!("snapshot {} stays for the next sweep: {error}", snapshot.id);
        }
        Ok(())
    }

    fn build(
        &self,
        plan: &Plan,
        site: Option<&Result<Site, SiteError>>,
        deadline: Deadline,
    ) -> Result<CloudImage, Failure> {
        let (context, config, target) = (self.context, self.config, plan.target());
        let site = match site {
            Some(Ok(site)) => site,
            Some(Err(error)) => return Err(Failure::of(error, error.operator_must_act())),
            None => return Err(Failure::of(&"no place for a builder VM was chosen", false)),
        };
        let progress = |phase| context.progress.phase(target, phase);
        progress(Phase::Preparing);
        let base_image = base_image::ensure(
            &self.build_cloud,
            &self.http,
            &config.owner,
            context.job,
            target,
            &plan.ingredients.offer,
            deadline,
        )
        .map_err(|error| Failure::of(&error, error.operator_must_act()))?;
        let build = ExternalBuild {
            host: context.host,
            cloud: &self.build_cloud,
            owner: &config.owner,
            job: context.job,
            site,
            ssh_options: &config.vm.ssh_options,
            base: &plan.ingredients.base,
            progress: &progress,
        };
        build.run(&base_image, deadline).map_err(|error| Failure::of(&error, error.operator_must_act()))
    }

    fn deliver(&self, plan: &Plan, from: &Cloud, source: &CloudImage, made: Timestamp, deadline: Deadline) {
        let target = plan.target();
        self.context.progress.phase(target, Phase::Delivering);
        let to: Vec<(CloudName, Cloud)> = self
            .related_clouds()
            .filter(|(name, _)| plan.missing.contains(name))
            .map(|(name, cloud)| (name.clone(), cloud.clone()))
            .collect();
        let parcel = Parcel {
            owner: &self.config.owner,
            job: self.context.job,
            target,
            fingerprint: &plan.ingredients.fingerprint,
            from,
            source,
        };
        let mut served = !plan.present.is_empty();
        for (name, result) in parcel.deliver(&to, deadline) {
            match result {
                Ok(id) => {
                    served = true;
                    self.publish(target, &name, id, &plan.ingredients.fingerprint, made);
                }
                Err(error) => {
                    let failure = Failure::of(&error, error.operator_must_act());
                    self.outcome.fail(Failure { target: Some(target), cloud: Some(name), ..failure });
                }
            }
        }
        self.context.progress.phase(target, if served { Phase::Done } else { Phase::Failed });
    }

    fn publish(
        &self,
        target: Target,
        cloud: &CloudName,
        id: crate::openstack_cloud::ImageId,
        fingerprint: &str,
        built: Timestamp,
    ) {
        let config = BuildConfig { base: target.base, arch: target.arch, cloud_name: cloud.clone() };
        let result = BuildResult { config, id };
        self.context.progress.published(Image {
            result: result.clone(),
            fingerprint: fingerprint.to_owned(),
            built,
        });
        lock(&self.outcome.results).push(result);
    }
}

/// Connects to the build cloud and to the related clouds, side by side; one that does not answer is a failure of its
/// own and holds up no other.
fn connect(
    host: &Host,
    config: &BuilderRunConfig,
    http: &HttpClient,
    outcome: &Outcome,
    deadline: Deadline,
) -> BTreeMap<CloudName, Cloud> {
    let known = match read_clouds_yaml(host) {
        Ok(known) => known,
        Err(error) => {
            outcome.fail(Failure::of(&error, false));
            return BTreeMap::new();
        }
    };
    // The build cloud last: its failure is the one that the run ends with.
    let related = config.clouds.iter().filter(|name| **name != config.build_cloud);
    let names: Vec<&CloudName> = related.chain([&config.build_cloud]).collect();
    let connections = side_by_side(&names, |name| match known.get(*name) {
        None => Err(Failure::of(&"its credentials are no longer in clouds.yaml", false)),
        Some(cloud) => Cloud::connect(cloud, http, deadline.at_most(Duration::from_secs(120)))
            .map_err(|error| Failure::of(&error, error.operator_must_act())),
    });
    let mut clouds = BTreeMap::new();
    for (name, connection) in names.into_iter().zip(connections) {
        match connection {
            Ok(cloud) => drop(clouds.insert(name.clone(), cloud)),
            Err(failure) => outcome.fail(Failure { cloud: Some(name.clone()), ..failure }),
        }
    }
    clouds
}
