//! One run over all targets and clouds: find out what is due, build it side by side, deliver it, and tell of each
//! result as soon as there is one.

mod told;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{Scope, scope};
use std::time::Duration;

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
use crate::builder::image::site::remove_security_group;
use crate::builder::upkeep::adoption::{Adoption, adopt};
use crate::builder::upkeep::leave::leave_clouds;
use crate::builder::upkeep::memberships::{Ending, Members};
use crate::builder::upkeep::sweep::{Keep, sweep_cloud};
use crate::builder::upkeep::unneeded::Search;
use crate::http::HttpClient;
use crate::instance::ExternalScript;
use crate::model::{Deadline, Target};
use crate::openstack_cloud::Cloud;
use crate::record::{
    BuildMode, BuildResult, BuilderRunConfig, CloudName, Failure, Found, JobId, Journal, Phase, RecordError,
    Told,
};

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

/// Lists what neither we nor relations need in the build project, and deletes what has one of `ids`. Returns what went wrong.
pub fn search(
    context: &RunContext<'_>,
    config: &BuilderRunConfig,
    told: &Told,
    ids: &[String],
) -> Vec<Failure> {
    let outcome = Outcome::default();
    let search = || {
        let run = Run::connect(context, config, &outcome)?;
        let search = Search { cloud: &run.build_cloud, config, known: context.known, told };
        let found = search.delete(ids, Deadline::after(LOOK_LIMIT));
        let found = found.map_err(|error| Failure::of(&error, error.operator_must_act()))?;
        Found::by(context.job, found).save(context.host).map_err(|error| Failure::of(&error, false))
    };
    if let Err(failure) = search() {
        outcome.fail(failure);
    }
    outcome.into_parts().1
}

/// Removes what an earlier job has made and not published: all but published images, base images, and those that failed
/// last. Returns what could not be done.
pub fn clean_up(context: &RunContext<'_>, config: &BuilderRunConfig) -> Vec<Failure> {
    let outcome = Outcome::default();
    match Run::connect(context, config, &outcome) {
        Err(failure) => outcome.fail(failure),
        Ok(run) => {
            let left = run.clean_up();
            if left.is_empty() {
                context.progress.searched();
            } else {
                outcome
                    .fail(Failure::of(&format!("removing what a job has left: {}", left.join("; ")), false));
            }
        }
    }
    outcome.into_parts().1
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
        // One machine builds one image after the other: two would only wait for the same disk.
        let builds = Slots::new(if config.build_mode == BuildMode::Local { 1 } else { BUILDS });
        let (script, backend, left, projects) =
            (None, OnceLock::new(), Mutex::default(), Projects::of(config.clouds.len()));
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
        })
    }

    /// Connects, sweeps the build project if that is due, and fetches what all targets share.
    fn prepare(
        context: &'a RunContext<'a>,
        config: &'a BuilderRunConfig,
        outcome: &'a Outcome,
    ) -> Result<Self, Failure> {
        let run = Self::connect(context, config, outcome)?;
        if context.sweep == Sweep::Due {
            run.had_to_stay(run.sweep(Keep::Usable(config, context.job)));
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

    /// Removes what earlier runs have left in the build project; returns what had to stay.
    fn sweep(&self, keep: Keep<'_>) -> Vec<String> {
        let deadline = Deadline::after(LOOK_LIMIT);
        let left = match Told::load(self.context.host) {
            Ok(told) => sweep_cloud(&self.build_cloud, &self.config.owner, keep, &told, deadline),
            Err(error) => vec![error.to_string()],
        };
        if left.is_empty() {
            self.context.progress.swept(&self.config.build_cloud);
        }
        left
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

    /// Removes what an earlier job has left, everywhere and side by side; returns what had to stay.
    fn clean_up(&self) -> Vec<String> {
        let keep = Keep::BaseImages(self.config);
        let left = scope(|scope| {
            let lanes: Vec<_> = self
                .config
                .clouds
                .iter()
                .map(|name| scope.spawn(move || self.lane(name).clean_up(keep)))
                .collect();
            self.leave(scope);
            let mut left = self.sweep(keep);
            left.extend(self.end_memberships());
            left.extend(lanes.into_iter().filter_map(|lane| lane.join().ok()).flatten());
            left
        });
        left.iter().for_each(|what| log::warn!("not removed; the next sweep retries: {what}"));
        left
    }

    /// Ends the memberships of projects that no relation leads to any more; returns what had to stay.
    fn end_memberships(&self) -> Vec<String> {
        let host = self.context.host;
        let known =
            Told::load(host).map_err(RecordError::from).and_then(|told| Ok((told, Journal::load(host)?)));
        let (told, journal) = match known {
            Ok(known) => known,
            Err(error) => return vec![error.to_string()],
        };
        let members = Members::new(self.config, &journal, &told, Ending::OfFormer);
        let left = members.end_others(&self.build_cloud, Deadline::after(LOOK_LIMIT));
        if left.is_empty() {
            self.context.progress.former_members_have_left(self.config);
        }
        left
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
        bases.chain(builds).collect()
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
        if matches!(self.backend.get(), Some(Ok(Backend::OpenStack { .. }))) || context.sweep == Sweep::Due {
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
        let plans = side_by_side(&targets, |target| {
            self.context.progress.phase(*target, Phase::Checking);
            planner
                .plan(*target, &self.build_cloud, self.context.known, wanted, Deadline::after(LOOK_LIMIT))
                .map_err(|failure| self.give_up(*target, failure))
                .ok()
        });
        let without =
            targets.iter().zip(&plans).filter(|(_, plan)| plan.is_none()).map(|(target, _)| *target);
        let without = without.collect();
        (plans.into_iter().flatten().collect(), without)
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
