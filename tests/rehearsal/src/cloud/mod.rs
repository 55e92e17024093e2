//! An OpenStack in this process: Keystone, Glance, Nova and Neutron over real HTTP on 127.0.0.1, one port per
//! service and region, faithful to the Zed release in what its clients see.
//!
//! A test starts a [`RehearsalCloud`], gives [`RehearsalCloud::auth_url`] and a user of its [`CloudSetup`] to
//! whatever it wants to try, lets the cloud misbehave with [`RehearsalCloud::inject`], and looks at what became
//! of it through [`RehearsalCloud::project`] and [`RehearsalCloud::inventory`]. Nothing survives the value:
//! dropping it closes every port, ends every instance and removes every file.

mod core;
mod glance;
mod identity;
mod keystone;
mod neutron;
mod nova;
mod quirks;
mod region;
mod setup;
mod time;
mod view;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use self::core::Core;
use self::identity::Identity;
use self::region::Region;
use crate::instance::Hypervisor;
use crate::lock;
use crate::servers::http::{Handler, Request, Response, Server};

pub use self::glance::{Image, Member};
pub use self::neutron::{Group, Network, Port, Rule};
pub use self::nova::{Flavor, KeyPair, Nic, Server as VirtualMachine};
pub use self::quirks::Quirks;
pub use self::setup::{
    ApplicationCredentialSetup, CloudSetup, Family, FlavorSetup, ImagesInUse, Latencies, NetworkOwner,
    NetworkSetup, Quota, UserSetup,
};
pub use self::time::Stamp;
pub use self::view::ProjectView;
pub use crate::servers::http::{Fault, FaultId, LogEntry, Script, What};

/// A running cloud.
pub struct RehearsalCloud {
    core: Arc<Core>,
    servers: Vec<Server>,
    // Last, so that the files go when nobody uses them any more.
    directory: TempDir,
}

impl RehearsalCloud {
    /// Starts a cloud; it answers when this returns.
    pub fn start(setup: CloudSetup) -> io::Result<Self> {
        let directory = tempfile::Builder::new().prefix("rehearsal-cloud-").tempdir()?;
        let mut regions = Vec::new();
        let identity = Identity::new(&setup);
        for (number, name) in setup.regions.iter().enumerate() {
            let store = directory.path().join(format!("images-{number}"));
            fs::create_dir(&store)?;
            regions.push(Arc::new(Region::new(name, &setup, &identity, store)));
        }
        let hypervisor = Hypervisor::start(directory.path(), setup.ssh_port)?;
        let core = Arc::new(Core::new(setup, identity, regions, Arc::default(), hypervisor));
        let tokens = Arc::downgrade(&core);
        core.faults.know_projects(Box::new(move |token| {
            Some(lock(&tokens.upgrade()?.identity).token(token)?.project?.name)
        }));
        let mut servers = Vec::new();
        let handler = Arc::clone(&core);
        let keystone = Server::start(
            Arc::clone(&core.faults),
            Arc::new(move |request: &mut Request<'_>| keystone::handle(&handler, request)),
        )?;
        drop(core.keystone_url.set(keystone.url()));
        servers.push(keystone);
        for region in &core.regions {
            let mut urls = BTreeMap::new();
            for (service, handle) in SERVICES {
                let server = Server::on(
                    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?,
                    Arc::clone(&core.faults),
                    service_handler(&core, region, service, handle),
                    None,
                )?;
                urls.insert(service, server.url());
                servers.push(server);
            }
            region.listens_at(urls);
        }
        Ok(Self { core, servers, directory })
    }

    /// Keystone's URL, as in clouds.yaml.
    pub fn auth_url(&self) -> String {
        self.core.auth_url()
    }

    /// The base URL of a service (`glance`, `nova`, `neutron`) in a region.
    pub fn service_url(&self, region: &str, service: &str) -> Option<String> {
        self.core.regions.iter().find(|known| known.name == region).map(|region| region.url(service))
    }

    /// The port on which every instance answers ssh.
    pub fn ssh_port(&self) -> u16 {
        self.core.hypervisor.ssh_port()
    }

    /// Why instances cannot run on this machine, when they cannot.
    pub fn instances_unavailable(&self) -> Option<String> {
        self.core.hypervisor.unavailable()
    }

    /// What a project has, in the first region.
    pub fn project(&self, name: &str) -> ProjectView<'_> {
        self.project_in(name, &self.core.setup.regions.first().cloned().unwrap_or_default())
    }

