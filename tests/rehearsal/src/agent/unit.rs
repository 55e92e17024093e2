//! A unit: fire its hooks, run its actions, look at what it says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use serde_json::{Map, Value};

use super::env::{extra, path};
use super::error::{AgentError, Result};
use super::procs::{Process, processes_below};
use super::record::{ActionRun, ExecResult, HookRun, RunKind, Status};
use super::schema;
use super::units::{self, Again, settle};
use super::world::{Event, Job, Shared, UnitId, UnitState, World};

/// An action that was asked for.
pub struct PendingAction {
    /// Its number.
    pub id: String,
    /// What becomes of it.
    pub outcome: Receiver<Result<ActionRun>>,
}

/// Commands that were asked for.
pub struct PendingExec {
    /// Their number.
    pub id: String,
    /// What becomes of them.
    pub outcome: Receiver<Result<ExecResult>>,
}

/// A unit of an application. Clones are the same unit.
#[derive(Clone)]
pub struct Unit {
    shared: Arc<Shared>,
    id: UnitId,
}

impl Unit {
    pub(super) fn new(shared: Arc<Shared>, id: UnitId) -> Self {
        Self { shared, id }
    }

    /// `image-builder/0`
    pub fn name(&self) -> String {
        self.id.name()
    }

    /// Runs a hook that has nothing to do with a relation or a secret. That it failed is in the run.
    pub fn fire(&self, hook: &str) -> Result<HookRun> {
        let mut world = self.shared.lock();
        self.check_error(&world)?;
        let job = world.enqueue(&self.id, Event::plain(hook)).ok_or_else(|| self.gone())?;
        drop(world);
        let runs = settle(&self.shared, &[(self.id.clone(), job)])?;
        match runs.into_iter().next() {
            Some(run) => Ok(run),
            None => Err(self.check_error(&self.shared.lock()).err().unwrap_or_else(|| self.gone())),
        }
    }

    /// What Juju fires every five minutes.
    pub fn update_status(&self) -> Result<HookRun> {
        self.fire("update-status")
    }

    /// Runs an action with these parameters, which actions.yaml checks and completes.
    pub fn run_action(&self, name: &str, params: Value) -> Result<ActionRun> {
        self.start_action(name, params)?.outcome.recv().unwrap_or_else(|_| Err(self.gone()))
    }

    /// The same without waiting for its end.
    pub fn start_action(&self, name: &str, params: Value) -> Result<PendingAction> {
        let params = match params {
            Value::Object(params) => params,
            Value::Null => Map::new(),
            other => return Err(AgentError::refused(format!("params must be a map, got {other}"))),
        };
        let (reply, outcome) = mpsc::channel();
        let mut world = self.shared.lock();
        self.check_error(&world)?;
        let spec = world.app(&self.id.app)?.charm.actions.get(name).cloned();
        let spec = spec.ok_or_else(|| {
            AgentError::refused(format!("action {name:?} not defined on unit {:?}", self.name()))
        })?;
        let params = schema::complete(&spec, params)?;
        let id = world.next_task();
        let (name, parallel) = (name.to_owned(), spec.parallel);
        world.enqueue_job(&self.id, Job::Action { id: id.clone(), name, params, parallel, reply });
        drop(world);
        self.shared.announce();
        Ok(PendingAction { id, outcome })
    }

    /// Runs commands in a hook context, as `juju exec` does.
    pub fn exec(&self, commands: &str) -> Result<ExecResult> {
        self.start_exec(commands)?.outcome.recv().unwrap_or_else(|_| Err(self.gone()))
    }

    /// The same without waiting for its end.
    pub fn start_exec(&self, commands: &str) -> Result<PendingExec> {
        let (reply, outcome) = mpsc::channel();
        let mut world = self.shared.lock();
        self.check_error(&world)?;
        let id = world.next_task();
        world.enqueue_job(&self.id, Job::Exec { commands: commands.to_owned(), relation: None, reply });
        drop(world);
        self.shared.announce();
        Ok(PendingExec { id, outcome })
    }

    /// The hook that failed, if the unit is in error state.
    pub fn failed_hook(&self) -> Result<Option<String>> {
        let world = self.shared.lock();
        Ok(world.unit(&self.id)?.failed.as_ref().map(|event| event.hook.clone()))
    }

    /// Runs the failed hook again, and then what waited behind it.
    pub fn retry(&self) -> Result<Vec<HookRun>> {
        self.resolve(Again::Retry)
    }

    /// Takes the failed hook as done (`juju resolve --no-retry`), and runs what waited behind it.
    pub fn skip_failed_hook(&self) -> Result<Vec<HookRun>> {
        self.resolve(Again::Skip)
    }

    fn resolve(&self, again: Again) -> Result<Vec<HookRun>> {
        let jobs = units::resolve(&mut self.shared.lock(), &self.id, again)?;
        settle(&self.shared, &jobs)
    }

