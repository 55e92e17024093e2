//! How each target stands in each project: when it last succeeded, and what has failed since. This is kept beside the
//! last job, which may be about something else: only a success of the same target in the same project ends a failure,
//! and each failure is retried at its own time.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{Backoff, Cause, Target, Timestamp};
use crate::record::journal::Journal;
use crate::record::journal::build_state::{Failure, Job, Remedy};
use crate::record::journal::evidence::Revision;
use crate::record::request::{Reason, Rebuild, Request, Task, TaskKind};
use crate::record::run_config::{BuildConfig, BuilderRunConfig, CloudName, JobId};

/// How many earlier jobs a retry goes on with at most: what older ones have built has grown old since.
const MANY: usize = 20;

/// The longest pause before a retry.
const LONGEST_PAUSE: Duration = Duration::from_secs(7200);
/// The pauses before retries, which double with each failure in a row.
const PAUSES: Backoff = Backoff::growing(Duration::from_secs(300), 2.0, LONGEST_PAUSE);

/// How a target stands in a project, for one kind of job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standing {
    /// The kind of job.
    pub task: TaskKind,
    /// The target; absent for a clean-up, which is about all of them.
    pub target: Option<Target>,
    /// The project's cloud; absent for what precedes any delivery: the build itself, or a clean-up.
    pub cloud: Option<CloudName>,
    /// When it last got a new image.
    pub last_success: Option<Timestamp>,
    /// When it last failed.
    pub last_failure: Option<Timestamp>,
    /// What is wrong; absent while nothing is.
    pub open: Option<OpenFailure>,
}

/// What is wrong until a job succeeds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenFailure {
    /// What the last job that tried has said, at least one.
    pub failures: Vec<Failure>,
    /// How many jobs have failed in a row.
    pub in_row: u32,
    /// When it is tried again.
    pub next_try: Timestamp,
    /// Whether an image that is up to date would not do: a rebuild was asked for.
    pub rebuild: Rebuild,
    /// The jobs that have failed at this rebuild: what they have built counts as rebuilt.
    pub jobs: Vec<JobId>,
    /// The digest of the settings that it failed with, the first of [`BuilderRunConfig::failure_digests`].
    pub config_digest: String,
}

impl OpenFailure {
    /// When it is tried again; at once if the clock was wrong when that was decided.
    pub fn next_try(&self) -> Timestamp {
        let now = Timestamp::now();
        if self.next_try > now.plus(LONGEST_PAUSE) { now } else { self.next_try }
    }

    /// Whether it failed with the settings of these [digests](BuilderRunConfig::failure_digests).
    pub fn is_of(&self, digests: &[String; 2]) -> bool {
        digests.contains(&self.config_digest)
    }

    /// Whether another password, token or variable of the script may mend it.
    pub fn depends_on_secrets(&self) -> bool {
        self.failures.iter().any(Failure::depends_on_secrets)
    }

    /// Whether a failure of `request`, which has these digests, is one more of the same row: after a change of what it depends
    /// on it is another mistake.
    fn goes_on(&self, request: &Request, digests: &[String; 2]) -> bool {
        let Request { reason, new_credentials, config, .. } = request;
        let has_new_secrets = match new_credentials.as_slice() {
            // A token, or variables of the script.
            [] => *reason == Reason::Secret && self.depends_on_secrets(),
            clouds => self.depends_on_credentials(clouds, &config.build_cloud),
        };
        self.is_of(digests) && !has_new_secrets
    }

    /// Whether it failed with the credentials of one of `clouds`; a failure that names no cloud is one of `build_cloud`.
    pub fn depends_on_credentials(&self, clouds: &[CloudName], build_cloud: &CloudName) -> bool {
        self.failures.iter().any(|failure| {
            let cloud = failure.cloud.as_ref().unwrap_or(build_cloud);
            failure.cause == Cause::Credentials && clouds.contains(cloud)
        })
    }

