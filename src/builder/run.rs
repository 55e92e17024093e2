//! One run over all targets and clouds: find out what is due, build it side by side, deliver it, and tell of each
//! result as soon as there is one.

mod clean_up;
mod prepared;
mod told;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{Scope, scope};
use std::time::Duration;

pub use self::clean_up::{clean_up, search};
pub use self::prepared::{Preparation, prepare};
pub use self::told::deliver_chosen;
use super::backend::Backend;
use super::lane::Lane;
use super::plan::{Plan, Planner, Wanted};
use super::releases;
use super::run_context::{RunContext, Sweep};
use super::script;
use super::side_by_side::side_by_side;
use crate::builder::clouds::clouds_yaml::read_clouds_yaml;
use crate::builder::clouds::connect::{connect_to, http_client};
use crate::builder::clouds::names::Clouds;
use crate::builder::clouds::projects::Projects;
use crate::builder::delivery::distribution::Distributor;
use crate::builder::delivery::outcome::Outcome;
use crate::builder::delivery::publisher::Publisher;
use crate::builder::delivery::queue::{DeliveryQueue, Slots};
use crate::builder::delivery::revisions;
use crate::builder::image::base_image::base_image_name;
use crate::builder::image::prepared::prepared_image_name;
use crate::builder::image::site::remove_security_group;
use crate::builder::ownership::own_images::OwnImages;
use crate::builder::upkeep::adoption::{Adoption, adopt};
use crate::builder::upkeep::leave::leave_clouds;
use crate::builder::upkeep::sweep::{Keep, Swept, sweep_cloud};
use crate::http::HttpClient;
use crate::instance::ExternalScript;
use crate::model::{Deadline, Target};
use crate::openstack_cloud::Cloud;
use crate::record::{BuildMode, BuildResult, BuilderRunConfig, CloudName, Failure, JobId, Phase, Told};

/// How long those may take to get an image who are served together.
const DELIVERY_LIMIT: Duration = Duration::from_secs(3 * 3600);
/// How long each look into the build project, and each sweep of it, may take.
const LOOK_LIMIT: Duration = Duration::from_secs(900);
/// How long the build project may take to accept us.
const CONNECT_LIMIT: Duration = Duration::from_secs(120);
/// How many images are built at a time in builder VMs.
const BUILDS: usize = 4;

/// Not everything that was asked for was built (seed `builder`: `BuilderRunError`). What was built stands in it.
#[derive(Debug, thiserror::Error)]
#[error("{} of the requested images failed: {}", failures.len(), failures.first().map_or("", |failure| &failure.message))]
pub struct BuilderRunError {
    /// The images that exist.
    pub results: Vec<BuildResult>,
    /// What went wrong, at least one.
    pub failures: Vec<Failure>,
}

/// Builds and delivers images now (seed `builder`: `run`): one result for each base, architecture and cloud. An image
/// that is there already, made of the same and young enough, is a result without a build. Blocks for as long as it
/// takes: for the worker and the command line, never for a hook.
pub fn run(context: &RunContext<'_>, config: &BuilderRunConfig) -> Result<Vec<BuildResult>, BuilderRunError> {
    let outcome = Outcome::default();
    scope(|scope| {
        if config.adopt {
            // What is there already is told at once, whatever becomes of the builds.
            let RunContext { host, job, secrets, known, progress, .. } = *context;
            scope.spawn(move || adopt(&Adoption { host, job, secrets, known, progress }, config));
        }
        match Run::prepare(context, config, &outcome) {
            Ok(run) => run.work(),
            Err(failure) => outcome.fail(failure),
        }
    });
    let (results, failures) = outcome.into_parts();
    if failures.is_empty() { Ok(results) } else { Err(BuilderRunError { results, failures }) }
}

/// One run, connected to the build project.
pub(super) struct Run<'a> {
    pub(super) context: &'a RunContext<'a>,
    pub(super) config: &'a BuilderRunConfig,
    outcome: &'a Outcome,
    pub(super) http: HttpClient,
    known: Clouds,
    pub(super) build_cloud: Cloud,
    /// The related projects that were reached.
    projects: Projects,
    script: Option<ExternalScript>,
    /// How many images may be built at a time.
    pub(super) builds: Slots,
    /// Where they are built, once one is.
    pub(super) backend: OnceLock<Result<Backend, Failure>>,
    /// What earlier runs have left, and had to stay.
    left: Mutex<Vec<String>>,
    /// What the build project has of ours, as the sweep has seen it.
    own: Option<OwnImages>,
}

