//! The router: one event in, one pass over the whole state, one status out.

use super::actions::{self, FollowError, RunParameters};
use super::cos_agent;
use super::event::{Action, Event, RelationChange};
use super::options::Options;
use super::peers::{self, Exchange};
use super::reconcile::{self, ReconcileError};
use super::state::{CharmState, StateError, proxies};
use super::status;
use crate::builder::{
    self, BuildMode, BuilderInitConfig, BuilderSetupError, Extent, Image, JobId, Journal, JournalError,
    MetricsSocketError, RemovalError,
};
use crate::host::Host;
use crate::juju::{Environment, HookToolError, HookTools, RelationId, Status};

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
    Journal(#[from] JournalError),
    /// What the charm stands on could not be set up.
    #[error(transparent)]
    Setup(#[from] BuilderSetupError),
    /// The host could not be left clean.
    #[error(transparent)]
    Removal(#[from] RemovalError),
    /// Collectors of metrics cannot be answered.
    #[error(transparent)]
    MetricsSocket(#[from] MetricsSocketError),
    /// We do not know our own executable.
    #[error("finding our own executable: {0}")]
    Executable(std::io::Error),
}

impl From<FollowError> for DispatchError {
    fn from(error: FollowError) -> Self {
        match error {
            FollowError::Juju(error) => Self::Juju(error),
            FollowError::Journal(error) => Self::Journal(error),
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
    /// Does what `event` asks for.
    pub fn dispatch(&self, event: &Event) -> Result<(), DispatchError> {
        match event {
            Event::Install => self.install(event),
            Event::UpgradeCharm => self.upgrade(event),
            Event::Stop => self.stop(),
            Event::Remove => Ok(builder::remove_host_files(self.host)?),
            Event::Action(Action::Run) => self.run_action(event),
            Event::CosAgent(RelationChange::Broken) => Ok(builder::close_metrics_socket(self.host)?),
            Event::CosAgent(_) => self.tell_collectors(self.environment.relation_id.as_ref()),
            Event::ConfigChanged
            | Event::Start
            | Event::UpdateStatus
            | Event::LeaderElected
            | Event::SecretChanged { .. }
            | Event::ImageRelation(_)
            | Event::Peers
            | Event::Scheduled
            | Event::WorkerReport => self.reconcile(event),
            Event::Other(_) => {
                log::info!("event {event} is none of this charm's, nothing to do");
                Ok(())
            }
        }
    }

    fn install(&self, event: &Event) -> Result<(), DispatchError> {
        self.tools.status_set(&Status::Maintenance("Setting up Builder.".into()))?;
        self.initialize()?;
        // The worker installs what is missing before each job, so a package server that is down blocks nothing here.
        if let Err(error) = builder::install_dependencies(BuildMode::External) {
            log::warn!("{error}; tried again before the first build");
        }
        self.reconcile(event)
    }

    fn upgrade(&self, event: &Event) -> Result<(), DispatchError> {
        self.tools.status_set(&Status::Maintenance("Running builder upgrade.".into()))?;
        if let Err(error) = builder::upgrade_app(self.host) {
            log::warn!("{error}");
        }
        self.tell_collectors(None)?;
        self.reconcile(event)
    }

    /// Tells the collector of one relation, or all that there are.
    fn tell_collectors(&self, relation: Option<&RelationId>) -> Result<(), DispatchError> {
        if cos_agent::tell(self.tools, self.environment, relation)? {
            let dispatch = std::env::current_exe().map_err(DispatchError::Executable)?;
            builder::open_metrics_socket(self.host, &dispatch)?;
        }
        Ok(())
    }

    fn initialize(&self) -> Result<(), BuilderSetupError> {
        let config = BuilderInitConfig { unit_name: self.environment.unit.to_string() };
        builder::initialize(self.host, &config)
    }

    fn reconcile(&self, event: &Event) -> Result<(), DispatchError> {
        if self.departs()? {
            return Ok(self.tools.status_set(&Status::Maintenance("Being removed.".into()))?);
        }
        let state = match self.state(event) {
            Ok(state) => state,
            Err(StateError::Invalid(reason)) => {
                peers::missed(self.host, event)?;
                return Ok(self.tools.status_set(&status::invalid(&reason))?);
            }
            Err(StateError::Juju(error)) => return Err(error.into()),
        };
        self.converge(&state, event, None)?;
        Ok(())
    }

    /// Whether this unit, or the whole application, is being removed. Its relations go first: what it knows of their
    /// clouds is kept for `stop`, and nothing is begun any more.
    fn departs(&self) -> Result<bool, DispatchError> {
        if self.environment.departing_unit.as_ref() == Some(&self.environment.unit) {
            builder::note_departure(self.host)?;
        }
        Ok(builder::departs(self.host))
    }

    fn state(&self, event: &Event) -> Result<CharmState, StateError> {
        let broken = match event {
            Event::ImageRelation(RelationChange::Broken) => self.environment.relation_id.as_ref(),
            _ => None,
        };
        CharmState::load(self.tools, self.environment, broken)
    }

    /// Host, relations, worker, status: the same in every event.
    fn converge(
        &self,
        state: &CharmState,
        event: &Event,
        demand: Option<&reconcile::Demand>,
    ) -> Result<Option<JobId>, DispatchError> {
        self.initialize()?;
        reconcile::host_files(self.host, self.environment, state)?;
        let journal = Journal::load(self.host)?;
        let news = self.publish(state, &journal, event)?;
        let job = if state.leader {
            reconcile::work(self.host, self.environment, state, &journal, event, demand)?
        } else {
            reconcile::take_over(self.host, self.environment, state, &journal, event, news)?
        };
        self.tools.status_set(&status::status(state, &journal))?;
        Ok(job)
    }

    /// Publishes what the journal has, to related applications and to the other units. Returns what the leader
    /// announces and this unit wants and does not have.
    fn publish(
        &self,
        state: &CharmState,
        journal: &Journal,
        event: &Event,
    ) -> Result<Vec<Image>, DispatchError> {
        let Self { host, tools, environment } = *self;
        let named = reconcile::relations(host, tools, environment, state, journal)?;
        let exchange = Exchange { host, tools, environment, state, journal };
        Ok(exchange.with_peers(event, &named)?)
    }

    fn run_action(&self, event: &Event) -> Result<(), DispatchError> {
        let state = match self.state(event) {
            Ok(state) => state,
            Err(StateError::Invalid(reason)) => {
                self.tools.status_set(&status::invalid(&reason))?;
                return Ok(self.tools.action_fail(&reason.to_string())?);
            }
            Err(StateError::Juju(error)) => return Err(error.into()),
        };
        let parameters = match RunParameters::parse(&self.tools.action_get()?) {
            Ok(parameters) => parameters,
            Err(reason) => return Ok(self.tools.action_fail(&reason.to_string())?),
        };
        if state.relations.is_empty() {
            self.converge(&state, event, None)?;
            return Ok(self.tools.action_fail("Image relation not yet ready.")?);
        }
        if !state.leader {
            return Ok(self.tools.action_fail("This unit does not build; run the action on the leader.")?);
        }
        let Some(job) = self.converge(&state, event, Some(&parameters.demand))? else {
            return Ok(self.tools.action_fail("No job was started; see the unit's status.")?);
        };
        self.tools.action_set(&[("job", job.to_string())])?;
        if parameters.wait { self.wait_for(&state, event, &job) } else { Ok(()) }
    }

    fn wait_for(&self, state: &CharmState, event: &Event, job: &JobId) -> Result<(), DispatchError> {
        let Some(journal) = actions::follow(self.host, self.tools, job)? else {
            return Ok(self
                .tools
                .action_fail(&format!("Job {job} still runs; the unit's status follows it."))?);
        };
        self.publish(state, &journal, event)?;
        self.tools.status_set(&status::status(state, &journal))?;
        let images = journal.images.iter().map(|image| {
            let config = &image.result.config;
            format!("{}-{} {} {}", config.base, config.arch, config.cloud_name, image.result.id)
        });
        self.tools.action_set(&[("images", images.collect::<Vec<_>>().join("\n"))])?;
        let failures = journal.job.iter().flat_map(|job| &job.failures);
        let failures: Vec<&str> = failures.map(|failure| failure.message.as_str()).collect();
        if failures.is_empty() { Ok(()) } else { Ok(self.tools.action_fail(&failures.join("; "))?) }
    }

    /// What goes with this unit. In doubt, what others may need stays, and that is told.
    fn extent(&self) -> (Extent, Option<String>) {
        let ours = self.environment.unit.as_str();
        let others = match self.tools.goal_state_units() {
            Ok(units) => units.iter().any(|(unit, status)| unit != ours && status != "dying"),
            Err(error) => {
                return (Extent::Unit, Some(format!("what other units may need, if there are any: {error}")));
            }
        };
        if others {
            return (Extent::Unit, None);
        }
        match self.tools.config_get().map(|config| Options::new(config).remove_images_on_removal()) {
            Ok(true) => (Extent::ApplicationAndImages, None),
            Ok(false) => (Extent::Application, None),
            Err(error) => (Extent::Application, Some(format!("published images: {error}"))),
        }
    }

    fn stop(&self) -> Result<(), DispatchError> {
        self.tools.status_set(&Status::Maintenance("Removing builder VMs and base images.".into()))?;
        let owner = builder::Owner {
            model_uuid: self.environment.model_uuid.clone(),
            application: self.environment.unit.application().to_owned(),
            unit: self.environment.unit.number(),
        };
        let (extent, doubt) = self.extent();
        let proxies = proxies(self.environment);
        let mut left = builder::remove_cloud_resources(self.host, &owner, &proxies, extent);
        left.extend(doubt);
        for what in &left {
            log::warn!("left behind: {what}");
        }
        if !left.is_empty() {
            let message = format!("Left behind in the cloud: {}", left.join("; "));
            self.tools.status_set(&Status::Maintenance(message.chars().take(400).collect()))?;
        }
        Ok(())
    }
}
