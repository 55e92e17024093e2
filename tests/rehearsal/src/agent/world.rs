//! The model's state, one mutex around all of it: plain data, changed by the handles, the tools and the units' threads.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Map, Value};

use super::charm::Charm;
use super::context::Context;
use super::error::{AgentError, Result};
use super::model::{JujuVersion, Proxies, Tracing};
use super::record::{ActionRun, ExecResult, HookRun, Level, LogLine, Status};
use super::relation::RelationState;
use super::secrets::SecretStore;

pub(super) use super::event::{Event, RelationEvent, SecretEvent, Step};

/// What the test's handles, the units' threads and the tools share.
pub(super) struct Shared {
    pub dir: PathBuf,
    pub socket: PathBuf,
    world: Mutex<World>,
    changed: Condvar,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

pub(super) struct World {
    pub version: JujuVersion,
    pub name: String,
    pub uuid: String,
    pub proxies: Proxies,
    pub tracing: Option<Tracing>,
    pub apps: BTreeMap<String, App>,
    pub relations: BTreeMap<u32, RelationState>,
    pub secrets: SecretStore,
    pub contexts: HashMap<String, Context>,
    pub log: Vec<LogLine>,
    pub faults: Faults,
    pub deadline: Duration,
    /// How long after the first the second config-changed of one `juju config` comes; none when there is only one.
    pub config_again: Option<Duration>,
    /// The machines whose lock a hook or an action holds.
    pub locked: BTreeSet<u64>,
    /// Whether the agents are stopped: nothing is started.
    pub stopped: bool,
    /// Whether nobody waits for the hooks that follow from what is asked: they run in the background.
    pub background: bool,
    pub runs: Vec<HookRun>,
    pub done: BTreeSet<u64>,
    pub closed: bool,
    numbers: BTreeMap<&'static str, u64>,
}

/// What tests break on purpose.
#[derive(Default)]
pub(super) struct Faults {
    pub delay: Duration,
    pub slow: BTreeMap<String, Duration>,
    pub failing: BTreeMap<String, (u8, String)>,
}

pub(super) struct App {
    pub charm: Charm,
    /// The unpacked charm that further units get, and how often it was replaced.
    pub source: PathBuf,
    pub revision: u32,
    pub settings: BTreeMap<String, Value>,
    pub units: BTreeMap<u32, UnitState>,
    pub next_unit: u32,
    pub leader: Option<u32>,
    pub status: Vec<Status>,
    pub path: Vec<PathBuf>,
    pub env: Vec<(OsString, EnvValue)>,
    pub dying: bool,
}

/// The value of an extra variable: one for all units, or made from the unit's number.
pub(super) type EnvValue = Arc<dyn Fn(u32) -> OsString + Send + Sync>;

pub(super) struct UnitState {
    pub name: String,
    pub machine: u64,
    pub statuses: Vec<Status>,
    /// What its agent does.
    pub agent: Status,
    /// The unit that this subordinate goes with.
    pub principal: Option<UnitId>,
    pub charm_state: BTreeMap<String, String>,
    pub opened_ports: BTreeSet<String>,
    pub workload_version: String,
    pub seen: BTreeMap<u32, BTreeSet<String>>,
    pub manifest: BTreeSet<PathBuf>,
    /// Whether a refresh has still to bring it the new charm, since something ran.
    pub upgrades: bool,
    pub queue: VecDeque<Queued>,
    pub running: Option<u64>,
    pub failed: Option<Event>,
    pub dying: bool,
}

pub(super) struct Queued {
    pub id: u64,
    pub job: Job,
}

pub(super) enum Job {
    Hook(Event),
    Action {
        id: String,
        name: String,
        params: Map<String, Value>,
        /// Whether it needs no machine lock.
        parallel: bool,
        reply: Sender<Result<ActionRun>>,
    },
    Exec {
        commands: String,
        relation: Option<RelationEvent>,
        reply: Sender<Result<ExecResult>>,
    },
}

/// Which unit: its application and number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct UnitId {
    pub app: String,
    pub number: u32,
}

