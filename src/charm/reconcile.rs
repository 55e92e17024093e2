//! The host and the relations, brought to what the state says; and the decision whether the worker has something to
//! do. Nothing here calls a cloud, so no cloud can make a hook wait.

use std::collections::{BTreeMap, BTreeSet};
use std::iter;

use super::due::{Due, Occasion, abandoned, chosen, due, has_lost_secrets, is_due};
use super::event::Event;
use super::state::{CharmState, SigningSecret};
use super::{credentials, image_relation};
use crate::builder::{self, CloudsYamlError};
use crate::host::{FileError, Host, Written};
use crate::juju::{Databag, Environment, HookToolError, HookTools, SecretUri};
use crate::model::{BaseImage, Timestamp};
use crate::record::{
    Asked, BuildSecrets, CheckOrder, CloudName, Findings, Image, Job, JobId, Journal, Published, Reason,
    Rebuild, RecordError, Request, Scope, Settings, SigningKeys, Task, TaskKind, Upstream, Verdict,
};
use crate::worker::{self, StartError};

/// The host or a relation could not be brought to what the state says.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// A hook tool failed.
    #[error(transparent)]
    Juju(#[from] HookToolError),
    /// A host file could not be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// clouds.yaml could not be written.
    #[error(transparent)]
    CloudsYaml(#[from] CloudsYamlError),
    /// The journal could not be read, or a request not be written.
    #[error(transparent)]
    Journal(#[from] RecordError),
    /// The worker could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The worker could not be stopped.
    #[error(
        "the worker could not be stopped; see the unit's log and kill the process whose ID is in worker.lock"
    )]
    StillWorks,
}

/// What an action may ask for beyond what is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Whether to build what is up to date.
    pub rebuild: Rebuild,
    /// Only these bases; all when empty.
    pub bases: Vec<BaseImage>,
}

/// Brings the host's files to what the state says: clouds.yaml and cron. Returns whether the clouds or their credentials are
/// others than before.
pub fn host_files(
    host: &Host,
    environment: &Environment,
    state: &CharmState,
    journal: &Journal,
) -> Result<(Written, Vec<CloudName>), ReconcileError> {
    let installed = credentials::install(host, state, journal)?;
    builder::configure_cron(host, environment.unit.as_str(), state.build_interval)?;
    Settings { paused: state.paused }.save(host)?;
    Ok(installed)
}

/// Publishes to each relation the images that its cloud has: every unit in a databag of its own. Returns the images
/// that relations of this unit name, or may name once the hook has ended.
pub fn relations(
    host: &Host,
    tools: &dyn HookTools,
    environment: &Environment,
    state: &CharmState,
    journal: &Journal,
) -> Result<BTreeSet<String>, ReconcileError> {
    let mut published = Published::load(host)?;
    let public_keys = SigningKeys::load(host)?.pem();
    published.retain(|id| state.relation_ids.iter().any(|known| known.as_str() == id));
    for (id, relation) in &state.relations {
        // Who brings exactly the same as another has proved the same: there is no need to wait for the next job.
        let same = state.relations.values().filter(|other| other.config == relation.config);
        let clouds: Vec<_> = iter::once(relation).chain(same).map(|relation| &relation.cloud).collect();
        let wanted = |told: &_| {
            let targets = &state.run.targets;
            let known =
                clouds.iter().find_map(|cloud| image_relation::databag(journal, cloud, targets, told));
            let known =
                known.map(|databag| image_relation::with_public_keys(databag, public_keys.as_deref()));
            // What was revoked goes, also where nothing takes its place.
            known.or_else(|| image_relation::names_revoked(&journal.levers, told).then(Databag::new))
        };
        image_relation::publish(tools, &mut published, &environment.unit, id, relation, wanted)?;
    }
    published.save(host)?;
    Ok(published.named_images())
}

