//! One run over all targets and clouds: find out what is due, build it side by side, deliver it, and tell of each
//! result as soon as there is one.

use std::collections::BTreeMap;
use std::time::Duration;

use super::adoption::adopt;
use super::base_image::base_image_name;
use super::config::{BuildConfig, BuildMode, BuildResult, BuilderRunConfig, CloudName, JobId};
use super::connect::{connect, http_client, related_projects, visit_each};
use super::delivery::{Delivery, Parcel};
use super::journal::{Failure, Image, Phase, Timestamp};
use super::leave::leave_clouds;
use super::ledger::Ledger;
use super::outcome::Outcome;
use super::place::{Built, Place};
use super::plan::{Plan, Planner, Wanted, built};
use super::projects::Projects;
use super::resource::{Resource, ResourceKind};
use super::run_context::{RunContext, Sweep};
use super::script;
use super::side_by_side::side_by_side;
use super::site::remove_security_group;
use super::source::Source;
use super::sweep::{Keep, sweep_cloud, sweep_copies, sweep_servers};
use super::verify::VerificationError;
use crate::deadline::Deadline;
use crate::http::HttpClient;
use crate::instance::ExternalScript;
use crate::openstack_cloud::{Cloud, Deletion, Image as CloudImage};
use crate::target::Target;

/// How long one target may take, all in all.
const BUILD_LIMIT: Duration = Duration::from_secs(3 * 3600);
/// How long looking, connecting and sweeping may take.
const LOOK_LIMIT: Duration = Duration::from_secs(900);
/// How long it may take to sweep a related project: a build waits for it.
const PROJECT_LIMIT: Duration = Duration::from_secs(60);

/// Not everything that was asked for was built (seed `builder`: `BuilderRunError`). What was built stands in it.
#[derive(Debug, thiserror::Error)]
#[error("{} of the asked-for images failed: {}", failures.len(), failures.first().map_or("", |failure| &failure.message))]
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
    match Run::prepare(context, config, &outcome) {
        Ok(run) => run.work(),
        Err(failure) => outcome.fail(failure),
    }
    let (results, failures) = outcome.into_parts();
    if failures.is_empty() { Ok(results) } else { Err(BuilderRunError { results, failures }) }
}

/// Removes what an earlier job has made and not published: all but published images, base images, and those that failed
/// last. Returns what could not be done.
pub fn clean_up(context: &RunContext<'_>, config: &BuilderRunConfig) -> Vec<Failure> {
    let outcome = Outcome::default();
    match Run::connect(context, config, &outcome) {
        Err(failure) => outcome.fail(failure),
        Ok(run) => {
            let left = run.sweep(Keep::BaseImages(config), Deadline::after(LOOK_LIMIT));
            leave_clouds(context.host, context.former, context.progress, config, &run.http, &run.build_cloud);
            if left.is_empty() {
                context.progress.swept();
            } else {
                outcome
                    .fail(Failure::of(&format!("removing what a job has left: {}", left.join("; ")), false));
            }
        }
    }
    outcome.into_parts().1
}

struct Run<'a> {
    context: &'a RunContext<'a>,
    config: &'a BuilderRunConfig,
    outcome: &'a Outcome,
    http: HttpClient,
    build_cloud: Cloud,
    clouds: BTreeMap<CloudName, Cloud>,
    projects: Projects,
    script: Option<ExternalScript>,
}

impl<'a> Run<'a> {
    fn connect(
        context: &'a RunContext<'a>,
        config: &'a BuilderRunConfig,
        outcome: &'a Outcome,
    ) -> Result<Self, Failure> {
        let http = http_client(context.secrets)?;
        let clouds = connect(context.host, config, &http, outcome, Deadline::after(LOOK_LIMIT));
        let Some(build_cloud) = clouds.get(&config.build_cloud).cloned() else {
            // The outcome has the reason already.
            let reason = outcome.take_last_failure();
            return Err(reason.unwrap_or_else(|| Failure::of(&"no build cloud", true)));
        };
        let projects = related_projects(&clouds, config);
        Ok(Self { context, config, outcome, http, build_cloud, clouds, projects, script: None })
    }

    /// Connects, sweeps if that is due, and fetches what all targets share.
    fn prepare(
        context: &'a RunContext<'a>,
        config: &'a BuilderRunConfig,
        outcome: &'a Outcome,
    ) -> Result<Self, Failure> {
        let run = Self::connect(context, config, outcome)?;
        let deadline = Deadline::after(LOOK_LIMIT);
        if context.sweep == Sweep::Due && run.sweep(Keep::Usable(config), deadline).is_empty() {
            context.progress.swept();
        }
        leave_clouds(context.host, context.former, context.progress, config, &run.http, &run.build_cloud);
        if config.build_mode == BuildMode::External {
            let noted = context.progress.works_in(&config.build_cloud, run.base_images());
            noted.map_err(|error| Failure::of(&error, false))?;
        }
        if config.adopt {
            adopt(run.related_clouds(), config, context.job, Deadline::after(PROJECT_LIMIT));
        }
        // Whatever clouds have taken, the script's server has its own time.
        let deadline = Deadline::after(LOOK_LIMIT);
        let script =
            config.script_url.as_deref().map(|url| script::fetch(&run.http, url, deadline)).transpose();
        let script = script.map_err(|error| Failure::of(&error, error.operator_must_act()))?;
        Ok(Self { script, ..run })
    }

