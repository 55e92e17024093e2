//! The host and the relations, brought to what the state says; and the decision whether the worker has something to
//! do. Nothing here calls a cloud, so no cloud can make a hook wait.

use std::collections::BTreeSet;
use std::iter;

use super::credentials;
use super::event::{Event, RelationChange};
use super::image_relation;
use super::state::{CharmState, proxies};
use crate::builder::{
    self, BuildSecrets, CloudsYamlError, Image, Job, JobId, Journal, JournalError, Published, Reason,
    Rebuild, Remedy, Request, StartError, Task, Timestamp,
};
use crate::host::{FileError, Host};
use crate::juju::{Environment, HookToolError, HookTools};
use crate::target::BaseImage;

/// How many earlier jobs a request goes on with at most.
const MANY: usize = 20;

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
pub fn host_files(
    host: &Host,
    environment: &Environment,
    state: &CharmState,
    journal: &Journal,
) -> Result<(), ReconcileError> {
    credentials::install(host, state, journal)?;
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
        // Who brings exactly the same as another has proved the same: there is no need to wait for the next job.
        let same = state.relations.values().filter(|other| other.config == relation.config);
        let mut clouds = iter::once(relation).chain(same).map(|relation| &relation.cloud);
        let wanted = clouds.find_map(|cloud| image_relation::databag(journal, cloud, &state.run.targets));
        image_relation::publish(tools, &mut published, &environment.unit, id, relation, wanted)?;
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
    let lives = builder::worker_lives(host)?;
    // What a new leader did before, it did for another.
    let mut last = Request::load(host)?.filter(|last| !matches!(last.task, Task::TakeOver(_)));
    let builds = state.leader && !state.relations.is_empty() && !state.paused;
    if !builds {
        last = withdraw(host, journal, last)?;
    }
    let due = match (demand, &last) {
        _ if !builds => abandoned(state, journal, lives),
        (Some(demand), _) => Some(Due { demand: demand.clone(), ..Due::whatever(Reason::Action) }),
        (None, last) => due(state, journal, event, last.as_ref(), lives),
    };
    let Some(Due { reason, task, demand: Demand { rebuild, bases }, mut continues }) = due else {
        return attend(host, last, journal, lives);
    };
    // A forced request that no worker has taken up yet is not lost with its place.
    let pending = last.as_ref().filter(|last| is_open(last, journal) && !is_taken_up(last, journal));
    let (rebuild, bases) = match pending {
        Some(pending) if pending.rebuild == Rebuild::Always && rebuild == Rebuild::Due => {
            continues.clone_from(&pending.continues);
            (Rebuild::Always, Vec::new())
        }
        _ => (rebuild, bases),
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
    };
    ask(host, state, request, lives).map(Some)
}

/// Asks the worker to check the images that the leader announces and this unit does not have, `news`. Returns the job
/// that is asked for, or runs.
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
        Some(last) if is_open(last, journal) => {
            is_orphaned(last, journal, lives).then_some(Reason::Announcement)
        }
        Some(_) => is_to_be_retried(journal, event).then_some(Reason::Retry),
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
    };
    ask(host, state, request, lives).map(Some)
}

/// Whether `request` is to take over all of `images`.
pub fn is_about(request: &Request, images: &[Image]) -> bool {
    match &request.task {
        Task::TakeOver(asked) => images.iter().all(|image| asked.contains(image)),
        Task::Build | Task::CleanUp => false,
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

/// Stops the worker and has another remove what it has made. Returns the job that does so, `None` when there was
/// nothing to cancel. Needs no configuration but that of the job, so it works while the present one is refused.
pub fn cancel(host: &Host, environment: &Environment) -> Result<Option<JobId>, ReconcileError> {
    let Some(last) = Request::load(host)? else { return Ok(None) };
    let journal = Journal::load(host)?;
    if !is_open(&last, &journal) && !journal.left_something() {
        return Ok(None);
    }
    builder::stop_worker(host);
    let secrets = BuildSecrets { proxies: proxies(environment), ..BuildSecrets::default() };
    let request = Request {
        id: JobId::random(),
        at: Timestamp::now(),
        reason: Reason::Cancel,
        task: Task::CleanUp,
        rebuild: Rebuild::Due,
        bases: Vec::new(),
        has_secrets: !secrets.is_empty(),
        continues: Vec::new(),
        ..last
    };
    request.save(host, &secrets)?;
    builder::start_worker(host)?;
    Ok(Some(request.id))
}

/// Whether the worker has not ended `request` yet.
pub fn is_open(request: &Request, journal: &Journal) -> bool {
    !journal.job.as_ref().is_some_and(|job: &Job| job.id == request.id && job.finished.is_some())
}

fn is_taken_up(request: &Request, journal: &Journal) -> bool {
    journal.job.as_ref().is_some_and(|job| job.id == request.id)
}

/// Whether a worker that died left `request` behind. What none has taken up wants a worker, not another request: one that
/// has just been started may hold no lock yet.
fn is_orphaned(request: &Request, journal: &Journal, worker_lives: bool) -> bool {
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
        builder::start_worker(host)?;
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
            Ok(None)
        }
        other => Ok(other),
    }
}