/// Orders a check where something is configured that was not checked yet, where it is time to look, and where the last one
/// found a failure that somebody may have mended. Jobs visit what they need themselves: a check beside one looks at the rest.
pub fn check(
    host: &Host,
    environment: &Environment,
    state: &CharmState,
    journal: &Journal,
    event: &Event,
    credentials: Written,
) -> Result<(), ReconcileError> {
    if !state.leader {
        return Ok(());
    }
    let (last, builds) = (CheckOrder::load(host), !state.relations.is_empty() && !state.paused);
    let beside = if builds { Scope::BuildProject } else { Scope::Sources };
    let open = last.as_ref().filter(|last| last.is_open(host));
    let is_known = last.as_ref().is_some_and(|last| last.config.digest() == state.run.digest());
    let found = Findings::load(host).is_some_and(|found| found.verdict() == Verdict::Failure);
    let due = match event {
        _ if !is_known => Some(beside),
        _ if credentials == Written::Changed => Some(beside.max(Scope::Projects)),
        Event::Scheduled => Some(beside),
        Event::Look if open.is_none() && !state.relations.is_empty() => Some(Scope::Upstream),
        Event::UpdateStatus if found && open.is_none() => Some(beside.max(Scope::Projects)),
        // Its worker was ended, or has lost its secrets.
        _ if open.is_some() && !worker::worker_gets_on(host, journal)? => Some(beside.max(Scope::Projects)),
        _ => None,
    };
    match due {
        Some(scope) => {
            // What an action waits for is not replaced by less.
            let wanted = open.map(|open| open.scope).filter(|scope| *scope >= Scope::Full);
            order_check(host, environment, state, wanted.unwrap_or(scope))
        }
        None => Ok(()),
    }
}

/// Orders a check of `scope`, in the place of any that is open.
pub fn order_check(
    host: &Host,
    environment: &Environment,
    state: &CharmState,
    scope: Scope,
) -> Result<(), ReconcileError> {
    let secrets = BuildSecrets { script: BTreeMap::new(), ..state.secrets.clone() };
    let order = CheckOrder {
        id: JobId::random(),
        at: Timestamp::now(),
        scope,
        unit_name: environment.unit.to_string(),
        config: state.run.clone(),
        has_secrets: !secrets.is_empty(),
    };
    Ok(order.save(host, &secrets)?)
}

/// Sees to it that a worker lives while a check is ordered.
pub fn attend_check(host: &Host, journal: &Journal) -> Result<(), ReconcileError> {
    let is_ordered = CheckOrder::load(host).is_some_and(|order| order.is_open(host));
    if is_ordered && !worker::worker_gets_on(host, journal)? {
        worker::start_worker(host)?;
    }
    Ok(())
}