    /// Removes what earlier runs have left; tells of what had to stay.
    fn sweep(&self, keep: Keep<'_>, deadline: Deadline) -> Vec<String> {
        let owner = &self.config.owner;
        let build_cloud = &self.config.build_cloud;
        let build_project = self.build_cloud.project_key();
        let related = self.related_clouds().filter(|(_, cloud)| cloud.project_key() != build_project);
        let swept =
            visit_each([(build_cloud, &self.build_cloud)].into_iter().chain(related), |name, cloud| {
                if name == build_cloud {
                    return sweep_cloud(cloud, owner, keep, deadline);
                }
                let deadline = deadline.at_most(PROJECT_LIMIT);
                let mut stays = sweep_copies(cloud, owner, keep, deadline);
                match sweep_servers(cloud, owner, keep, deadline) {
                    Ok(runners) => stays.extend(runners),
                    // Builds have no need of that cloud's Nova, and the launcher has notes of its own.
                    Err(error) => log::info!("{name}: runners that have expired are not looked for: {error}"),
                }
                stays.into_iter().map(|what| format!("{name}: {what}")).collect()
            });
        let mut left: Vec<String> = swept.into_iter().flatten().collect();
        let unreached = self.config.clouds.iter().filter(|name| !self.clouds.contains_key(name));
        left.extend(unreached.map(|name| format!("{name}: it could not be searched")));
        left.iter().for_each(|what| log::warn!("left for the next sweep: {what}"));
        left
    }