    /// Puts the next try off, from `now`: 5 minutes, doubled with each failure, at most 2 hours.
    fn put_off(&mut self, now: Timestamp) {
        self.next_try = now.plus(PAUSES.pause_after(self.in_row));
    }
}

/// What a failure concerns.
type Scope = (TaskKind, Option<Target>, Option<CloudName>);

impl Standing {
    fn scope(&self) -> Scope {
        (self.task, self.target, self.cloud.clone())
    }

    /// Since when it fails: the first failure of the row, as far as that is known.
    pub fn fails_since(&self) -> Option<Timestamp> {
        let open = self.open.as_ref()?;
        open.failures.iter().filter_map(|failure| failure.since).min().or(self.last_failure)
    }

    /// Whether `request` is about it.
    pub(in crate::record) fn was_asked_for(&self, request: &Request) -> bool {
        let is_of_bases = |target: Target| request.bases.is_empty() || request.bases.contains(&target.base);
        self.task == request.task.kind() && self.target.is_none_or(is_of_bases)
    }

    /// Whether `config` still has this target and this project.
    pub fn is_of(&self, config: &BuilderRunConfig) -> bool {
        self.target.is_none_or(|target| config.targets.contains(&target))
            && self.cloud.as_ref().is_none_or(|cloud| config.clouds.contains(cloud))
    }

    /// A job that was asked for by `request` has failed at it.
    fn fail(&mut self, request: &Request, failures: Vec<Failure>, now: Timestamp) {
        let (since, before) = (self.fails_since(), self.open.take());
        let owed = before.as_ref().filter(|open| open.rebuild == Rebuild::Always);
        let (rebuild, mut jobs) = match request.rebuild {
            Rebuild::Always => {
                (Rebuild::Always, request.continues.iter().chain([&request.id]).cloned().collect())
            }
            Rebuild::Due => {
                owed.map_or((Rebuild::Due, Vec::new()), |open| (Rebuild::Always, open.jobs.clone()))
            }
        };
        jobs.drain(..jobs.len().saturating_sub(MANY));
        let digests = request.config.failure_digests();
        let row = before.filter(|open| open.goes_on(request, &digests));
        let since = since.filter(|_| row.is_some()).or(Some(now));
        let in_row = row.map_or(0, |open| open.in_row).saturating_add(1);
        let failures = failures.into_iter().map(|failure| Failure { since, ..failure }).collect();
        let [config_digest, _] = digests;
        let mut open = OpenFailure { failures, in_row, next_try: now, rebuild, jobs, config_digest };
        open.put_off(now);
        self.last_failure = Some(now);
        self.open = Some(open);
    }
}

impl Journal {
    /// The job that was asked for by `request` ends with these failures.
    pub fn end(&mut self, request: &Request, failures: Vec<Failure>) {
        let now = Timestamp::now();
        let Some(job) = &mut self.job else { return };
        job.failures = failures;
        job.finished = Some(now);
        let job = job.clone();
        // A job without its secrets has tried nothing.
        if job.failures.iter().any(|failure| failure.remedy == Remedy::Hook) {
            return;
        }
        for BuildConfig { base, arch, cloud_name } in job.delivered.iter().map(|image| &image.config) {
            let target = Target { base: *base, arch: *arch };
            let scope = (request.task.kind(), Some(target), Some(cloud_name.clone()));
            self.standing(scope).last_success = Some(now);
        }
        // What was built is a success of the target, where it had failed.
        for standing in self.standings.iter_mut().filter(|known| known.cloud.is_none()) {
            let is_made = |build: &Revision| build.job == job.id && Some(build.target) == standing.target;
            if standing.task == request.task.kind() && self.revisions.iter().any(is_made) {
                standing.last_success = Some(now);
            }
        }
        let failed = by_scope(request, &job.failures);
        let mut standings = std::mem::take(&mut self.standings);
        for standing in standings.iter_mut().filter(|standing| !failed.contains_key(&standing.scope())) {
            // Of a target of which nothing could be made, projects have at best what they had.
            if failed.contains_key(&(standing.task, standing.target, None)) {
                continue;
            }
            if self.succeeded(request, &job, standing) {
                standing.open = None;
            }
        }
        self.standings = standings;
        for (scope, failures) in failed {
            self.standing(scope).fail(request, failures, now);
        }
        // What this job was about and did not come to, or what was just cancelled, waits: otherwise the next hook would ask
        // for it at once, again and again.
        let is_cancelled = request.reason == Reason::Cancel;
        let waits = |standing: &&mut Standing| is_cancelled || standing.was_asked_for(request);
        let overdue = |open: &&mut OpenFailure| open.next_try() <= now;
        let open = self.standings.iter_mut().filter(waits).filter_map(|standing| standing.open.as_mut());
        open.filter(overdue).for_each(|open| open.put_off(now));
        self.standings.retain(|standing| standing.is_of(&request.config));
    }