/// The clean-up after a worker that died, or could not remove all, when nothing is to be built that would begin with it.
fn abandoned(state: &CharmState, journal: &Journal, worker_lives: bool) -> Option<Due> {
    let is_time = journal.retry_at().is_none_or(|at| at <= Timestamp::now());
    // While builds are merely paused, a finished snapshot may wait.
    let left = if state.paused { journal.is_building() } else { journal.left_something() };
    let leaves = !journal.clouds_to_leave(&state.run).is_empty();
    (((left && is_time) || leaves) && !worker_lives)
        .then(|| Due { task: Task::CleanUp, ..Due::whatever(Reason::Abandoned) })
}

/// What the worker is to be asked for, and why.
struct Due {
    reason: Reason,
    task: Task,
    demand: Demand,
    continues: Vec<JobId>,
}

impl Due {
    /// What changed or grew old.
    fn whatever(reason: Reason) -> Self {
        let demand = Demand { rebuild: Rebuild::Due, bases: Vec::new() };
        Self { reason, task: Task::Build, demand, continues: Vec::new() }
    }

    /// What `last` has asked for, from where it has come to, with the secrets of now.
    fn again(reason: Reason, last: &Request) -> Self {
        // What the oldest have built has grown old since.
        let earlier = last.continues.iter().rev().take(MANY).rev();
        Self {
            reason,
            task: last.task.clone(),
            demand: Demand { rebuild: last.rebuild, bases: last.bases.clone() },
            continues: earlier.chain([&last.id]).cloned().collect(),
        }
    }
}

fn due(
    state: &CharmState,
    journal: &Journal,
    event: &Event,
    last: Option<&Request>,
    worker_lives: bool,
) -> Option<Due> {
    let Some(last) = last else { return Some(Due::whatever(Reason::Configuration)) };
    // After a clean-up only, what was being built still is to be.
    if last.config.digest() != state.run.digest() || last.reason == Reason::Abandoned {
        return Some(Due::whatever(Reason::Configuration));
    }
    if let Event::SecretChanged { id } = event
        && state.script_secret.as_ref().is_some_and(|secret| secret.is(id))
    {
        let demand = Demand { rebuild: Rebuild::Always, bases: Vec::new() };
        return Some(Due { demand, ..Due::whatever(Reason::Secret) });
    }
    if is_open(last, journal) {
        return is_orphaned(last, journal, worker_lives).then(|| Due::again(last.reason, last));
    }
    let failures: Vec<_> = journal.job.iter().flat_map(|job| &job.failures).collect();
    if *event == Event::Scheduled {
        // What was to be built whatever its age, and was not, still is.
        let is_owed = !failures.is_empty() && last.rebuild == Rebuild::Always && last.bases.is_empty();
        return Some(match is_owed {
            true => Due::again(Reason::Schedule, last),
            false => Due::whatever(Reason::Schedule),
        });
    }
    if failures.iter().any(|failure| failure.remedy == Remedy::Hook) {
        return Some(Due::again(last.reason, last));
    }
    let reason = if last.task == Task::Build { Reason::Retry } else { last.reason };
    if is_to_be_retried(journal, event) {
        return Some(Due::again(reason, last));
    }
    // Every job begins with what is left in clouds that are not used any more; one that failed is tried again anyway.
    let leaves = failures.is_empty() && !journal.clouds_to_leave(&state.run).is_empty();
    leaves.then(|| Due::whatever(Reason::Leftovers))
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
