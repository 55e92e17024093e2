//! The router: one event in, one pass over the whole state, one status out.

use super::actions::{self, FollowError, RunParameters};
use super::event::{Action, Event, RelationChange};
use super::reconcile::{self, ReconcileError};
use super::state::{CharmState, StateError, proxies};
use super::status;
use crate::builder::{
    self, BuildMode, BuilderInitConfig, BuilderSetupError, JobId, Journal, JournalError, RemovalError,
};
use crate::host::Host;
use crate::juju::{Environment, HookToolError, HookTools, Status};

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
            Event::ConfigChanged
            | Event::Start
            | Event::UpdateStatus
            | Event::LeaderElected
            | Event::SecretChanged { .. }
            | Event::ImageRelation(_)
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
        self.reconcile(event)
    }

    fn initialize(&self) -> Result<(), BuilderSetupError> {
        let config = BuilderInitConfig { unit_name: self.environment.unit.to_string() };
        builder::initialize(self.host, &config)
    }

    fn reconcile(&self, event: &Event) -> Result<(), DispatchError> {
        let state = match self.state(event) {
            Ok(state) => state,
            Err(StateError::Invalid(reason)) => {
                return Ok(self.tools.status_set(&status::invalid(&reason))?);
            }
            Err(StateError::Juju(error)) => return Err(error.into()),
        };
        self.converge(&state, event, None)?;
        Ok(())
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
        reconcile::relations(self.host, self.tools, self.environment, state, &journal)?;
        let job = reconcile::work(self.host, self.environment, state, &journal, event, demand)?;
        self.tools.status_set(&status::status(state, &journal))?;
        Ok(job)
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
        if parameters.wait { self.wait_for(&state, &job) } else { Ok(()) }
    }

    fn wait_for(&self, state: &CharmState, job: &JobId) -> Result<(), DispatchError> {
        let Some(journal) = actions::follow(self.host, self.tools, job)? else {
            return Ok(self
                .tools
                .action_fail(&format!("Job {job} still runs; the unit's status follows it."))?);
        };
        reconcile::relations(self.host, self.tools, self.environment, state, &journal)?;
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

    fn stop(&self) -> Result<(), DispatchError> {
        self.tools.status_set(&Status::Maintenance("Removing builder VMs and base images.".into()))?;
        let owner = builder::Owner {
            model_uuid: self.environment.model_uuid.clone(),
            application: self.environment.unit.application().to_owned(),
            unit: self.environment.unit.number(),
        };
        let left = builder::remove_cloud_resources(self.host, &owner, &proxies(self.environment));
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
