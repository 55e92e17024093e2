//! Virtual machines without virtualisation: a tree of files, namespaces in which commands see that tree as their
//! root, and an ssh server at an address of its own. What a command would do to a machine it does to the tree;
//! what it would do to the world outside is refused.

pub mod archive;
mod commands;
mod inside;
mod sandbox;
mod session;
mod ssh;
mod tree;
mod userdata;

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use self::sandbox::{Machine, Sandbox};
use crate::lock;

/// What cloud-init puts above the package sources.
pub const WRITTEN_BY_CLOUD_INIT: &str = "# Written by cloud-init.";

/// What cloud-init remembers of its stages, in seconds since the boot: two seconds in all.
const STATUS: &str = r#"{"v1": {"datasource": "DataSourceConfigDrive [net,ver=2][source=/dev/vdb]", "stage": null,
  "init-local": {"errors": [], "recoverable_errors": {}, "start": 3.5, "finished": 3.75},
  "init": {"errors": [], "recoverable_errors": {}, "start": 4.5, "finished": 5.5},
  "modules-config": {"errors": [], "recoverable_errors": {}, "start": 6.0, "finished": 6.25},
  "modules-final": {"errors": [], "recoverable_errors": {}, "start": 7.0, "finished": 7.5}}}"#;

/// Why an instance could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// This machine cannot run instances.
    #[error("{0}")]
    Unavailable(String),
    /// Something on the host went wrong.
    #[error("{doing}: {source}")]
    Host {
        /// What was being done.
        doing: &'static str,
        /// What went wrong.
        source: io::Error,
    },
}

fn doing(doing: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Host { doing, source }
}

/// What runs the instances of one cloud.
pub struct Hypervisor {
    directory: PathBuf,
    sandbox: Result<Sandbox, String>,
    ssh_port: u16,
    net: (u8, u8),
    taken: Arc<Mutex<HashSet<Ipv4Addr>>>,
    runtime: Mutex<Option<Runtime>>,
    instead: Mutex<Option<PathBuf>>,
}

/// What a new instance is made of.
pub struct Boot {
    /// The server's id.
    pub id: String,
    /// Where it answers.
    pub address: Ipv4Addr,
    /// Its name, unless user-data says otherwise.
    pub hostname: String,
    /// The name of its image.
    pub image_name: String,
    /// The properties of its image.
    pub image_properties: BTreeMap<String, String>,
    /// The bytes of its image.
    pub disk: PathBuf,
    /// What is on its config drive.
    pub user_data: Option<Vec<u8>>,
    /// The keys of its key pairs.
    pub public_keys: Vec<String>,
    /// How long until ssh answers.
    pub boot_delay: Duration,
    /// How long cloud-init takes besides its work.
    pub cloud_init_delay: Duration,
}

impl Hypervisor {
    /// Prepares instances below `directory` that answer on `ssh_port` (0: a free one).
    pub fn start(directory: &Path, ssh_port: u16) -> io::Result<Self> {
        // Instances of a rehearsal that root started run as somebody else, who must reach their trees.
        fs::set_permissions(directory, fs::Permissions::from_mode(0o711))?;
        let shared = directory.join("shared");
        fs::create_dir(&shared)?;
        commands::install(&shared)?;
        let instances = directory.join("instances");
        fs::create_dir(&instances)?;
        let random = uuid::Uuid::new_v4();
        let [first, second, ..] = random.into_bytes();
        let net = (16 + first % 200, second);
        let ssh_port = if ssh_port == 0 {
            TcpListener::bind((Ipv4Addr::new(127, net.0, net.1, 1), 0))?.local_addr()?.port()
        } else {
            ssh_port
        };
        let runtime =
            Builder::new_multi_thread().worker_threads(2).enable_all().thread_name("ssh").build()?;
        Ok(Self {
            sandbox: Sandbox::probe(directory, &shared),
            directory: instances,
            ssh_port,
            net,
            taken: Arc::default(),
            runtime: Mutex::new(Some(runtime)),
            instead: Mutex::new(None),
        })
    }

    /// The port on which instances answer.
    pub fn ssh_port(&self) -> u16 {
        self.ssh_port
    }

    /// Why instances cannot run here, when they cannot.
    pub fn unavailable(&self) -> Option<String> {
        self.sandbox.as_ref().err().cloned()
    }

