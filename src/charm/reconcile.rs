//! The host and the relations, brought to what the state says; and the decision whether the worker has something to
//! do. Nothing here calls a cloud, so no cloud can make a hook wait.

use std::collections::BTreeSet;

use super::event::{Event, RelationChange};
use super::image_relation;
use super::state::CharmState;
use crate::builder::{
    self, CloudsYamlError, Image, Job, JobId, Journal, JournalError, Published, Reason, Rebuild, Remedy,
    Request, StartError, Task, Timestamp,
};
use crate::host::{FileError, Host};
use crate::juju::{Environment, HookToolError, HookTools};
use crate::target::BaseImage;

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
    Journal(#[from] JournalError),
    /// The worker could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// What an action may ask for beyond what is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Whether to build what is up to date.
    pub rebuild: Rebuild,
    /// Only these bases; all when empty.
    pub bases: Vec<BaseImage>,
}

/// Brings the host's files to what the state says: clouds.yaml and cron.
pub fn host_files(host: &Host, environment: &Environment, state: &CharmState) -> Result<(), ReconcileError> {
    builder::install_clouds_yaml(host, &state.clouds)?;
    builder::configure_cron(host, environment.unit.as_str(), state.build_interval)?;
    Ok(())
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
    published.retain(|id| state.relation_ids.iter().any(|known| known.as_str() == id));
    for (id, relation) in &state.relations {
        let wanted = image_relation::databag(journal, &relation.cloud, &state.run.targets);
        image_relation::publish(tools, &mut published, &environment.unit, id, &relation.cloud, wanted)?;
    }
    published.save(host)?;
    Ok(published.named_images())
}

/// Asks the worker for what is due after `event`, and sees to it that one lives while there is work. Returns the
/// job that is asked for, or runs.
pub fn work(
    host: &Host,
    environment: &Environment,
    state: &CharmState,
    journal: &Journal,
    event: &Event,
    demand: Option<&Demand>,
) -> Result<Option<JobId>, ReconcileError> {
    if state.relations.is_empty() {
        return Ok(None);
    }
    let lives = builder::worker_lives(host)?;
    // What a new leader did before, it did for another.
    let last = Request::load(host)?.filter(|last| last.task == Task::Build);
    let due = match (demand, &last) {
        (Some(demand), _) => Some((Reason::Action, demand.clone())),
        (None, last) => due(state, journal, event, last.as_ref(), lives),
    };
    let Some((reason, Demand { rebuild, bases })) = due else {
        let pending = last.filter(|last| is_open(last, journal));
        return Ok(pending.map(|request| request.id));
    };
    // A forced request that no worker has taken up yet is not lost with its place.
    let pending = last.as_ref().filter(|last| is_open(last, journal) && !is_taken_up(last, journal));
    let (rebuild, bases) = match pending {
        Some(pending) if pending.rebuild == Rebuild::Always && rebuild == Rebuild::Due => {
            (Rebuild::Always, Vec::new())
        }
        _ => (rebuild, bases),
    };
    let request = Request {
        id: JobId::random(),
        at: Timestamp::now(),
        reason,
        task: Task::Build,
        rebuild,
        bases,
        unit_name: environment.unit.to_string(),
        config: state.run.clone(),
        has_secrets: !state.secrets.is_empty(),
    };
    ask(host, state, request, lives).map(Some)
}

/// Asks the worker to check the images that the leader announces and this unit does not have, `news`. Returns the job
/// that is asked for.
pub fn take_over(
    host: &Host,
    environment: &Environment,
    state: &CharmState,
    journal: &Journal,
    event: &Event,
    news: Vec<Image>,
) -> Result<Option<JobId>, ReconcileError> {
    if news.is_empty() {
        return Ok(None);
    }
    let lives = builder::worker_lives(host)?;
    let last = Request::load(host)?;
    let reason = match last.as_ref().filter(|last| is_about(last, &news)) {
        None => Some(Reason::Announcement),
        Some(last) if is_open(last, journal) => (!lives).then_some(Reason::Announcement),
        Some(_) => is_to_be_retried(journal, event).then_some(Reason::Retry),
    };
    let Some(reason) = reason else { return Ok(None) };
    let request = Request {
        id: JobId::random(),
        at: Timestamp::now(),
        reason,
        task: Task::TakeOver(news),
        rebuild: Rebuild::Due,
        bases: Vec::new(),
        unit_name: environment.unit.to_string(),
        config: state.run.clone(),
        has_secrets: !state.secrets.is_empty(),
    };
    ask(host, state, request, lives).map(Some)
}

/// Whether `request` is to take over all of `images`.
pub fn is_about(request: &Request, images: &[Image]) -> bool {
    match &request.task {
        Task::TakeOver(asked) => images.iter().all(|image| asked.contains(image)),
        Task::Build => false,
    }
}

fn ask(
    host: &Host,
    state: &CharmState,
    request: Request,
    worker_lives: bool,
) -> Result<JobId, ReconcileError> {
    request.save(host, &state.secrets)?;
    log::info!("job {}: asked for, {:?}", request.id, request.reason);
    if !worker_lives {
        builder::start_worker(host)?;
    }
    Ok(request.id)
}

/// Whether the worker has not ended `request` yet.
pub fn is_open(request: &Request, journal: &Journal) -> bool {
    !journal.job.as_ref().is_some_and(|job: &Job| job.id == request.id && job.finished.is_some())
}

fn is_taken_up(request: &Request, journal: &Journal) -> bool {
    journal.job.as_ref().is_some_and(|job| job.id == request.id)
}

fn due(
    state: &CharmState,
    journal: &Journal,
    event: &Event,
    last: Option<&Request>,
    worker_lives: bool,
) -> Option<(Reason, Demand)> {
    let whatever_is_due = |reason| Some((reason, Demand { rebuild: Rebuild::Due, bases: Vec::new() }));
    let Some(last) = last else { return whatever_is_due(Reason::Configuration) };
    if last.config.digest() != state.run.digest() {
        return whatever_is_due(Reason::Configuration);
    }
    if let Event::SecretChanged { id } = event
        && state.script_secret.as_ref().is_some_and(|secret| secret.is(id))
    {
        return Some((Reason::Secret, Demand { rebuild: Rebuild::Always, bases: Vec::new() }));
    }
    if is_open(last, journal) {
        // A worker that died, or lost its secrets, left this behind: the same again, with the secrets of now.
        let again = Demand { rebuild: last.rebuild, bases: last.bases.clone() };
        return (!worker_lives).then_some((last.reason, again));
    }
    if *event == Event::Scheduled {
        return whatever_is_due(Reason::Schedule);
    }
    let mut failures = journal.job.iter().flat_map(|job| &job.failures);
    if failures.any(|failure| failure.remedy == Remedy::Hook) {
        return Some((last.reason, Demand { rebuild: last.rebuild, bases: last.bases.clone() }));
    }
    if is_to_be_retried(journal, event) { whatever_is_due(Reason::Retry) } else { None }
}

/// Whether the last job failed, and it is time to try again.
fn is_to_be_retried(journal: &Journal, event: &Event) -> bool {
    let mut failures = journal.job.iter().flat_map(|job| &job.failures);
    // What an operator can mend may just have been mended: credentials come by these events.
    let may_be_mended = matches!(
        event,
        Event::ConfigChanged | Event::SecretChanged { .. } | Event::ImageRelation(RelationChange::Changed)
    ) && failures.any(|failure| failure.remedy == Remedy::Operator);
    may_be_mended || journal.retry_at().is_some_and(|at| at <= Timestamp::now())
}