    /// What a build makes in the build cloud to stay there, by name.
    fn base_images(&self) -> Vec<String> {
        let application = &self.config.owner.application;
        let name = |target: &Target| format!("base image {}", base_image_name(application, *target));
        self.config.targets.iter().map(name).collect()
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
            runner: None,
        };
        let jobs: Vec<JobId> =
            [self.context.job].into_iter().chain(self.context.continues).cloned().collect();
        let wanted = Wanted { rebuild: self.context.rebuild, jobs: &jobs };
        let plans: Vec<Plan> = side_by_side(&targets, |target| {
            self.context.progress.phase(*target, Phase::Checking);
            planner
                .plan(*target, &self.build_cloud, self.related_clouds(), wanted, Deadline::after(LOOK_LIMIT))
                .map_err(|failure| self.give_up(*target, failure))
                .ok()
        })
        .into_iter()
        .flatten()
        .collect();
        let place = plans.iter().any(Plan::needs_place).then(|| {
            let deadline = Deadline::after(LOOK_LIMIT);
            Place::choose(self.context.host, &self.build_cloud, self.config, deadline)
        });
        let execute = |plan: &Plan| {
            if let Err(failure) = self.execute(plan, place.as_ref(), Deadline::after(BUILD_LIMIT)) {
                self.give_up(plan.target(), failure);
            }
        };
        match &place {
            // One machine builds one image after the other: two would only wait for the same disk.
            Some(Ok(Place::Here(_))) => plans.iter().for_each(execute),
            _ => drop(side_by_side(&plans, execute)),
        }
        let has_group = !matches!(place, None | Some(Ok(Place::Here(_)))) || self.context.sweep == Sweep::Due;
        if has_group {
            let deadline = Deadline::after(LOOK_LIMIT);
            for what in remove_security_group(&self.build_cloud, &self.config.owner, deadline) {
                log::warn!("left for the next job: {what}");
                self.context.progress.sweep_again();
            }
        }
    }

    fn give_up(&self, target: Target, failure: Failure) {
        self.context.progress.phase(target, Phase::Failed);
        self.outcome.fail(Failure { target: Some(target), ..failure });
    }

    /// The projects of relations that could be reached, each by the relation that does the work.
    fn related_clouds(&self) -> impl Iterator<Item = (&CloudName, &Cloud)> {
        self.clouds.iter().filter(|(name, _)| self.projects.is_first(name))
    }

    fn execute(
        &self,
        plan: &Plan,
        place: Option<&Result<Place<'_>, Failure>>,
        deadline: Deadline,
    ) -> Result<(), Failure> {
        let target = plan.target();
        for (name, image) in &plan.present {
            self.publish(target, name, image, &plan.ingredients.fingerprint, built(image));
        }
        plan.unknown.iter().for_each(|failure| self.outcome.fail(failure.clone()));
        plan.stale.iter().for_each(|snapshot| self.remove_snapshot(target, snapshot));
        if plan.missing.is_empty() {
            let phase = match (plan.unknown.is_empty(), plan.present.is_empty()) {
                (true, _) => Phase::UpToDate,
                (false, false) => Phase::Done,
                (false, true) => Phase::Failed,
            };
            self.context.progress.phase(target, phase);
            return Ok(());
        }
        // A cloud that has it can give it to the others: nothing is built twice.
        let reached = plan.present.first().and_then(|(name, image)| Some((self.clouds.get(name)?, image)));
        if let Some((cloud, image)) = reached {
            self.deliver(plan, Source::Cloud(cloud, image), built(image), deadline);
            return Ok(());
        }
        let image = match &plan.snapshot {
            Some(snapshot) => {
                log::info!("{target}: going on with snapshot {} of an earlier run", snapshot.id);
                self.context.progress.made(target, &self.noted(snapshot));
                Built::Snapshot(&self.build_cloud, Box::new(snapshot.clone()))
            }
            None => {
                ready(place)?.build(self.context, self.config, &self.http, &plan.ingredients, deadline)?
            }
        };
        if self.config.verify_image
            && let Built::Snapshot(_, snapshot) = &image
        {
            self.verify(plan, ready(place)?, snapshot, deadline)?;
        }
        let delivery = self.deliver(plan, image.source(), Timestamp::now(), deadline);
        match (&image, delivery) {
            (Built::Snapshot(_, snapshot), Delivery::ToNobody) => {
                log::warn!("{target}: snapshot {} waits for the next try", snapshot.id);
            }
            (Built::Snapshot(_, snapshot), _) => self.remove_snapshot(target, snapshot),
            // Dropped, it goes.
            (Built::File(_), _) => (),
        }
        Ok(())
    }

    /// Lets a snapshot prove itself. One that fails is no snapshot any more; one of which nothing was learnt stays.
    fn verify(
        &self,
        plan: &Plan,
        place: &Place<'_>,
        snapshot: &CloudImage,
        deadline: Deadline,
    ) -> Result<(), Failure> {
        let target = plan.target();
        self.context.progress.phase(target, Phase::Verifying);
        let Err(error) = place.verify(self.context, self.config, &plan.ingredients, snapshot, deadline)
        else {
            return Ok(());
        };
        match &error {
            VerificationError::Failed { kept_as: Some(_), .. } => {
                self.context.progress.settled(target, &self.noted(snapshot));
            }
            VerificationError::Failed { kept_as: None, .. } => self.remove_snapshot(target, snapshot),
            VerificationError::Vm(_) => {
                log::warn!("{target}: snapshot {} waits for the next try", snapshot.id);
            }
        }
        Err(Failure::of(&error, error.operator_must_act()))
    }

    fn noted(&self, snapshot: &CloudImage) -> Resource {
        Resource {
            kind: ResourceKind::Snapshot,
            cloud: self.config.build_cloud.clone(),
            name: snapshot.name.clone(),
            id: Some(snapshot.id.to_string()),
        }
    }

    fn remove_snapshot(&self, target: Target, snapshot: &CloudImage) {
        match self.build_cloud.images().delete(&snapshot.id, Deadline::after(LOOK_LIMIT)) {
            Ok(Deletion::Deleted | Deletion::Absent) => {
                self.context.progress.settled(target, &self.noted(snapshot));
            }
            Ok(Deletion::InUse(why)) => log::warn!("snapshot {} stays, it is in use: {why}", snapshot.id),
            Err(error) => log::warn!("snapshot {} stays for the next sweep: {error}", snapshot.id),
        }
    }

    fn deliver(&self, plan: &Plan, source: Source<'_>, made: Timestamp, deadline: Deadline) -> Delivery {
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
            source,
            ledger: Ledger { progress: self.context.progress, target },
        };
        let mut delivery = if plan.present.is_empty() { Delivery::ToNobody } else { Delivery::ToSome };
        for (name, result) in parcel.deliver(&to, deadline) {
            match result {
                Ok(copy) => {
                    delivery = Delivery::ToSome;
                    self.publish(target, &name, &copy, &plan.ingredients.fingerprint, made);
                }
                Err(error) => {
                    if delivery == Delivery::ToNobody && error.is_of_the_source() {
                        delivery = Delivery::Impossible;
                    }
                    let failure = Failure::of(&error, error.operator_must_act());
                    self.outcome.fail(Failure { target: Some(target), cloud: Some(name), ..failure });
                }
            }
        }
        let phase = if delivery == Delivery::ToSome { Phase::Done } else { Phase::Failed };
        self.context.progress.phase(target, phase);
        delivery
    }

    fn publish(
        &self,
        target: Target,
        cloud: &CloudName,
        image: &CloudImage,
        fingerprint: &str,
        built: Timestamp,
    ) {
        let config = BuildConfig { base: target.base, arch: target.arch, cloud_name: cloud.clone() };
        let published = Image {
            result: BuildResult { config, id: image.id.clone() },
            fingerprint: fingerprint.to_owned(),
            hash: image.hash.clone(),
            built,
        };
        for image in self.projects.publish(&published) {
            self.outcome.succeed(image.result.clone());
            self.context.progress.published(image);
        }
    }
}

/// The place that was chosen, if it is ready.
fn ready<'p, 'a>(place: Option<&'p Result<Place<'a>, Failure>>) -> Result<&'p Place<'a>, Failure> {
    match place {
        Some(Ok(place)) => Ok(place),
        Some(Err(failure)) => Err(failure.clone()),
        None => Err(Failure::of(&"no place to build in was chosen", false)),
    }
}
