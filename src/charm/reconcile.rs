//! The host and the relations, brought to what the state says; and the decision whether the worker has something to
//! do. Nothing here calls a cloud, so no cloud can make a hook wait.

use super::event::{Event, RelationChange};
use super::image_relation;
use super::state::{CharmState, image_relations, proxies};
use crate::builder::{
    self, BuildSecrets, CloudsYamlError, Job, JobId, Journal, JournalError, Published, Reason, Rebuild,
    Remedy, Request, StartError, Timestamp,
};
use crate::host::{FileError, Host};
use crate::juju::{Environment, HookToolError, HookTools, RelationId};
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
pub fn host_files(host: &Host, environment: &Environment, state: &CharmState) -> Result<(), ReconcileError> {
    builder::install_clouds_yaml(host, &state.clouds)?;
    builder::configure_cron(host, environment.unit.as_str(), state.build_interval)?;
    Ok(())
}

/// Takes the credentials of departed relations out of clouds.yaml: all that can be done while the configuration is
/// refused. The build cloud's stay, what was made there may have to be removed.
pub fn forget_departed(
    host: &Host,
    tools: &dyn HookTools,
    broken: Option<&RelationId>,
) -> Result<(), ReconcileError> {
    let mut clouds = builder::read_clouds_yaml(host).unwrap_or_default();
    if clouds.is_empty() {
        return Ok(());
    }
    let build_cloud = Request::load(host)?.map(|request| request.config.build_cloud);
    let (_, relations) = image_relations(tools, broken)?;
    clouds.retain(|name, _| {
        Some(name) == build_cloud.as_ref() || relations.values().any(|relation| relation.cloud == *name)
    });
    builder::install_clouds_yaml(host, &clouds)?;
    Ok(())
}

/// Publishes to each relation the images that its cloud has. Only the leader does: it alone has built them.
pub fn relations(
    host: &Host,
    tools: &dyn HookTools,
    environment: &Environment,
    state: &CharmState,
    journal: &Journal,
) -> Result<(), ReconcileError> {
    if !state.leader {
        return Ok(());
    }
    let mut published = Published::load(host)?;
    published.retain(|id| state.relation_ids.iter().any(|known| known.as_str() == id));
    for (id, relation) in &state.relations {
        let wanted = image_relation::databag(journal, &relation.cloud, &state.run.targets);
        image_relation::publish(tools, &mut published, &environment.unit, id, &relation.cloud, wanted)?;
    }
    Ok(published.save(host)?)
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
    let last = Request::load(host)?;
    let due = match (demand, &last) {
        _ if !state.leader || state.relations.is_empty() || state.paused => {
            withdraw(host, journal, last.as_ref())?;
            abandoned(state, journal, lives)
        }
        (Some(demand), _) => Some(Due { demand: demand.clone(), ..Due::whatever(Reason::Action) }),
        (None, last) => due(state, journal, event, last.as_ref(), lives),
    };
    let Some(Due { reason, demand: Demand { rebuild, bases }, mut continues }) = due else {
        let pending = last.filter(|last| is_open(last, journal));
        return Ok(pending.map(|request| request.id));
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
        rebuild,
        bases,
        unit_name: environment.unit.to_string(),
        config: state.run.clone(),
        has_secrets: !state.secrets.is_empty(),
        continues,
    };
    request.save(host, &state.secrets)?;
    log::info!("job {}: asked for, {reason:?}", request.id);
    if !lives {
        builder::start_worker(host)?;
    }
    Ok(Some(request.id))
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
fn is_open(request: &Request, journal: &Journal) -> bool {
    !journal.job.as_ref().is_some_and(|job: &Job| job.id == request.id && job.finished.is_some())
}

fn is_taken_up(request: &Request, journal: &Journal) -> bool {
    journal.job.as_ref().is_some_and(|job| job.id == request.id)
}

/// Takes back a request that no worker has taken up: nobody wants it any more.
fn withdraw(host: &Host, journal: &Journal, last: Option<&Request>) -> Result<(), ReconcileError> {
    let is_idle =
        |last: &&Request| last.reason.builds() && is_open(last, journal) && !is_taken_up(last, journal);
    match last.filter(is_idle) {
        Some(last) => Ok(last.withdraw(host)?),
        None => Ok(()),
    }
}

/// The clean-up after a worker that died, or could not remove all, when nothing is to be built that would begin with it.
fn abandoned(state: &CharmState, journal: &Journal, worker_lives: bool) -> Option<Due> {
    let is_time = journal.retry_at().is_none_or(|at| at <= Timestamp::now());
    // While builds are merely paused, a finished snapshot may wait.
    let left = if state.paused { journal.running().is_some() } else { journal.left_something() };
    (left && is_time && !worker_lives).then(|| Due::whatever(Reason::Abandoned))
}

/// What the worker is to be asked for, and why.
struct Due {
    reason: Reason,
    demand: Demand,
    continues: Vec<JobId>,
}

impl Due {
    /// What changed or grew old.
    fn whatever(reason: Reason) -> Self {
        Self { reason, demand: Demand { rebuild: Rebuild::Due, bases: Vec::new() }, continues: Vec::new() }
    }

    /// What `last` has asked for, from where it has come to, with the secrets of now.
    fn again(reason: Reason, last: &Request) -> Self {
        // What the oldest have built has grown old since.
        let earlier = last.continues.iter().rev().take(MANY).rev();
        Self {
            reason,
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
        // A worker that died, or lost its secrets, left this behind.
        return (!worker_lives).then(|| Due::again(last.reason, last));
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
    // What an operator can mend may just have been mended: credentials come by these events.
    let may_be_mended = matches!(
        event,
        Event::ConfigChanged | Event::SecretChanged { .. } | Event::ImageRelation(RelationChange::Changed)
    ) && failures.iter().any(|failure| failure.remedy == Remedy::Operator);
    let is_time = journal.retry_at().is_some_and(|at| at <= Timestamp::now());
    let reason = if last.reason.builds() { Reason::Retry } else { last.reason };
    (may_be_mended || is_time).then(|| Due::again(reason, last))
}