impl<'a> Run<'a> {
    /// Connects to the build project: without it there is nothing to do.
    fn connect(
        context: &'a RunContext<'a>,
        config: &'a BuilderRunConfig,
        outcome: &'a Outcome,
    ) -> Result<Self, Failure> {
        let http = http_client(context.secrets)?;
        let known = read_clouds_yaml(context.host).map_err(|error| Failure::of(&error, false))?;
        let build_cloud = connect_to(&known, &config.build_cloud, &http, Deadline::after(CONNECT_LIMIT))
            .map_err(|error| {
                let failure = Failure::of(&error, error.operator_must_act());
                Failure { cloud: Some(config.build_cloud.clone()), ..failure }
            })?;
        context.connections.keep(&config.build_cloud, &build_cloud);
        // One machine builds one image after the other: two would only wait for the same disk.
        let builds = Slots::new(if config.build_mode == BuildMode::Local { 1 } else { BUILDS });
        let (script, backend, left, own) = (None, OnceLock::new(), Mutex::default(), None);
        let projects = Projects::of(config.clouds.len());
        Ok(Self {
            context,
            config,
            outcome,
            http,
            known,
            build_cloud,
            projects,
            script,
            builds,
            backend,
            left,
            own,
        })
    }

    /// Connects, sweeps the build project if that is due, and fetches what all targets share.
    fn prepare(
        context: &'a RunContext<'a>,
        config: &'a BuilderRunConfig,
        outcome: &'a Outcome,
    ) -> Result<Self, Failure> {
        let mut run = Self::connect(context, config, outcome)?;
        if context.sweep == Sweep::Due {
            let Swept { left, own } = run.sweep(Keep::Usable(config, context.job));
            run.had_to_stay(left);
            run.own = own;
        }
        let noted = context.progress.works_in(&config.build_cloud, run.what_stays());
        noted.map_err(|error| Failure::of(&error, false))?;
        let deadline = Deadline::after(LOOK_LIMIT);
        let script =
            config.script_url.as_deref().map(|url| script::fetch(&run.http, url, deadline)).transpose();
        match script {
            Ok(script) => Ok(Self { script, ..run }),
            Err(error) => {
                context.known.choices.iter().for_each(|choice| _ = run.deliver_chosen(choice));
                run.targets().into_iter().for_each(|target| run.restore_told(target));
                Err(Failure::of(&error, error.operator_must_act()))
            }
        }
    }

    /// Removes what earlier runs have left in the build project.
    fn sweep(&self, keep: Keep<'_>) -> Swept {
        let deadline = Deadline::after(LOOK_LIMIT);
        let swept = match Told::load(self.context.host) {
            Ok(told) => sweep_cloud(&self.build_cloud, &self.config.owner, keep, &told, deadline),
            Err(error) => Swept { left: vec![error.to_string()], own: None },
        };
        if swept.left.is_empty() {
            self.context.progress.swept(&self.config.build_cloud);
        }
        swept
    }

    /// Something of earlier runs is left.
    fn had_to_stay(&self, what: Vec<String>) {
        what.iter().for_each(|what| log::warn!("not removed; the next sweep retries: {what}"));
        self.left.lock().unwrap_or_else(PoisonError::into_inner).extend(what);
    }

