//! The model: where a test begins.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use tempfile::TempDir;

use super::absence::StoppedSocket;
use super::application::Application;
use super::error::{AgentError, Result};
use super::procs::{self, Process, processes_below};
use super::record::{HookRun, LogLine};
use super::secrets::{self, SecretState};
use super::server;
use super::toolbox;
use super::units::settle;
use super::world::{Event, SecretEvent, Shared, UnitId};

pub use super::application::Deployment;

/// Which Juju it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JujuVersion {
    /// 3.6
    V3_6,
    /// 4.0: without leader-get, add-metric, payload-* and their like. It does not tell of everything that happens:
    /// peers that go depart from nobody, and an option that is reset brings no hook.
    V4_0,
    /// 4.1: with tracing variables.
    V4,
}

impl JujuVersion {
    pub(super) fn number(self) -> &'static str {
        match self {
            Self::V3_6 => "3.6.9",
            Self::V4_0 => "4.0.15",
            Self::V4 => "4.1.0",
        }
    }
}

/// The model's proxies for charms (`juju-http-proxy` and so on). By default there are none, and Juju's own exceptions.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "their names are Juju's")]
pub struct Proxies {
    pub http: String,
    pub https: String,
    pub ftp: String,
    pub no_proxy: String,
}

impl Default for Proxies {
    fn default() -> Self {
        let none = String::new;
        Self { http: none(), https: none(), ftp: none(), no_proxy: "127.0.0.1,localhost,::1".to_owned() }
    }
}

/// Where charms send traces, from Juju 4 on.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "their names are Juju's")]
pub struct Tracing {
    pub http: String,
    pub grpc: String,
    pub ca_certificate: String,
}

/// A model with its controller and machines. Dropping it kills everything that was started in it.
pub struct Model {
    pub(super) shared: Arc<Shared>,
    server: Option<JoinHandle<()>>,
    // Removed last.
    _dir: TempDir,
}

impl Model {
    /// An empty model, called `rehearsal`.
    pub fn new(version: JujuVersion) -> Result<Self> {
        Self::named("rehearsal", version)
    }

    /// An empty model of this name.
    pub fn named(name: &str, version: JujuVersion) -> Result<Self> {
        toolbox::check()?;
        let dir =
            tempfile::Builder::new().prefix("juju-").tempdir().map_err(AgentError::io("making a folder"))?;
        let root = fs::canonicalize(dir.path()).map_err(AgentError::io("finding the folder"))?;
        let socket = root.join("s");
        let listener = UnixListener::bind(&socket)
            .map_err(AgentError::io(format!("listening on {}", socket.display())))?;
        let uuid = fs::read_to_string("/proc/sys/kernel/random/uuid")
            .map_err(AgentError::io("making a model UUID"))?;
        let uuid = uuid.trim().to_owned();
        let shared = Arc::new(Shared::new(root, socket, version, name.to_owned(), uuid));
        let server = thread::spawn({
            let shared = Arc::clone(&shared);
            move || server::serve(shared, listener)
        });
        Ok(Self { shared, server: Some(server), _dir: dir })
    }

    /// Deploys `units` units of the unpacked charm in `charm`, and lets them start: install, leader-elected,
    /// config-changed, start.
    pub fn deploy(&self, charm: impl AsRef<Path>, name: &str, units: u32) -> Result<Application> {
        self.deployment(charm, name).units(units).run()
    }

    /// The same with config, extra environment and so on from the beginning.
    pub fn deployment(&self, charm: impl AsRef<Path>, name: &str) -> Deployment {
        Deployment::new(Arc::clone(&self.shared), charm.as_ref().to_owned(), name.to_owned())
    }

    /// Sets the proxies that hooks see. Juju fires config-changed afterwards; so does this.
    pub fn set_proxies(&self, proxies: Proxies) -> Result<Vec<HookRun>> {
        let mut world = self.shared.lock();
        world.proxies = proxies;
        let units: Vec<UnitId> = world.apps.keys().flat_map(|app| world.unit_ids(app)).collect();
        let mut jobs = Vec::new();
        for unit in units {
            jobs.extend(world.enqueue(&unit, Event::plain("config-changed")).map(|job| (unit, job)));
        }
        drop(world);
        settle(&self.shared, &jobs)
    }

    /// Sets where hooks send traces (Juju 4).
    pub fn set_tracing(&self, tracing: Tracing) {
        self.shared.lock().tracing = Some(tracing);
    }

