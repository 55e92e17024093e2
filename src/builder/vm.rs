//! A virtual machine of one job: launched from an image with keys of its own, reached over an ssh connection that is sure
//! of its peer, and gone when its work is done, however that ended.

use std::net::IpAddr;
use std::time::Duration;

use super::UBUNTU_USER;
use super::config::{BuilderVm, JobId, Owner};
use super::labels;
use super::site::Site;
use super::user_data::{HostKeyUse, user_data};
use crate::deadline::Deadline;
use crate::host::Host;
use crate::instance::{ExecutorError, KeyPair, SshExecutor, SshTarget};
use crate::openstack_cloud::{
    AddressKind, Cloud, ImageId, MetadataSource, NewServer, OpenStackError, Server, ServerId, ServerStatus,
};
use crate::secret::Secret;

/// Longest times.
const LAUNCH: Duration = Duration::from_secs(1200);
const DELETE: Duration = Duration::from_secs(600);

/// A VM could not be launched or reached.
#[derive(Debug, thiserror::Error)]
pub enum VmError {
    /// A call of the cloud failed.
    #[error(transparent)]
    Cloud(#[from] OpenStackError),
    /// The VM has no address that ssh could use.
    #[error("VM {0} has no address; check build-network")]
    NoAddress(String),
    /// The VM could not be reached, or our own ssh failed.
    #[error(transparent)]
    Executor(#[from] ExecutorError),
}

impl VmError {
    /// Whether time alone will not mend it.
    pub fn operator_must_act(&self) -> bool {
        match self {
            Self::Cloud(error) => error.operator_must_act(),
            Self::NoAddress(_) => true,
            Self::Executor(_) => false,
        }
    }
}

/// Where the VMs of one job are launched, and how they are reached.
pub struct Launcher<'a> {
    /// The machine that we run on.
    pub host: &'a Host,
    /// The cloud that they run in.
    pub cloud: &'a Cloud,
    /// Whose they are.
    pub owner: &'a Owner,
    /// The job that they are part of.
    pub job: &'a JobId,
    /// Where they are put.
    pub site: &'a Site,
    /// How they are reached.
    pub settings: &'a BuilderVm,
}

/// A VM that runs, as far as Nova knows.
pub struct Vm<'a> {
    launcher: &'a Launcher<'a>,
    server: Server,
    host_key: KeyPair,
    our_key: KeyPair,
}

impl Launcher<'_> {
    /// Launches a VM of `image`, does `work` with it, and deletes it. If it cannot be deleted, the next job's sweep finds
    /// it by its labels.
    pub fn with_vm<T, E: From<VmError>>(
        &self,
        name: &str,
        image: &ImageId,
        host_key_use: HostKeyUse,
        deadline: Deadline,
        work: impl FnOnce(&Vm<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        // Keys of this VM alone: what is left of them anywhere opens nothing later.
        let folder = self.host.run_dir();
        let pair = |comment| KeyPair::generate(self.host, &folder, comment).map_err(VmError::from);
        let (host_key, our_key) = (pair(name)?, pair("runner-image-builder")?);
        let data = user_data(&host_key, host_key_use, &our_key);
        let id = match self.launch(name, image, data, deadline) {
            Ok(id) => id,
            Err(error) => {
                // The answer may have been lost after the VM was made.
                self.remove_by_name(name);
                return Err(VmError::from(error).into());
            }
        };
        let active =
            self.cloud.compute().wait_for_server(&id, &ServerStatus::Active, deadline.at_most(LAUNCH));
        let result = match active {
            Ok(server) => work(&Vm { launcher: self, server, host_key, our_key }),
            Err(error) => Err(VmError::from(error).into()),
        };
        if let Err(error) = self.remove(&id) {
            log::warn!("VM {name} ({id}) stays for the next sweep: {error}");
        }
        result
    }

    fn launch(
        &self,
        name: &str,
        image: &ImageId,
        user_data: Secret<Vec<u8>>,
        deadline: Deadline,
    ) -> Result<ServerId, OpenStackError> {
        let server = NewServer {
            name: name.to_owned(),
            image: image.clone(),
            flavor: self.site.flavor.clone(),
            network: self.site.network.clone(),
            security_group: self.site.security_group.clone(),
            // Not the metadata service, which any process of the VM may ask (CVE-2024-6174).
            metadata_source: MetadataSource::ConfigDrive,
            user_data,
            metadata: labels::of_server(self.owner, self.job, deadline.remaining() + DELETE),
        };
        self.cloud.compute().create_server(&server, deadline)
    }

    fn remove(&self, server: &ServerId) -> Result<(), OpenStackError> {
        let deadline = Deadline::after(DELETE);
        self.cloud.compute().delete_server(server, deadline)?;
        self.cloud.compute().wait_until_gone(server, deadline)
    }

    fn remove_by_name(&self, name: &str) {
        let deadline = Deadline::after(DELETE);
        let named = self.cloud.compute().servers(Some(name), deadline).unwrap_or_default();
        for server in named.iter().filter(|server| labels::may_remove_server(self.owner, server)) {
            if let Err(error) = self.remove(&server.id) {
                log::warn!("VM {} stays for the next sweep: {error}", server.id);
            }
        }
    }
}

impl Vm<'_> {
    /// Its id.
    pub fn id(&self) -> &ServerId {
        &self.server.id
    }

    /// Connects to it once it has booted.
    pub fn connect(&self, deadline: Deadline) -> Result<SshExecutor, VmError> {
        let Launcher { host, settings, .. } = self.launcher;
        let name = &self.server.name;
        let address = reachable(&self.server).ok_or_else(|| VmError::NoAddress(name.clone()))?;
        let target = SshTarget {
            name: name.clone(),
            address: address.to_string(),
            user: UBUNTU_USER.into(),
            key: self.our_key.private.clone(),
            host_key: self.host_key.public.clone(),
            options: settings.ssh_options.clone(),
        };
        let folder = host.run_dir().join(format!("ssh-{}", self.server.id));
        let boot = Duration::from_secs(u64::from(settings.boot_timeout_s));
        let connected = SshExecutor::connect(host, target, folder, deadline.at_most(boot));
        connected.map_err(|error| {
            // What the VM itself says of its boot is the first thing that one wants to know then.
            let compute = self.launcher.cloud.compute();
            let console = compute.console_output(&self.server.id, 30, Deadline::after(DELETE));
            log::warn!("{name}: the end of its console: {}", console.unwrap_or_default());
            error.into()
        })
    }
}

/// The address for ssh: a floating one first, which is there to be reached from outside; else version 4 before 6.
fn reachable(server: &Server) -> Option<IpAddr> {
    let best = server
        .addresses
        .iter()
        .min_by_key(|address| (address.kind == AddressKind::Fixed, address.address.is_ipv6()));
    best.map(|address| address.address)
}