    /// The status as `juju status` shows it.
    pub fn status(&self) -> Result<Status> {
        Ok(self.shared.lock().unit(&self.id)?.shown_status())
    }

    /// Every status that was set, the same again too, in order.
    pub fn statuses(&self) -> Result<Vec<Status>> {
        Ok(self.shared.lock().unit(&self.id)?.statuses.clone())
    }

    /// Waits until the status is as wanted, and returns it.
    pub fn wait_for(&self, wanted: impl Fn(&Status) -> bool, within: Duration) -> Result<Status> {
        let found = self.shared.look_until(within, || self.status().ok().filter(&wanted));
        found.ok_or_else(|| {
            let now = self.status().map_or_else(|error| error.to_string(), |status| status.to_string());
            let log = self.shared.lock().log_tail();
            AgentError::Deadline { what: format!("a status of {}", self.name()), within, now, log }
        })
    }

    /// Waits until nothing runs and nothing waits in this unit's queue, or it is in error state.
    pub fn wait_idle(&self, within: Duration) -> Result<()> {
        let idle =
            |unit: &UnitState| unit.running.is_none() && (unit.queue.is_empty() || unit.failed.is_some());
        let found = self.shared.look_until(within, || match self.shared.lock().unit(&self.id) {
            Ok(unit) => idle(unit).then_some(()),
            Err(_) => Some(()),
        });
        found.ok_or_else(|| AgentError::Deadline {
            what: format!("{} to be idle", self.name()),
            within,
            now: "it is busy".to_owned(),
            log: self.shared.lock().log_tail(),
        })
    }

    /// All runs of this unit so far, in the order in which they ended.
    pub fn runs(&self) -> Vec<HookRun> {
        let name = self.name();
        self.shared.lock().runs.iter().filter(|run| run.unit == name).cloned().collect()
    }

    /// The names of the hooks that ran so far.
    pub fn hooks(&self) -> Vec<String> {
        self.runs().into_iter().filter(|run| run.kind == RunKind::Hook).map(|run| run.name).collect()
    }

    /// What the charm keeps with state-set.
    pub fn charm_state(&self) -> Result<BTreeMap<String, String>> {
        Ok(self.shared.lock().unit(&self.id)?.charm_state.clone())
    }

    /// The ports that it opened, as `80/tcp`.
    pub fn opened_ports(&self) -> Result<BTreeSet<String>> {
        Ok(self.shared.lock().unit(&self.id)?.opened_ports.clone())
    }

    /// What it gave to application-version-set.
    pub fn workload_version(&self) -> Result<String> {
        Ok(self.shared.lock().unit(&self.id)?.workload_version.clone())
    }

    /// The charm's folder on the unit's machine.
    pub fn charm_dir(&self) -> Result<PathBuf> {
        Ok(self.shared.charm_dir(self.machine()?, &self.id))
    }

    /// The number of its machine.
    pub(super) fn machine(&self) -> Result<u64> {
        Ok(self.shared.lock().unit(&self.id)?.machine)
    }

    /// A command on the unit's machine outside of any hook, as cron or a service would run it: `juju-exec` and the
    /// test's own entries are on PATH, the extra variables are set, nothing of Juju's.
    pub fn command(&self, program: &str) -> Result<Command> {
        let world = self.shared.lock();
        let machine = world.unit(&self.id)?.machine;
        let mut command = Command::new(program);
        command.env_clear().envs(extra(&world, &self.id));
        command.env("PATH", path(&world, &self.id, None, &self.shared.machine_dir(machine)));
        Ok(command)
    }

    /// The processes that still run from this unit's machine or from a folder that an extra variable names.
    pub fn processes(&self) -> Result<Vec<Process>> {
        let world = self.shared.lock();
        let mut roots = vec![self.shared.machine_dir(world.unit(&self.id)?.machine)];
        let named = extra(&world, &self.id).into_iter().map(|(_, value)| PathBuf::from(value));
        roots.extend(named.filter(|path| path.is_absolute() && path.parent().is_some()));
        drop(world);
        let mut found: Vec<Process> = roots.iter().flat_map(|root| processes_below(root)).collect();
        found.sort_by_key(|process| process.pid);
        found.dedup();
        Ok(found)
    }

    /// Kills all of them, as a power cut does: a hook that was running has failed, and Juju runs it again
    /// ([`retry`](Self::retry)).
    pub fn power_cut(&self) -> Result<()> {
        while let processes = self.processes()?
            && !processes.is_empty()
        {
            processes.iter().for_each(Process::kill);
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    fn check_error(&self, world: &World) -> Result<()> {
        match &world.unit(&self.id)?.failed {
            None if world.stopped => {
                Err(AgentError::refused(format!("the agent of {} is stopped", self.name())))
            }
            None => Ok(()),
            Some(event) => Err(AgentError::UnitInError {
                unit: self.name(),
                hook: event.hook.clone(),
                log: world.log_tail(),
            }),
        }
    }

    fn gone(&self) -> AgentError {
        AgentError::Gone(self.name())
    }
}