    /// Notes whether the next run is to look again for what earlier ones have left.
    fn note_search(&self) {
        if !self.left.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
            self.context.progress.sweep_again();
        } else if self.context.sweep == Sweep::Due {
            self.context.progress.searched();
        }
    }

    /// Leaves the clouds that are not used any more, beside all else; those that are related projects now are left by
    /// their lanes.
    fn leave<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) {
        let Self { context, config, http, build_cloud, .. } = self;
        let is_no_lane = |name: &CloudName| !config.clouds.contains(name);
        let RunContext { host, job, former, progress, .. } = **context;
        scope.spawn(move || {
            leave_clouds(host, former, (job, progress), config, http, build_cloud, &is_no_lane)
        });
    }

    fn lane<'l>(&'l self, name: &'l CloudName) -> Lane<'l> {
        let Self { context, config, http, known, build_cloud, projects, outcome, .. } = self;
        Lane { context, config, http, known, build_cloud, projects, name, outcome }
    }

    /// What runs make in the build project to stay there, by name.
    fn what_stays(&self) -> Vec<String> {
        let (application, targets) = (&self.config.owner.application, &self.config.targets);
        let bases =
            targets.iter().map(|target| format!("base image {}", base_image_name(application, *target)));
        let bases = bases.filter(|_| self.config.build_mode == BuildMode::External);
        let builds = targets.iter().map(|target| format!("build {}", revisions::name(application, *target)));
        let prepared = targets
            .iter()
            .map(|target| format!("prepared image {}", prepared_image_name(application, *target)));
        let prepared = prepared.filter(|_| self.config.keeps_prepared_images());
        bases.chain(prepared).chain(builds).collect()
    }

    fn targets(&self) -> Vec<Target> {
        let chosen =
            |target: &&Target| self.context.bases.is_empty() || self.context.bases.contains(&target.base);
        self.config.targets.iter().filter(chosen).copied().collect()
    }

    fn work(&self) {
        // Before anything is built.
        self.context.known.choices.iter().for_each(|choice| _ = self.deliver_chosen(choice));
        let (plans, without) = self.plans();
        let queue = DeliveryQueue::new(self.config.clouds.len());
        let Self { context, config, outcome, build_cloud, projects, .. } = self;
        let publisher = Publisher { progress: context.progress, outcome, projects };
        let distributor = Distributor::new(build_cloud, config, context.job, publisher, &queue);
        scope(|scope| {
            let (queue, plans) = (&queue, &plans);
            for name in &config.clouds {
                scope.spawn(move || self.had_to_stay(self.lane(name).run(plans, &queue.report())));
            }
            self.leave(scope);
            without.into_iter().for_each(|target| _ = scope.spawn(move || self.restore_told(target)));
            for plan in plans {
                let distributor = &distributor;
                scope.spawn(move || {
                    if let Err(failure) = self.execute(plan, distributor, scope) {
                        self.give_up(plan.target(), failure);
                        self.restore_told(plan.target());
                    }
                });
            }
        });
        self.note_search();
        let launches =
            |backend: &Result<Backend, Failure>| backend.as_ref().is_ok_and(|known| known.site().is_some());
        if self.backend.get().is_some_and(launches) || context.sweep == Sweep::Due {
            let deadline = Deadline::after(LOOK_LIMIT);
            for what in remove_security_group(build_cloud, &config.owner, deadline) {
                log::warn!("not removed; the next job retries: {what}");
                context.progress.sweep_again();
            }
        }
    }

    /// What is due of each target, and the targets of which that cannot be told.
    fn plans(&self) -> (Vec<Plan>, Vec<Target>) {
        let targets = self.targets();
        targets.iter().for_each(|target| self.context.progress.phase(*target, Phase::Waiting));
        let RunContext { host, secrets, .. } = *self.context;
        let planner = Planner {
            host,
            http: &self.http,
            github: &releases::github(host, &self.http, &self.config.runner, secrets),
            config: self.config,
            secrets,
            script: self.script.as_ref(),
            runner: None,
        };
        let jobs: Vec<JobId> =
            [self.context.job].into_iter().chain(self.context.continues).cloned().collect();
        let wanted = Wanted { rebuild: self.context.rebuild, jobs: &jobs };
        let own = self.own_images();
        let plans = side_by_side(&targets, |target| {
            self.context.progress.phase(*target, Phase::Checking);
            planner
                .plan(*target, &own, self.context.known, wanted, Deadline::after(LOOK_LIMIT))
                .map_err(|failure| self.give_up(*target, failure))
                .ok()
        });
        let without =
            targets.iter().zip(&plans).filter(|(_, plan)| plan.is_none()).map(|(target, _)| *target);
        let without = without.collect();
        (plans.into_iter().flatten().collect(), without)
    }

    /// What the build project has of ours, listed unless the sweep has just done so.
    fn own_images(&self) -> Result<OwnImages, Failure> {
        match &self.own {
            // What was delivered since may have changed them.
            Some(own) if self.context.known.choices.is_empty() => Ok(own.clone()),
            _ => OwnImages::list(&self.build_cloud, &self.config.owner, Deadline::after(LOOK_LIMIT))
                .map_err(|error| Failure::of(&error, error.operator_must_act())),
        }
    }

    fn give_up(&self, target: Target, failure: Failure) {
        self.context.progress.phase(target, Phase::Failed);
        self.outcome.fail(Failure { target: Some(target), ..failure });
    }

    /// Serves all projects that lack the image, as they come.
    fn execute<'scope>(
        &'scope self,
        plan: &Plan,
        distributor: &'scope Distributor<'_>,
        scope: &'scope Scope<'scope, '_>,
    ) -> Result<(), Failure> {
        let (target, queue, progress) = (plan.target(), distributor.queue, self.context.progress);
        plan.stale.iter().for_each(|snapshot| self.remove_snapshot(target, snapshot));
        if !queue.is_wanted(target) {
            let nobody = !self.config.clouds.is_empty() && !queue.anybody_has(target);
            progress.phase(target, if nobody { Phase::Failed } else { Phase::UpToDate });
            return Ok(());
        }
        let artifact = Arc::new(self.artifact(plan)?);
        progress.phase(target, Phase::Delivering);
        while queue.is_wanted(target) {
            distributor.deliver(scope, &artifact, Deadline::after(DELIVERY_LIMIT));
        }
        progress.phase(target, if queue.anybody_has(target) { Phase::Done } else { Phase::Failed });
        Ok(())
    }
}