    /// Whether `job`, which did not fail at `standing`, has succeeded at it. A job that was about something else, or did
    /// nothing, has not.
    fn succeeded(&self, request: &Request, job: &Job, standing: &Standing) -> bool {
        let Some(open) = &standing.open else { return false };
        match request.task {
            // It is about other builds than the newest; but it has reached the build project, while nothing may be built.
            Task::Serve => {
                let of_build_cloud =
                    |failure: &Failure| failure.cloud.as_ref() == Some(&request.config.build_cloud);
                return standing.task == TaskKind::Build
                    && standing.cloud.is_none()
                    && open.rebuild == Rebuild::Due
                    && !job.builds.is_empty()
                    && open.failures.iter().all(of_build_cloud);
            }
            Task::Search(_) => return false,
            Task::Build | Task::TakeOver(_) | Task::CleanUp => (),
        }
        let kind = request.task.kind();
        let Some(target) = standing.target else {
            let swept = self.swept > standing.last_failure;
            return standing.task == TaskKind::CleanUp && (kind == TaskKind::CleanUp || swept);
        };
        if kind == TaskKind::CleanUp || (kind == TaskKind::TakeOver && standing.task == TaskKind::Build) {
            return false;
        }
        let is_of_it = |place: &BuildConfig| {
            (place.base, place.arch) == (target.base, target.arch)
                && standing.cloud.as_ref().is_none_or(|cloud| *cloud == place.cloud_name)
        };
        let done = match standing.cloud {
            Some(_) => job.found.iter().chain(job.delivered.iter().map(|image| &image.config)).any(is_of_it),
            None => job.builds.iter().any(|build| build.target == target && build.phase.is_over()),
        };
        // An image that was up to date all along is no rebuild.
        let is_new = || {
            let mut images = self.images.iter().filter(|image| is_of_it(&image.result.config));
            images.any(|image| Some(image.built) >= standing.last_failure)
        };
        done && (open.rebuild == Rebuild::Due || request.rebuild == Rebuild::Always || is_new())
    }

    fn standing(&mut self, scope: Scope) -> &mut Standing {
        let index = self.standings.iter().position(|known| known.scope() == scope).unwrap_or_else(|| {
            let (task, target, cloud) = scope;
            let (last_success, last_failure, open) = (None, None, None);
            self.standings.push(Standing { task, target, cloud, last_success, last_failure, open });
            self.standings.len() - 1
        });
        &mut self.standings[index]
    }

    /// What has failed in jobs of this kind and not succeeded since, of the targets and projects of `config`.
    pub fn failing(
        &self,
        config: &BuilderRunConfig,
        task: TaskKind,
    ) -> impl Iterator<Item = (&Standing, &OpenFailure)> {
        let open = self.standings.iter().filter_map(|standing| Some((standing, standing.open.as_ref()?)));
        open.filter(move |(standing, _)| standing.task == task && standing.is_of(config))
    }