    /// Adds a user secret, as `juju add-secret` does: nobody may read it yet.
    pub fn add_secret(&self, content: &[(&str, &str)]) -> Result<Secret> {
        let id = self.shared.lock().secrets.add(owned(content));
        Ok(Secret { shared: Arc::clone(&self.shared), id })
    }

    /// The application of this name.
    pub fn application(&self, name: &str) -> Result<Application> {
        match self.shared.lock().apps.contains_key(name) {
            true => Ok(Application { shared: Arc::clone(&self.shared), name: name.to_owned() }),
            false => Err(AgentError::refused(format!("application {name:?} not found"))),
        }
    }

    /// The user secret of this name or URI.
    pub fn secret(&self, name_or_uri: &str) -> Result<Secret> {
        let world = self.shared.lock();
        let secrets = &world.secrets.secrets;
        let by_id = secrets::parse_uri(name_or_uri).filter(|id| secrets.contains_key(id));
        let by_name =
            || secrets.iter().find(|(_, secret)| secret.name == name_or_uri).map(|(id, _)| id.clone());
        let id = by_id.or_else(by_name);
        let id = id.ok_or_else(|| AgentError::refused(format!("secret {name_or_uri:?} not found")))?;
        Ok(Secret { shared: Arc::clone(&self.shared), id })
    }

    /// From now on, nobody waits for the hooks that follow from what is asked, as with the real client.
    pub fn run_hooks_in_background(&self) {
        self.shared.lock().background = true;
        self.shared.announce();
    }

    /// Makes every call of a hook tool take that much longer.
    pub fn delay_tools(&self, delay: Duration) {
        self.shared.lock().faults.delay = delay;
    }

    /// Makes every call of this tool take that much longer.
    pub fn delay_tool(&self, tool: &str, delay: Duration) {
        self.shared.lock().faults.slow.insert(tool.to_owned(), delay);
    }

    /// Makes every call of this tool fail with `ERROR text`.
    pub fn fail_tool(&self, tool: &str, code: u8, text: &str) {
        self.shared.lock().faults.failing.insert(tool.to_owned(), (code, text.to_owned()));
    }

    /// Ends delays and failures.
    pub fn heal_tools(&self) {
        self.shared.lock().faults = Default::default();
    }

    /// How long a hook may take before it is killed and has failed: 120 s if nothing else is said.
    pub fn set_hook_deadline(&self, deadline: Duration) {
        self.shared.lock().deadline = deadline;
    }

    /// Makes each `juju config` run config-changed a second time that much later, as Juju mostly does (1 s later), or
    /// never. By default it runs once, unless `REHEARSAL_CONFIG_CHANGED_AGAIN` gives that delay in seconds.
    pub fn repeat_config_changed(&self, later: Option<Duration>) {
        self.shared.lock().config_again = later;
    }

    /// Stops the units' agents once what runs has ended, as a controller does that cannot be reached: nothing is
    /// started, and `juju-exec` fails.
    pub fn stop_agents(&self, socket: StoppedSocket) -> Result<()> {
        self.shared.stop_agents(socket)
    }

    /// Starts the agents again. No hook tells of it: what waited in the queues runs.
    pub fn start_agents(&self) -> Result<()> {
        self.shared.start_agents()
    }

    /// The debug log so far.
    pub fn debug_log(&self) -> Vec<LogLine> {
        self.shared.lock().log.clone()
    }

    /// Every run so far: hooks, actions and `juju-exec`, of all units, also those that are gone.
    pub fn runs(&self) -> Vec<HookRun> {
        self.shared.lock().runs.clone()
    }

    /// Waits until `condition` holds; looks again whenever something happens in the model, and every 20 ms.
    pub fn wait_until(
        &self,
        what: &str,
        within: Duration,
        mut condition: impl FnMut() -> bool,
    ) -> Result<()> {
        let held = self.shared.look_until(within, || condition().then_some(()));
        held.ok_or_else(|| AgentError::Deadline {
            what: what.to_owned(),
            within,
            now: "it does not hold".to_owned(),
            log: self.shared.lock().log_tail(),
        })
    }

    /// Which Juju it is.
    pub fn version(&self) -> JujuVersion {
        self.shared.lock().version
    }

    /// Its UUID.
    pub fn uuid(&self) -> String {
        self.shared.lock().uuid.clone()
    }

    /// Begins an operation, and returns its number. Operations and their tasks are numbered in one series.
    pub fn begin_operation(&self) -> String {
        self.shared.lock().next_task()
    }

    /// The folder that holds the machines: charms, tools, sockets.
    pub fn dir(&self) -> &Path {
        &self.shared.dir
    }