    /// What a project has in a region.
    pub fn project_in(&self, name: &str, region: &str) -> ProjectView<'_> {
        ProjectView::new(&self.core, name, region)
    }

    /// Everything that there is, as text in a stable order: one line per thing.
    pub fn inventory(&self) -> String {
        view::inventory(&self.core)
    }

    /// Lets requests go wrong.
    pub fn inject(&self, fault: Fault) -> FaultId {
        let id = self.core.faults.inject(fault);
        self.follow_rules();
        id
    }

    /// Takes a fault back.
    pub fn lift(&self, id: FaultId) {
        self.core.faults.lift(id);
        self.follow_rules();
    }

    /// How many requests a fault has struck so far.
    pub fn struck(&self, id: FaultId) -> u32 {
        self.core.faults.struck(id)
    }

    /// Takes all faults back.
    pub fn heal(&self) {
        self.core.faults.heal();
        self.follow_rules();
    }

    /// All requests so far.
    pub fn log(&self) -> Vec<LogEntry> {
        self.core.faults.log()
    }

    /// The next server that is built ends in ERROR with this fault.
    pub fn fail_next_build(&self, why: &str) {
        for region in &self.core.regions {
            lock(&region.compute).failures.push_back(why.to_owned());
        }
    }

    /// Takes the bytes of an image that a server of this cloud was made into for every disk image that is booted from now on,
    /// since disk images cannot be read here; with none, their machines are those of a fresh cloud image.
    pub fn boot_disk_images_as(&self, image: Option<&[u8]>) -> io::Result<()> {
        let file = self.directory.path().join("instead");
        image.map(|bytes| fs::write(&file, bytes)).transpose()?;
        self.core.hypervisor.boot_disk_images_as(image.map(|_| file));
        Ok(())
    }

    /// Ends all tokens, as when their time is over.
    pub fn expire_tokens(&self) {
        lock(&self.core.identity).revoke_all();
    }

    /// A clouds.yaml with an entry per user, named like the user without `-user`.
    pub fn clouds_yaml(&self) -> String {
        view::clouds_yaml(&self.core)
    }

    /// Where the cloud keeps its files, for those who clean up after a killed test.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Waits until `condition` holds, at most `patience`. Returns whether it does.
    pub fn wait_until(&self, patience: Duration, condition: impl Fn(&Self) -> bool) -> bool {
        let end = std::time::Instant::now() + patience;
        loop {
            if condition(self) {
                return true;
            }
            if std::time::Instant::now() > end {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn follow_rules(&self) {
        for server in &self.servers {
            // A port that somebody else took meanwhile stays closed: to a client that is the same.
            drop(server.follow_rules());
        }
    }
}

impl Drop for RehearsalCloud {
    fn drop(&mut self) {
        self.servers.clear();
        for region in &self.core.regions {
            for server in lock(&region.compute).servers.drain(..) {
                if let Some(machine) = server.machine {
                    machine.destroy();
                }
            }
        }
        self.core.hypervisor.shut_down();
    }
}

type Handle = fn(&Arc<Core>, &Arc<Region>, &mut Request<'_>) -> Response;

const SERVICES: [(&str, Handle); 3] =
    [("glance", glance::handle), ("nova", nova::handle), ("neutron", neutron::handle)];

fn service_handler(core: &Arc<Core>, region: &Arc<Region>, name: &'static str, handle: Handle) -> Handler {
    let (core, region) = (Arc::clone(core), Arc::clone(region));
    Arc::new(move |request: &mut Request<'_>| {
        region.front.pass(name, request, &|request| handle(&core, &region, request))
    })
}
