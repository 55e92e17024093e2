//! The router: one event in, one pass over the whole state, one status out.

use std::error::Error;
use std::io::{self, ErrorKind};

use super::actions::FollowError;
use super::cos_agent::{self, metrics_socket};
use super::due::Occasion;
use super::event::{Action, Event, RelationChange};
use super::image_relation::remembered::Remembered;
use super::peers::{self, Exchange};
use super::reconcile::{self, ReconcileError};
use super::removal::{self, RemovalError};
use super::state::{CharmState, SigningSecret, StateError, proxies};
use super::turn::Turn;
use super::{credentials, status};
use crate::builder::{self, BuilderInitConfig, BuilderSetupError, Clouds};
use crate::charm::cos_agent::metrics_socket::MetricsSocketError;
use crate::host::{FileError, Host, NotOurs, Written};
use crate::juju::{Environment, HookToolError, HookTools, RelationId, Status};
use crate::model::Timestamp;
use crate::record::{
    self, BuildMode, Findings, Image, JobId, Journal, LastHook, Levers, PastJob, RecordError, SigningKeys,
    Upstream,
};
use crate::worker::{self, WorkerError};

/// A hook failed: our own bug, or a machine in trouble. Juju runs the hook again.
#[derive(Debug, thiserror::Error)]
pub enum DispatchError {
    /// A hook tool failed.
    #[error(transparent)]
    Juju(#[from] HookToolError),
    /// The host or a relation could not be reconciled.
    #[error(transparent)]
    Reconcile(#[from] ReconcileError),
    /// The journal could not be read.
    #[error(transparent)]
    Journal(#[from] RecordError),
    /// What the charm stands on could not be set up.
    #[error(transparent)]
    Setup(#[from] BuilderSetupError),
    /// A host file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The host could not be left clean.
    #[error(transparent)]
    Removal(#[from] RemovalError),
    /// A launch could not be noted, or its launcher not be started.
    #[error(transparent)]
    Launch(#[from] WorkerError),
    /// Collectors of metrics cannot be answered.
    #[error(transparent)]
    MetricsSocket(#[from] MetricsSocketError),
    /// We do not know our own executable.
    #[error("finding the executable of the charm: {0}")]
    Executable(std::io::Error),
}

impl DispatchError {
    /// What the operator must do about the machine, when that is what stands in the way.
    fn remedy(&self) -> Option<String> {
        if let Self::Setup(error @ BuilderSetupError::Taken { .. }) = self {
            return Some(error.to_string());
        }
        let mut cause: Option<&dyn Error> = Some(self);
        while let Some(error) = cause {
            let io = error.downcast_ref::<io::Error>();
            if io.and_then(NotOurs::behind).is_some() {
                return Some(self.to_string());
            }
            let remedy = match io.map(io::Error::kind) {
                Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => "make room on the unit's disk",
                Some(ErrorKind::ReadOnlyFilesystem) => "make the unit's disk writable",
                _ => {
                    cause = error.source();
                    continue;
                }
            };
            return Some(format!("{self}; {remedy}"));
        }
        None
    }
}

impl From<FollowError> for DispatchError {
    fn from(error: FollowError) -> Self {
        match error {
            FollowError::Juju(error) => Self::Juju(error),
            FollowError::Journal(error) => Self::Journal(error),
            FollowError::File(error) => Self::File(error),
        }
    }
}

/// One turn of the unit.
pub struct Unit<'a> {
    /// The machine.
    pub host: &'a Host,
    /// What Juju says of the event.
    pub environment: &'a Environment,
    /// How to talk to Juju.
    pub tools: &'a dyn HookTools,
}

impl Unit<'_> {
    /// Does what `event` asks for. A disk that is full, a file that cannot be read and a machine that another unit has are
    /// the operator's affair and no failure of the hook; an action fails with the same words.
    pub fn dispatch(&self, event: &Event) -> Result<(), DispatchError> {
        let Err(error) = self.handle(event) else { return Ok(()) };
        // What another unit remembers is its own.
        let is_ours = !matches!(error, DispatchError::Setup(BuilderSetupError::Taken { .. }));
        if is_ours {
            self.forget();
        }
        let Some(remedy) = error.remedy() else { return Err(error) };
        if matches!(event, Event::Action(_)) {
            self.tools.action_fail(&remedy)?;
        }
        Ok(self.tools.status_set(&status::machine_in_trouble(&remedy))?)
    }

    fn handle(&self, event: &Event) -> Result<(), DispatchError> {
        match (builder::check_owner(self.host, self.environment.unit.as_str()), event) {
            (Err(error @ BuilderSetupError::Taken { .. }), Event::Stop | Event::Remove) => {
                log::info!("{error}; this unit has nothing to remove on this machine");
                return Ok(());
            }
            (checked, _) => checked?,
        }
        // What is removed need not be ours.
        if !matches!(event, Event::Stop | Event::Remove) {
            self.host.own_folders()?;
        }
        record::put_aside(self.host)?;
        match event {
            // Those that follow what they ask for give their turn back before.
            Event::Action(Action::Run) => self.run_action(event),
            Event::Action(Action::Cancel) => self.cancel_action(),
            Event::Action(Action::LaunchRunner) => self.launch_runner(event),
            Event::Action(Action::Check) => self.check_action(event),
            Event::Action(Action::CleanUp) => self.clean_up(event),
            Event::Action(Action::History) => self.history(),
            Event::Action(Action::ListImages) => self.list_images(),
            Event::Action(Action::ShowImage) => self.show_image(),
            Event::Action(Action::DiffImages) => self.diff_images(),
            Event::Action(Action::ShowPublicKey) => self.show_public_key(),
            Event::Action(Action::RotateSigningKey) => self.rotate_signing_key(event),
            Event::Action(action @ (Action::Pin | Action::Unpin | Action::Revoke)) => {
                self.decide(event, *action)
            }
            _ => {
                let _turn = Turn::take(self.host)?;
                self.handle_hook(event)
            }
        }
    }

    fn handle_hook(&self, event: &Event) -> Result<(), DispatchError> {
        match event {
            Event::Install => self.install(event),
            Event::UpgradeCharm => self.upgrade(event),
            Event::Stop => self.stop(),
            Event::Remove => Ok(removal::remove_host_files(self.host)?),
            Event::CosAgent(RelationChange::Broken) => Ok(metrics_socket::close_metrics_socket(self.host)?),
            Event::CosAgent(_) => self.tell_collectors(self.environment.relation_id.as_ref()),
            Event::ConfigChanged
            | Event::Start
            | Event::UpdateStatus
            | Event::LeaderElected
            | Event::SecretChanged { .. }
            | Event::ImageRelation(_)
            | Event::Peers
            | Event::PeersEnd
            | Event::Scheduled
            | Event::Look
            | Event::WorkerReport => self.reconcile(event),
            Event::Action(_) | Event::Other(_) => {
                log::info!("event {event} is not handled by this charm");
                Ok(())
            }
        }
    }

    /// Lets the next hook ask Juju for everything. A disk that is read-only keeps what the last hook has left there, for an
    /// hour at most.
    fn forget(&self) {
        if let Err(error) = LastHook::forget(self.host) {
            log::warn!("{error}; the next hook may work with outdated relation data");
        }
    }

    /// Lets Juju show `status`.
    pub(super) fn show_status(&self, status: &Status) -> Result<(), HookToolError> {
        status::shown::show(self.host, self.tools, status)
    }

    fn install(&self, event: &Event) -> Result<(), DispatchError> {
        self.show_status(&Status::Maintenance("Setting up Builder.".into()))?;
        self.tell_version();
        self.initialize()?;
        // The worker installs what is missing before each job, so a package server that is down blocks nothing here.
        if let Err(error) = builder::install_dependencies(BuildMode::External, None) {
            log::warn!("{error}; retried before the first build");
        }
        self.reconcile(event)
    }

    fn upgrade(&self, event: &Event) -> Result<(), DispatchError> {
        self.show_status(&Status::Maintenance("Running builder upgrade.".into()))?;
        self.tell_version();
        // This may be the unit's first event: another charm may have been here.
        self.initialize()?;
        if let Err(error) = builder::upgrade_app(self.host) {
            log::warn!("{error}");
        }
        self.tell_collectors(None)?;
        self.reconcile(event)
    }

    /// Tells which version `juju status` is to show. The unit works without that, too.
    fn tell_version(&self) {
        if let Err(error) = self.tools.application_version_set(env!("CARGO_PKG_VERSION")) {
            log::warn!("the charm's version could not be set: {error}");
        }
    }

    /// Tells the collector of one relation, or all that there are.
    fn tell_collectors(&self, relation: Option<&RelationId>) -> Result<(), DispatchError> {
        if cos_agent::tell(self.tools, self.environment, relation)? {
            let dispatch = std::env::current_exe().map_err(DispatchError::Executable)?;
            // Images matter more than metrics.
            if let Err(error) = metrics_socket::open_metrics_socket(self.host, &dispatch) {
                log::error!("{error}; retried at the next cos-agent event or upgrade");
            }
        }
        Ok(())
    }

    fn initialize(&self) -> Result<(), BuilderSetupError> {
        let config = BuilderInitConfig { unit_name: self.environment.unit.to_string() };
        builder::initialize(self.host, &config)?;
        if let Err(error) = builder::remove_python_charm(self.host, &config.unit_name) {
            log::warn!("{error}; retried in the next hook");
        }
        Ok(())
    }

    fn reconcile(&self, event: &Event) -> Result<(), DispatchError> {
        match record::take_unlogged(self.host) {
            Ok(ended) => ended.iter().for_each(PastJob::log),
            Err(error) => log::warn!("{error}; jobs that have ended are not logged here: see `history`"),
        }
        if self.departs(event)? {
            return Ok(self.show_status(&Status::Maintenance("Being removed.".into()))?);
        }
        let installed = builder::read_clouds_yaml(self.host).unwrap_or_default();
        let state = match self.state(event, installed.clone()) {
            Ok(state) => state,
            Err(StateError::Invalid(reason)) => {
                self.forget();
                peers::missed(self.host, event)?;
                reconcile::missed_secret(self.host, event)?;
                let broken = self.broken_relation(event);
                credentials::forget_departed(self.host, self.tools, self.environment, broken, installed)?;
                worker::tend(self.host, &proxies(self.environment))?;
                return Ok(self.show_status(&status::invalid(&reason))?);
            }
            Err(StateError::Juju(error)) => return Err(error.into()),
        };
        self.converge(&state, event, None)?;
        Ok(())
    }

    /// What Juju says; `installed` stands in clouds.yaml.
    fn state(&self, event: &Event, installed: Clouds) -> Result<CharmState, StateError> {
        let remembered = Remembered::in_event(self.host, event, installed);
        CharmState::load(self.tools, self.environment, self.broken_relation(event), remembered)
    }

    /// The relation that ends with `event`.
    fn broken_relation(&self, event: &Event) -> Option<&RelationId> {
        match event {
            Event::ImageRelation(RelationChange::Broken) => self.environment.relation_id.as_ref(),
            _ => None,
        }
    }

    /// Host, relations, worker, status: the same in every event.
    pub(super) fn converge(
        &self,
        state: &CharmState,
        event: &Event,
        demand: Option<&reconcile::Demand>,
    ) -> Result<Option<JobId>, DispatchError> {
        self.initialize()?;
        let mut journal = state.journal(self.host)?;
        let (written, new_credentials) = reconcile::host_files(self.host, self.environment, state, &journal)?;
        // It names clouds of clouds.yaml.
        state.last_hook.save(self.host)?;
        reconcile::check(self.host, self.environment, state, &journal, event, written)?;
        let event = match (written, event) {
            // Juju does not tell of everything that changes. What a relation brings is no change of options.
            (Written::Changed, Event::UpdateStatus)
                if new_credentials.is_empty() || new_credentials.contains(&state.run.build_cloud) =>
            {
                &Event::ConfigChanged
            }
            _ => event,
        };
        // What relations are told of it goes with it.
        let secret = SigningSecret::prepare(self.host, self.tools, state.need_of_key())?;
        let news = self.publish(state, &mut journal, event)?;
        let occasion =
            Occasion { event, new_credentials: &new_credentials, build_cloud: &state.run.build_cloud };
        // What a unit has left goes first, whoever leads.
        let job = reconcile::work(self.host, self.environment, state, &journal, occasion, demand, &secret)?;
        let job = match job {
            None if !state.leader => {
                reconcile::take_over(self.host, self.environment, state, &journal, occasion, news)?
            }
            job => job,
        };
        if job.is_none() {
            reconcile::attend_check(self.host, &journal)?;
        }
        worker::tend(self.host, &state.secrets.proxies)?;
        self.show(state, &journal)?;
        Ok(job)
    }

    /// Shows how the unit stands.
    pub(super) fn show(&self, state: &CharmState, journal: &Journal) -> Result<(), HookToolError> {
        let status = status::status(state, journal, Findings::load(self.host).as_ref());
        let (upstream, now) = (Upstream::load(self.host), Timestamp::now());
        let status = status::with_runners(status, state, journal, &upstream, now);
        // What cannot be read is told by whoever needs it.
        let keys = SigningKeys::load(self.host).unwrap_or_default();
        self.show_status(&status::with_signing(status, state, &keys))
    }

    /// Publishes what the journal has, to related applications and to the other units; once more when those have told of
    /// decisions or keys that change it. Returns what the leader announces and this unit wants and does not have.
    pub(super) fn publish(
        &self,
        state: &CharmState,
        journal: &mut Journal,
        event: &Event,
    ) -> Result<Vec<Image>, DispatchError> {
        let Self { host, tools, environment } = *self;
        let public_keys = SigningKeys::load(host)?.public_keys;
        let named = reconcile::relations(host, tools, environment, state, journal)?;
        let news = Exchange { host, tools, environment, state, journal }.with_peers(event, &named)?;
        if Levers::load(host)? == journal.levers && SigningKeys::load(host)?.public_keys == public_keys {
            return Ok(news);
        }
        *journal = state.journal(host)?;
        let named = reconcile::relations(host, tools, environment, state, journal)?;
        let exchange = Exchange { host, tools, environment, state, journal };
        Ok(exchange.with_peers(&Event::WorkerReport, &named)?)
    }

    /// The state that an action works on; none when the configuration is refused, and then the action has failed.
    pub(super) fn state_for_action(&self, event: &Event) -> Result<Option<CharmState>, DispatchError> {
        match self.state(event, builder::read_clouds_yaml(self.host).unwrap_or_default()) {
            Ok(state) => Ok(Some(state)),
            Err(StateError::Invalid(reason)) => {
                self.show_status(&status::invalid(&reason))?;
                self.tools.action_fail(&reason.to_string())?;
                Ok(None)
            }
            Err(StateError::Juju(error)) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_with_its_remedy() {
        let failed = |kind: ErrorKind| FileError::at("writing", "/journal.json".as_ref())(kind.into());
        let error = DispatchError::Setup(BuilderSetupError::File(failed(ErrorKind::StorageFull)));
        assert!(error.remedy().unwrap().ends_with("; make room on the unit's disk"), "{error}");
        assert_eq!(DispatchError::File(failed(ErrorKind::NotFound)).remedy(), None);
    }
}