/// Asks the worker for what is due on `occasion`, and sees to it that one lives while there is work. Returns the
/// job that is asked for, or runs. What builds is given the key of `secret`.
pub fn work(
    host: &Host,
    environment: &Environment,
    state: &CharmState,
    journal: &Journal,
    occasion: Occasion<'_>,
    demand: Option<&Demand>,
    secret: &SigningSecret<'_>,
) -> Result<Option<JobId>, ReconcileError> {
    let event = occasion.event;
    let lives = worker::worker_gets_on(host, journal)?;
    // What a new leader did before, it did for another.
    let mut last = Request::load(host)?.filter(|last| !matches!(last.task, Task::TakeOver(_)));
    let delivers = state.leader && !state.relations.is_empty();
    let builds = delivers && !state.paused;
    let is_secret = matches!(event, Event::SecretChanged { id } if is_of_script(state, id));
    if state.leader && !builds && (is_secret || owes(last.as_ref(), journal)) {
        Asked::owe(host)?;
    }
    if !builds {
        last = withdraw(host, journal, last)?;
    }
    let owed = Asked::load(host)?.owed.is_some();
    let due = match (demand, &last) {
        (Some(demand), _) if builds => Some(Due { demand: demand.clone(), ..Due::whatever(Reason::Action) }),
        (None, last) if builds => {
            let upstream = Upstream::load(host);
            due(state, (journal, &upstream), occasion, last.as_ref(), lives, owed)
        }
        _ => abandoned(state, journal, lives),
    };
    let due = due.or_else(|| delivers.then(|| chosen(state, journal, event, last.as_ref())).flatten());
    let Some(Due { reason, task, demand: Demand { rebuild, bases }, mut continues }) = due else {
        return attend(host, last, journal, lives);
    };
    // What a request asks for that no worker has taken up yet is not lost with its place.
    let pending = last.as_ref().filter(|last| is_open(last, journal) && !is_taken_up(last, journal));
    let (rebuild, bases) = match pending.filter(|pending| pending.task == Task::Build && task == Task::Build)
    {
        Some(pending) => {
            let unknown = pending.continues.iter().filter(|job| !continues.contains(job)).cloned();
            let earlier: Vec<JobId> = unknown.collect();
            continues.extend(earlier);
            (rebuild.and(pending.rebuild), both(&pending.bases, bases))
        }
        None => (rebuild, bases),
    };
    let request = Request {
        id: JobId::random(),
        at: Timestamp::now(),
        reason,
        task,
        rebuild,
        bases,
        unit_name: environment.unit.to_string(),
        config: state.run.clone(),
        has_secrets: !state.secrets.is_empty(),
        continues,
        new_credentials: occasion.new_credentials.to_vec(),
    };
    let signing_key = match request.task {
        Task::Build | Task::Serve => secret.private_key()?,
        Task::TakeOver(_) | Task::CleanUp | Task::Search(_) => None,
    };
    ask(host, &BuildSecrets { signing_key, ..state.secrets.clone() }, request, lives).map(Some)
}

/// The bases of two requests together; all when empty.
fn both(first: &[BaseImage], mut second: Vec<BaseImage>) -> Vec<BaseImage> {
    if first.is_empty() || second.is_empty() {
        return Vec::new();
    }
    let unknown: Vec<BaseImage> = first.iter().filter(|base| !second.contains(base)).copied().collect();
    second.extend(unknown);
    second
}

/// Whether a rebuild for a new revision of the script's secret was asked for and not done: it is lost with its request, or
/// with the clean-up of what its worker has left.
fn owes(last: Option<&Request>, journal: &Journal) -> bool {
    let is_rebuild = |last: &Request| last.reason == Reason::Secret && last.rebuild == Rebuild::Always;
    last.is_some_and(|last| is_rebuild(last) && is_open(last, journal))
}

/// Notes that the script's secret has a new revision while the configuration is refused: its rebuild is owed.
pub fn missed_secret(host: &Host, event: &Event) -> Result<(), ReconcileError> {
    let Event::SecretChanged { id } = event else { return Ok(()) };
    let last = Request::load(host)?.and_then(|last| SecretUri::parse(last.config.script_secret.as_deref()?));
    if last.is_some_and(|secret| secret.is(id)) {
        Asked::owe(host)?;
    }
    Ok(())
}

/// Whether `secret` holds the variables of the external script.
pub(super) fn is_of_script(state: &CharmState, secret: &str) -> bool {
    state.script_secret.as_ref().is_some_and(|known| known.is(secret))
}

/// Asks the worker to check the images that the leader announces and this unit does not have, `news`. Returns the job
/// that is asked for, or runs.
pub fn take_over(
    host: &Host,
    environment: &Environment,
    state: &CharmState,
    journal: &Journal,
    occasion: Occasion<'_>,
    news: Vec<Image>,
) -> Result<Option<JobId>, ReconcileError> {
    if news.is_empty() {
        return Ok(None);
    }
    let lives = worker::worker_gets_on(host, journal)?;
    let last = Request::load(host)?;
    let reason = match last.as_ref().filter(|last| is_about(last, &news)) {
        None => Some(Reason::Announcement),
        Some(last) if is_open(last, journal) => {
            is_orphaned(last, journal, lives).then_some(Reason::Announcement)
        }
        Some(_) => {
            let failing = || journal.failing(&state.run, TaskKind::TakeOver).map(|(_, open)| open);
            let is_time = failing().any(|open| is_due(open, occasion));
            let reason = occasion.reason_to_retry(failing());
            (is_time || has_lost_secrets(journal)).then_some(reason)
        }
    };
    let Some(reason) = reason else { return attend(host, last, journal, lives) };
    let request = Request {
        id: JobId::random(),
        at: Timestamp::now(),
        reason,
        task: Task::TakeOver(news),
        rebuild: Rebuild::Due,
        bases: Vec::new(),
        continues: Vec::new(),
        unit_name: environment.unit.to_string(),
        config: state.run.clone(),
        has_secrets: !state.secrets.is_empty(),
        new_credentials: occasion.new_credentials.to_vec(),
    };
    ask(host, &state.secrets, request, lives).map(Some)
}