    /// An address that no other instance has.
    pub fn reserve_address(&self) -> Result<Ipv4Addr, Error> {
        let mut taken = lock(&self.taken);
        for host in 2..=254 {
            let address = Ipv4Addr::new(127, self.net.0, self.net.1, host);
            if !taken.contains(&address) && TcpListener::bind((address, self.ssh_port)).is_ok() {
                taken.insert(address);
                return Ok(address);
            }
        }
        Err(Error::Unavailable("no address is left for an instance".into()))
    }

    /// Takes `archive`, a snapshot of an instance, for every image that no instance was made into: disk images cannot be read
    /// here. Without one their machines are those of a fresh cloud image.
    pub fn boot_disk_images_as(&self, archive: Option<PathBuf>) {
        *lock(&self.instead) = archive;
    }

    /// Boots an instance; ssh answers a little later.
    pub fn boot(&self, boot: Boot) -> Result<Arc<Instance>, Error> {
        let sandbox = self.sandbox.clone().map_err(Error::Unavailable)?;
        let tree = self.directory.join(&boot.id);
        let instead = lock(&self.instead).clone().filter(|_| !archive::is_archive(&boot.disk));
        let disk = instead.as_ref().unwrap_or(&boot.disk);
        tree::create(&tree, &sandbox.shared, disk, &boot.image_name, &boot.image_properties)
            .map_err(doing("unpacking the image"))?;
        let runtime = lock(&self.runtime);
        let runtime =
            runtime.as_ref().ok_or_else(|| Error::Unavailable("the cloud is shutting down".into()))?;
        let instance = Arc::new_cyclic(|own| Instance {
            own: Weak::clone(own),
            ssh_port: self.ssh_port,
            taken: Arc::clone(&self.taken),
            runtime: runtime.handle().clone(),
            sandbox,
            tree,
            boot,
            running: Mutex::new(None),
            console: Mutex::new(String::new()),
        });
        instance.start()?;
        Ok(instance)
    }

    /// Ends what still answers.
    pub fn shut_down(&self) {
        if let Some(runtime) = lock(&self.runtime).take() {
            runtime.shutdown_timeout(Duration::from_secs(2));
        }
    }
}

/// One virtual machine.
pub struct Instance {
    own: Weak<Instance>,
    ssh_port: u16,
    taken: Arc<Mutex<HashSet<Ipv4Addr>>>,
    runtime: tokio::runtime::Handle,
    sandbox: Sandbox,
    tree: PathBuf,
    boot: Boot,
    running: Mutex<Option<Up>>,
    console: Mutex<String>,
}

/// A machine that is up. Dropping it pulls the plug.
struct Up {
    machine: Arc<Machine>,
    _stop: watch::Sender<()>,
}

impl Instance {
    /// The root of its files, as seen from the host.
    pub fn tree(&self) -> &Path {
        &self.tree
    }

    /// The last `lines` of its console, or all.
    pub fn console(&self, lines: Option<u64>) -> String {
        let console = lock(&self.console);
        let all: Vec<&str> = console.lines().collect();
        let wanted = lines.and_then(|lines| usize::try_from(lines).ok()).unwrap_or(all.len());
        all.iter().skip(all.len().saturating_sub(wanted)).map(|line| format!("{line}\n")).collect()
    }

    /// Boots it.
    pub fn start(&self) -> Result<(), Error> {
        let mut running = lock(&self.running);
        if running.is_some() {
            return Ok(());
        }
        tree::prepare_boot(&self.tree).map_err(doing("preparing the boot"))?;
        let boot = &self.boot;
        let user_data = boot.user_data.as_deref();
        let plan = userdata::apply(&self.tree, &boot.id, &boot.hostname, &boot.public_keys, user_data)
            .map_err(doing("applying user-data"))?;
        let key = ssh::host_key(&self.tree).map_err(doing("reading the ssh host key"))?;
        self.sandbox.hand_over(&self.tree).map_err(doing("handing the tree over"))?;
        let name = inside::read(&self.tree, "etc/hostname").unwrap_or_default();
        let weak = Weak::clone(&self.own);
        let machine = self
            .sandbox
            .start(&self.tree, name.trim(), move |line| {
                if let Some(instance) = weak.upgrade() {
                    instance.hear(line);
                }
            })
            .map_err(doing("starting the machine"))?;
        let machine = Arc::new(machine);
        let (stop, stopped) = watch::channel(());
        self.say(&format!("Linux version 6.8.0 (rehearsal)\n{} login:", name.trim()));
        let door =
            ssh::Door { tree: self.tree.clone(), machine: Arc::clone(&machine), address: boot.address };
        let (port, pause) = (self.ssh_port, boot.boot_delay);
        if ssh::starts(&self.tree) {
            self.runtime.spawn(async move {
                tokio::time::sleep(pause).await;
                ssh::serve(door, port, key, stopped).await;
            });
        }
        self.finish_cloud_init(plan, Arc::downgrade(&machine));
        *running = Some(Up { machine, _stop: stop });
        Ok(())
    }