    /// The processes that were started in this model, by whatever way, and still run.
    pub fn processes(&self) -> Vec<Process> {
        processes_below(&self.shared.dir)
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        self.shared.close();
        // The socket must be there to wake the server.
        let _ = self.shared.start_agents();
        let mut threads = self.shared.take_threads();
        let patience = Instant::now() + Duration::from_secs(5);
        loop {
            procs::kill_all(&self.processes());
            threads.retain(|thread| !thread.is_finished());
            if threads.is_empty() || Instant::now() >= patience {
                break;
            }
            thread::sleep(Duration::from_millis(5));
        }
        // What a unit's thread started last, and what that left behind.
        procs::kill_all(&self.processes());
        // Wakes the server, which sees that the model is closed.
        drop(UnixStream::connect(&self.shared.socket));
        if let Some(server) = self.server.take() {
            // It has nothing to say.
            let _ = server.join();
        }
    }
}

/// A user secret of the model.
pub struct Secret {
    shared: Arc<Shared>,
    id: String,
}

impl Secret {
    /// `secret:ID`
    pub fn uri(&self) -> String {
        format!("secret:{}", self.id)
    }

    /// The id alone.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Lets an application read it.
    pub fn grant(&self, app: &Application) -> Result<()> {
        self.change(|secret| {
            secret.grants.insert(app.name().to_owned());
        })
    }

    /// Takes that back.
    pub fn revoke(&self, app: &Application) -> Result<()> {
        self.change(|secret| {
            secret.grants.remove(app.name());
        })
    }

    /// Gives it a name, by which the operator knows it, and a description.
    pub fn describe(&self, name: &str, info: &str) -> Result<()> {
        self.change(|secret| {
            name.clone_into(&mut secret.name);
            info.clone_into(&mut secret.info);
        })
    }

    /// A new revision: secret-changed for every unit that reads this secret.
    pub fn update(&self, content: &[(&str, &str)]) -> Result<Vec<HookRun>> {
        self.change(|secret| {
            let next = secret.revisions.keys().next_back().copied().unwrap_or_default() + 1;
            secret.revisions.insert(next, owned(content));
            secret.times.insert(next, SystemTime::now());
        })?;
        let mut world = self.shared.lock();
        let consumers = world.secrets.secrets.get(&self.id).into_iter().flat_map(|secret| &secret.consumers);
        let consumers: Vec<(Option<UnitId>, String)> =
            consumers.map(|(unit, consumer)| (UnitId::parse(unit), consumer.label.clone())).collect();
        let mut jobs = Vec::new();
        for (unit, label) in consumers {
            let Some(unit) = unit else { continue };
            let secret = Some(SecretEvent { uri: self.uri(), label });
            let event = Event { secret, ..Event::plain("secret-changed") };
            jobs.extend(world.enqueue(&unit, event).map(|job| (unit, job)));
        }
        drop(world);
        settle(&self.shared, &jobs)
    }

    /// Removes it with all revisions.
    pub fn remove(&self) -> Result<()> {
        let removed = self.shared.lock().secrets.secrets.remove(&self.id);
        removed.map(drop).ok_or_else(|| AgentError::Gone(self.uri()))
    }

    fn change(&self, what: impl FnOnce(&mut SecretState)) -> Result<()> {
        let mut world = self.shared.lock();
        let secret = world.secrets.secrets.get_mut(&self.id).ok_or_else(|| AgentError::Gone(self.uri()))?;
        what(secret);
        Ok(())
    }
}

fn owned(content: &[(&str, &str)]) -> BTreeMap<String, String> {
    content.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// A variable for one unit or for each.
pub(super) fn constant(value: OsString) -> super::world::EnvValue {
    Arc::new(move |_| value.clone())
}

/// Where the machine of a unit keeps its own things.
pub(super) fn make_machine(
    shared: &Shared,
    machine: u64,
    unit: &UnitId,
    version: JujuVersion,
) -> Result<PathBuf> {
    let dir = shared.machine_dir(machine);
    let failed = |source| AgentError::io(format!("making machine {}", dir.display()))(source);
    fs::create_dir_all(&dir).map_err(failed)?;
    if !dir.join("bin").exists() {
        std::os::unix::fs::symlink(&shared.socket, dir.join("agent")).map_err(failed)?;
        toolbox::link(&dir.join("bin"), ["juju-exec"])?;
    }
    toolbox::link(&dir.join("tools").join(unit.tag()), super::tools::names(version))?;
    Ok(shared.charm_dir(machine, unit))
}