/// Asks the worker what nothing needs in the build project, and to delete of it what has one of `ids`. None while a job is
/// open, which would lose its place.
pub fn search(
    host: &Host,
    environment: &Environment,
    state: &CharmState,
    journal: &Journal,
    ids: Vec<String>,
) -> Result<Option<JobId>, ReconcileError> {
    let lives = worker::worker_gets_on(host, journal)?;
    if Request::load(host)?.is_some_and(|last| is_open(&last, journal)) {
        return Ok(None);
    }
    let unit = environment.unit.to_string();
    let request = Request::search(unit, state.run.clone(), ids, !state.secrets.is_empty());
    ask(host, &state.secrets, request, lives).map(Some)
}

/// Whether `request` is to take over all of `images`.
pub fn is_about(request: &Request, images: &[Image]) -> bool {
    match &request.task {
        Task::TakeOver(asked) => images.iter().all(|image| asked.contains(image)),
        Task::Build | Task::CleanUp | Task::Serve | Task::Search(_) => false,
    }
}

fn ask(
    host: &Host,
    secrets: &BuildSecrets,
    request: Request,
    worker_lives: bool,
) -> Result<JobId, ReconcileError> {
    request.save(host, secrets)?;
    if let Some(replaced) = Asked::load(host)?.replaced_by(&request.id) {
        log::info!("job {replaced} was replaced by job {} before it started", request.id);
    }
    log::info!("job {} requested: {request}", request.id);
    if !worker_lives {
        worker::start_worker(host)?;
    }
    Ok(request.id)
}

/// Whether the worker has not ended `request` yet.
pub fn is_open(request: &Request, journal: &Journal) -> bool {
    !journal.job.as_ref().is_some_and(|job: &Job| job.id == request.id && job.finished.is_some())
}

pub(super) fn is_taken_up(request: &Request, journal: &Journal) -> bool {
    journal.job.as_ref().is_some_and(|job| job.id == request.id)
}

/// Whether a worker that died left `request` behind. What none has taken up wants a worker, not another request: one that
/// has just been started may hold no lock yet.
pub(super) fn is_orphaned(request: &Request, journal: &Journal, worker_lives: bool) -> bool {
    is_taken_up(request, journal) && !worker_lives
}

/// Sees to it that a worker lives while `last` is open. Returns the job that is open.
fn attend(
    host: &Host,
    last: Option<Request>,
    journal: &Journal,
    worker_lives: bool,
) -> Result<Option<JobId>, ReconcileError> {
    let open = last.filter(|last| is_open(last, journal));
    if open.is_some() && !worker_lives {
        worker::start_worker(host)?;
    }
    Ok(open.map(|request| request.id))
}

/// Takes back a request to build that no worker has taken up: nobody wants it any more. Returns what there is then.
fn withdraw(
    host: &Host,
    journal: &Journal,
    last: Option<Request>,
) -> Result<Option<Request>, ReconcileError> {
    match last {
        Some(last) if last.task == Task::Build && is_open(&last, journal) && !is_taken_up(&last, journal) => {
            last.withdraw(host)?;
            log::info!("job {} was withdrawn before it started: there is nothing to build", last.id);
            Ok(None)
        }
        other => Ok(other),
    }
}