impl UnitId {
    pub fn name(&self) -> String {
        format!("{}/{}", self.app, self.number)
    }

    pub fn parse(name: &str) -> Option<Self> {
        let (app, number) = match name.strip_prefix("unit-") {
            Some(tag) if !name.contains('/') => tag.rsplit_once('-')?,
            _ => name.split_once('/')?,
        };
        Some(Self { app: app.to_owned(), number: number.parse().ok()? })
    }

    pub fn tag(&self) -> String {
        format!("unit-{}-{}", self.app, self.number)
    }
}

impl Shared {
    pub fn new(dir: PathBuf, socket: PathBuf, version: JujuVersion, name: String, uuid: String) -> Self {
        let world = World {
            version,
            name,
            uuid,
            proxies: Proxies::default(),
            tracing: None,
            apps: BTreeMap::new(),
            relations: BTreeMap::new(),
            secrets: SecretStore::default(),
            contexts: HashMap::new(),
            log: Vec::new(),
            faults: Faults::default(),
            deadline: Duration::from_secs(120),
            config_again: config_again(),
            locked: BTreeSet::new(),
            stopped: false,
            background: false,
            runs: Vec::new(),
            done: BTreeSet::new(),
            closed: false,
            numbers: BTreeMap::new(),
        };
        Self { dir, socket, world: Mutex::new(world), changed: Condvar::new(), threads: Mutex::default() }
    }

    pub fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes whoever waits for something to happen.
    pub fn announce(&self) {
        self.changed.notify_all();
    }

    pub fn wait<'a>(&self, world: MutexGuard<'a, World>) -> MutexGuard<'a, World> {
        self.changed.wait(world).unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks until something is found, or for `within`. The model is not locked meanwhile.
    pub fn look_until<T>(&self, within: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(found) = look() {
                return Some(found);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            // Somebody may wait for files, so look again without a call now and then.
            let nap = left.min(Duration::from_millis(20));
            drop(self.changed.wait_timeout(self.lock(), nap));
        }
    }

    /// Starts the thread of a unit.
    pub fn start(self: &Arc<Self>, live: impl FnOnce(&Arc<Self>) + Send + 'static) {
        let shared = Arc::clone(self);
        let thread = thread::spawn(move || live(&shared));
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
    }

    pub fn take_threads(&self) -> Vec<JoinHandle<()>> {
        std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ends the model: nothing is started any more, and whoever waits is told.
    pub fn close(&self) {
        let mut world = self.lock();
        world.closed = true;
        for app in world.apps.values_mut() {
            for unit in app.units.values_mut() {
                unit.queue.clear();
            }
        }
        drop(world);
        self.announce();
    }

    pub fn machine_dir(&self, machine: u64) -> PathBuf {
        self.dir.join(format!("m{machine}"))
    }

    pub fn charm_dir(&self, machine: u64, unit: &UnitId) -> PathBuf {
        self.machine_dir(machine).join("agents").join(unit.tag()).join("charm")
    }
}

impl World {
    /// The next number of its kind: machines, relations, actions, jobs, contexts.
    pub fn next(&mut self, kind: &'static str) -> u64 {
        let number = self.numbers.entry(kind).or_default();
        *number += 1;
        *number - 1
    }

    /// The next number of an operation or a task.
    pub fn next_task(&mut self) -> String {
        (self.next("task") + 1).to_string()
    }

    pub fn app(&self, name: &str) -> Result<&App> {
        self.apps.get(name).ok_or_else(|| AgentError::Gone(format!("application {name}")))
    }

    pub fn app_mut(&mut self, name: &str) -> Result<&mut App> {
        self.apps.get_mut(name).ok_or_else(|| AgentError::Gone(format!("application {name}")))
    }

    pub fn unit(&self, id: &UnitId) -> Result<&UnitState> {
        let unit = self.apps.get(&id.app).and_then(|app| app.units.get(&id.number));
        unit.ok_or_else(|| AgentError::Gone(id.name()))
    }

    pub fn unit_mut(&mut self, id: &UnitId) -> Result<&mut UnitState> {
        let unit = self.apps.get_mut(&id.app).and_then(|app| app.units.get_mut(&id.number));
        unit.ok_or_else(|| AgentError::Gone(id.name()))
    }