    /// Runs what user-data asked for, and says that cloud-init is done.
    fn finish_cloud_init(&self, plan: userdata::Plan, machine: Weak<Machine>) {
        let pause = self.boot.boot_delay + self.boot.cloud_init_delay;
        let own = Weak::clone(&self.own);
        thread::spawn(move || {
            thread::sleep(pause);
            let mut log = String::from("Cloud-init v. 24.4 running 'modules:final'\n");
            let mut errors = plan.errors;
            for command in &plan.commands {
                let Some(machine) = machine.upgrade() else { return };
                let output = match machine.run(command) {
                    Ok(output) => output,
                    Err(error) => {
                        errors.push(format!("a command of the user-data could not be run: {error}"));
                        continue;
                    }
                };
                log.push_str(&String::from_utf8_lossy(&output.stdout));
                log.push_str(&String::from_utf8_lossy(&output.stderr));
                if !output.status.success() {
                    errors.push(format!("a command of the user-data failed: {}", output.status));
                }
            }
            let (word, code) = if errors.is_empty() { ("done", 0) } else { ("error", 1) };
            for error in &errors {
                let _ = writeln!(log, "ERROR: {error}");
            }
            let Some(machine) = machine.upgrade() else { return };
            // As the real one does at every first boot; who does not wait for it keeps the image's own sources.
            let note = format!(
                "sources=/etc/apt/sources.list.d/ubuntu.sources text=\n\
                 [ ! -r $sources ] || IFS= read -r -d '' text < $sources\n\
                 [[ $text == *'{WRITTEN_BY_CLOUD_INIT}'* ]] || printf '%s\\n' '{WRITTEN_BY_CLOUD_INIT}' \"$text\" > $sources\n\
                 IFS= read -r -d '' text << 'END-OF-CLOUD-INIT'\n{log}END-OF-CLOUD-INIT\n\
                 printf %s \"$text\" >> /var/log/cloud-init-output.log\n\
                 echo 'cloud-init: {word}' >> /var/log/cloud-init.log\n: > /var/lib/cloud/instance/boot-finished\n\
                 echo '{word} {code}' > /run/cloud-init/status\necho '{STATUS}' > /run/cloud-init/status.json\n\
                 echo '{{}}' > /run/cloud-init/result.json\n"
            );
            let noted = machine.run(&note);
            if let Some(instance) = own.upgrade() {
                instance.say(log.trim_end());
                if !noted.as_ref().is_ok_and(|output| output.status.success()) {
                    // Who waits for the end of cloud-init waits for ever.
                    instance.say(&format!("cloud-init could not note its end: {noted:?}"));
                }
            }
        });
    }

    /// Pulls the plug: all its processes end, ssh answers no more, the files stay.
    pub fn stop(&self) -> Result<(), Error> {
        let up = lock(&self.running).take();
        if let Some(up) = up {
            up.machine.kill();
            self.say("reboot: Power down");
        }
        Ok(())
    }

    /// Stops and starts it.
    pub fn reboot(&self) -> Result<(), Error> {
        self.stop()?;
        self.start()
    }

    /// Writes its disk into a file.
    pub fn snapshot(&self, to: &Path) -> Result<(), Error> {
        archive::pack(&self.tree, to).map_err(doing("reading the disk"))
    }

    /// Ends it and removes its files.
    pub fn destroy(&self) {
        drop(self.stop());
        archive::remove_tree(&self.tree);
        lock(&self.taken).remove(&self.boot.address);
    }

    /// What the machine's first process passes on.
    fn hear(&self, line: &str) {
        let Some(instance) = self.own.upgrade() else { return };
        let line = line.to_owned();
        // Not in the thread that reads from the machine: that one ends with it.
        thread::spawn(move || match line.as_str() {
            "poweroff" => drop(instance.stop()),
            "reboot" => drop(instance.reboot()),
            other => instance.say(other),
        });
    }

    fn say(&self, text: &str) {
        let mut console = lock(&self.console);
        console.push_str(text);
        console.push('\n');
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.destroy();
    }
}