    /// When a failure of jobs of this kind is next tried again.
    pub fn next_try(&self, config: &BuilderRunConfig, task: TaskKind) -> Option<Timestamp> {
        self.failing(config, task).map(|(_, open)| open.next_try()).min()
    }

    /// The most failures in a row, of jobs of this kind, that a target has in a project.
    pub fn failures_in_row(&self, config: &BuilderRunConfig, task: TaskKind) -> u32 {
        self.failing(config, task).map(|(_, open)| open.in_row).max().unwrap_or(0)
    }

    /// When a target last got a new image in a project.
    pub fn last_success(&self) -> Option<Timestamp> {
        self.standings.iter().filter_map(|standing| standing.last_success).max()
    }

    /// Takes over what a version has noted that did not tell targets and projects apart.
    pub(super) fn stood(&mut self, request: &Request, in_row: u32, last_success: Option<Timestamp>) {
        let kind = request.task.kind();
        for image in self.images.clone() {
            let BuildConfig { base, arch, cloud_name } = image.result.config;
            let scope = (kind, Some(Target { base, arch }), Some(cloud_name));
            self.standing(scope).last_success = Some(last_success.unwrap_or(image.built));
        }
        let Some(Job { finished: Some(ended), failures, config_digest, .. }) = self.job.clone() else {
            return;
        };
        for (scope, failures) in by_scope(request, &failures) {
            let standing = self.standing(scope);
            standing.fail(request, failures, ended);
            if let Some(open) = &mut standing.open {
                (open.in_row, open.config_digest) = (in_row.max(1), config_digest.clone());
                open.put_off(ended);
            }
        }
    }
}

/// The failures of a job by what they concern. One of a whole job, or of a whole project, concerns each target that the job
/// was about.
fn by_scope(request: &Request, failures: &[Failure]) -> BTreeMap<Scope, Vec<Failure>> {
    let mut scopes: BTreeMap<Scope, Vec<Failure>> = BTreeMap::new();
    for failure in failures.iter().filter(|failure| failure.remedy != Remedy::Hook) {
        for scope in scopes_of(request, failure) {
            scopes.entry(scope).or_default().push(failure.clone());
        }
    }
    scopes
}

fn scopes_of(request: &Request, failure: &Failure) -> Vec<Scope> {
    let config = &request.config;
    let kind = request.task.kind();
    let is_of_target = |target: &Target| failure.target.is_none_or(|of| of == *target);
    match &request.task {
        Task::CleanUp => vec![(kind, None, None)],
        // Whoever asked hears of it, and asks again.
        Task::Search(_) => Vec::new(),
        Task::TakeOver(images) => {
            let places = images.iter().map(|image| &image.result.config);
            let places =
                places.map(|place| (Target { base: place.base, arch: place.arch }, place.cloud_name.clone()));
            let concerned = places.filter(|(target, cloud)| {
                is_of_target(target) && failure.cloud.as_ref().is_none_or(|of| of == cloud)
            });
            concerned.map(|(target, cloud)| (kind, Some(target), Some(cloud))).collect()
        }
        Task::Build | Task::Serve => {
            // Where the project that is built in cannot be reached, nothing is built for anybody.
            let stops_all = |cloud: &CloudName| failure.target.is_none() && *cloud == config.build_cloud;
            let related = |cloud: &&CloudName| config.clouds.contains(cloud) && !stops_all(cloud);
            let cloud = failure.cloud.as_ref().filter(related);
            let asked = |target: &&Target| request.bases.is_empty() || request.bases.contains(&target.base);
            let targets = config.targets.iter().filter(asked).filter(|target| is_of_target(target));
            targets.map(|target| (kind, Some(*target), cloud.cloned())).collect()
        }
    }
}

#[cfg(test)]
mod tests;