    pub fn is_leader(&self, id: &UnitId) -> bool {
        self.apps.get(&id.app).is_some_and(|app| app.leader == Some(id.number))
    }

    /// Whether a unit goes, or has gone.
    pub fn is_dying(&self, unit: &str) -> bool {
        UnitId::parse(unit).is_none_or(|id| self.unit(&id).map_or(true, |state| state.dying))
    }

    pub fn unit_ids(&self, app: &str) -> Vec<UnitId> {
        let numbers = self.apps.get(app).into_iter().flat_map(|app| app.units.keys());
        numbers.map(|&number| UnitId { app: app.to_owned(), number }).collect()
    }

    /// Puts a hook into the unit's queue; one that waits there already is not queued twice.
    pub fn enqueue(&mut self, unit: &UnitId, event: Event) -> Option<u64> {
        let waiting = self.unit(unit).ok()?.queue.iter().find(|queued| match &queued.job {
            Job::Hook(other) => *other == event,
            _ => false,
        });
        if let Some(queued) = waiting {
            return Some(queued.id);
        }
        self.enqueue_job(unit, Job::Hook(event))
    }

    pub fn enqueue_job(&mut self, unit: &UnitId, job: Job) -> Option<u64> {
        if self.closed {
            return None;
        }
        let id = self.next("job");
        self.unit_mut(unit).ok()?.queue.push_back(Queued { id, job });
        Some(id)
    }

    pub fn note(&mut self, unit: &str, level: Level, module: &str, message: impl Into<String>) {
        let line = LogLine {
            at: SystemTime::now(),
            unit: unit.to_owned(),
            level,
            module: module.to_owned(),
            message: message.into(),
        };
        self.log.push(line);
    }

    /// The last lines of the log, for error messages.
    pub fn log_tail(&self) -> String {
        let from = self.log.len().saturating_sub(20);
        self.log[from..].iter().map(|line| format!("  {line}\n")).collect()
    }
}

/// What the environment says about the second config-changed: its delay in seconds. By default there is none.
fn config_again() -> Option<Duration> {
    let seconds = std::env::var("REHEARSAL_CONFIG_CHANGED_AGAIN").ok()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

impl Job {
    /// What the agent says while it runs.
    pub fn doing(&self) -> String {
        match self {
            Self::Hook(event) => format!("running {} hook", event.hook),
            Self::Action { name, .. } => format!("running action {name}"),
            Self::Exec { .. } => "running commands".to_owned(),
        }
    }

    /// Whether it has to hold the lock of its machine, which one hook, action or `juju-exec` of all units there can hold.
    pub fn needs_lock(&self) -> bool {
        !matches!(self, Self::Action { parallel: true, .. })
    }
}

impl UnitState {
    pub fn new(name: String, machine: u64) -> Self {
        let mut unit = Self {
            name,
            machine,
            statuses: Vec::new(),
            agent: status("allocating", ""),
            principal: None,
            charm_state: BTreeMap::new(),
            opened_ports: BTreeSet::new(),
            workload_version: String::new(),
            seen: BTreeMap::new(),
            manifest: BTreeSet::new(),
            upgrades: false,
            queue: VecDeque::new(),
            running: None,
            failed: None,
            dying: false,
        };
        unit.set_status("waiting", "installing agent");
        unit
    }

    pub fn set_status(&mut self, state: &str, message: &str) {
        self.statuses.push(status(state, message));
    }

    /// The workload's status, or the error that hides it.
    pub fn shown_status(&self) -> Status {
        self.statuses.last().cloned().unwrap_or_else(|| status("unknown", ""))
    }

    /// The workload's own status, whatever hides it.
    pub fn workload_status(&self) -> Status {
        let own = self.statuses.iter().rev().find(|status| status.state != "error");
        own.cloned().unwrap_or_else(|| status("unknown", ""))
    }
}

pub(super) fn status(state: &str, message: &str) -> Status {
    Status { state: state.to_owned(), message: message.to_owned(), since: SystemTime::now() }
}
