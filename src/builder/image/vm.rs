//! A virtual machine of one job: launched from an image with keys of its own, reached over an ssh connection that is sure
//! of its peer, and gone when its work is done, however that ended.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::site::Site;
use super::user_data::{HostKeyUse, user_data};
use crate::builder::ownership::labels;
use crate::host::Host;
use crate::instance::{ExecutorError, KeyPair, RUNNER_USER, SshExecutor, SshTarget};
use crate::model::{Cause, Classified, Deadline, Elapsed, Secret};
use crate::openstack_cloud::{
    AddressKind, Cloud, EtherType, ImageId, MetadataSource, NewServer, OpenStackError, Server, ServerId,
    ServerStatus,
};
use crate::record::{
    BuilderVm, CloudName, JobId, Owner, RecordError, Resource, ResourceKind, ResourceTracker,
};

/// The user that Ubuntu's cloud images have, and that runs the runner (seed `builder`: `UBUNTU_USER`).
pub const UBUNTU_USER: &str = RUNNER_USER;

/// Longest times.
const LAUNCH: Duration = Duration::from_secs(1200);
const ADDRESS: Duration = Duration::from_secs(300);
const DELETE: Duration = Duration::from_secs(600);

/// A VM could not be launched or reached.
#[derive(Debug, thiserror::Error)]
pub enum VmError {
    /// A call of the cloud failed.
    #[error(transparent)]
    Cloud(#[from] OpenStackError),
    /// The VM has no address that ssh could use.
    #[error("VM {vm} has no {family} address; check build-network and its subnets")]
    NoAddress {
        /// The VM.
        vm: String,
        /// The version of IP that was chosen for it.
        family: EtherType,
    },
    /// The VM could not be reached, or our own ssh failed.
    #[error(transparent)]
    Executor(#[from] ExecutorError),
    /// The VM could not be noted, and was not launched.
    #[error("{0}; the VM is not launched, because it cannot be recorded")]
    Journal(#[from] RecordError),
}

impl VmError {
    /// Whether time alone will not mend it.
    pub fn operator_must_act(&self) -> bool {
        match self {
            Self::Cloud(error) => error.operator_must_act(),
            Self::NoAddress { .. } => true,
            Self::Executor(_) | Self::Journal(_) => false,
        }
    }
}

impl Classified for VmError {
    fn cause(&self) -> Cause {
        match self {
            Self::Cloud(error) => error.cause(),
            Self::NoAddress { .. } => Cause::Placement,
            Self::Executor(_) => Cause::Network,
            Self::Journal(_) => Cause::Unit,
        }
    }

    fn summary(&self) -> String {
        match self {
            Self::Cloud(error) => error.summary(),
            Self::Executor(error) => error.summary(),
            Self::NoAddress { .. } | Self::Journal(_) => self.to_string(),
        }
    }
}

/// What a VM is there for.
#[derive(Clone, Copy)]
pub enum Purpose {
    /// An image is built in it.
    Build,
    /// The image that it was booted from is looked at.
    Verification,
}

impl Purpose {
    fn kind(self) -> ResourceKind {
        match self {
            Self::Build => ResourceKind::BuilderVm,
            Self::Verification => ResourceKind::VerificationVm,
        }
    }

    fn host_key_use(self) -> HostKeyUse {
        match self {
            Self::Build => HostKeyUse::InPlace,
            Self::Verification => HostKeyUse::Aside,
        }
    }

    /// What tells the names of VMs of one target and job apart.
    fn word(self) -> &'static str {
        match self {
            Self::Build => "",
            Self::Verification => "verify-",
        }
    }
}

/// Where the VMs of one target are launched, how they are reached, and where they are noted.
pub struct Launcher<'a> {
    /// The machine that we run on.
    pub host: &'a Host,
    /// The cloud that they run in.
    pub cloud: &'a Cloud,
    /// Its name.
    pub cloud_name: &'a CloudName,
    /// Whose they are.
    pub owner: &'a Owner,
    /// The job that they are part of.
    pub job: &'a JobId,
    /// Where they are put.
    pub site: &'a Site,
    /// How they are reached.
    pub settings: &'a BuilderVm,
    /// Where they are noted.
    pub tracker: ResourceTracker<'a>,
}

/// A VM that runs, as far as Nova knows.
pub struct Vm<'a> {
    launcher: &'a Launcher<'a>,
    purpose: Purpose,
    server: Server,
    host_key: KeyPair,
    our_key: KeyPair,
}

impl Launcher<'_> {
    /// Launches a VM of `image`, does `work` with it, and deletes it. It is noted before it is there and until it is
    /// gone; if it cannot be deleted, a sweep finds it by its labels.
    pub fn with_vm<T, E: From<VmError>>(
        &self,
        purpose: Purpose,
        image: &ImageId,
        deadline: Deadline,
        work: impl FnOnce(&Vm<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let Self { tracker, owner, job, .. } = self;
        let name = format!("{}-image-builder-{}{}-{job}", owner.application, purpose.word(), tracker.target);
        let name = name.as_str();
        // Keys of this VM alone: what is left of them anywhere opens nothing later.
        let folder = self.host.run_dir();
        let pair = |comment| KeyPair::generate(self.host, &folder, comment).map_err(VmError::from);
        let (host_key, our_key) = (pair(name)?, pair("runner-image-builder")?);
        let data = user_data(&host_key, purpose.host_key_use(), &our_key);
        let cloud = self.cloud_name.clone();
        let mut noted =
            Resource { kind: purpose.kind(), cloud, name: name.to_owned(), id: None, revision: None };
        tracker.makes(&noted).map_err(VmError::from)?;
        let id = match self.launch(name, image, data, deadline) {
            Ok(id) => id,
            Err(error) => {
                // The answer may have been lost after the VM was made.
                if self.remove_by_name(name) {
                    tracker.settled(&noted);
                }
                return Err(VmError::from(error).into());
            }
        };
        tracker.made(&mut noted, id.as_str());
        let (Site { flavor, network, .. }, began) = (self.site, Instant::now());
        log::info!(
            "{}: server {id} ({name}) created: flavor {} ({}), network {} ({}), image {image}",
            tracker.target,
            flavor.name,
            flavor.id,
            network.name,
            network.id
        );
        let active =
            self.cloud.compute().wait_for_server(&id, &ServerStatus::Active, deadline.at_most(LAUNCH));
        let result = match active {
            Ok(server) => {
                log::info!("{}: server {id} active after {}", tracker.target, Elapsed::since(began));
                work(&Vm { launcher: self, purpose, server, host_key, our_key })
            }
            Err(error) => Err(VmError::from(error).into()),
        };
        match self.remove(&id) {
            Ok(()) => {
                log::info!("{}: server {id} ({name}) deleted: no longer needed", tracker.target);
                tracker.settled(&noted);
            }
            Err(error) => {
                log::warn!("VM {name} ({id}) could not be deleted; the next sweep retries: {error}")
            }
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
            flavor: self.site.flavor.id.clone(),
            network: self.site.network.id.clone(),
            security_group: self.site.security_group.clone(),
            // Not the metadata service, which any process of the VM may ask (CVE-2024-6174).
            metadata_source: MetadataSource::ConfigDrive,
            user_data,
            metadata: labels::of_server(self.owner, self.job, deadline.remaining() + DELETE),
        };
        self.cloud.compute().create_server(&server, deadline)
    }

    fn remove(&self, server: &ServerId) -> Result<(), OpenStackError> {
        self.cloud.compute().remove_server(server, Deadline::after(DELETE))
    }

    /// Removes the VM by its name; returns whether it is gone.
    fn remove_by_name(&self, name: &str) -> bool {
        let deadline = Deadline::after(DELETE);
        let Ok(named) = self.cloud.compute().servers(Some(name), deadline) else { return false };
        let ours = named.iter().filter(|server| labels::may_remove_server(self.owner, server));
        let removals: Vec<_> = ours.map(|server| self.remove(&server.id)).collect();
        removals.iter().flat_map(|removal| removal.as_ref().err()).for_each(|error| {
            log::warn!("VM {name} could not be deleted; the next sweep retries: {error}");
        });
        removals.iter().all(Result::is_ok)
    }
}

impl Vm<'_> {
    /// Its id.
    pub fn id(&self) -> &ServerId {
        &self.server.id
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.server.name
    }

    /// The address for ssh, once Nova knows it.
    fn address(&self, deadline: Deadline) -> Result<IpAddr, VmError> {
        let Launcher { cloud, site: Site { family, .. }, .. } = self.launcher;
        if let Some(address) = reachable(&self.server, *family) {
            return Ok(address);
        }
        log::info!("{} is active and has no {family} address yet", self.name());
        let choose = |server: Server| reachable(&server, *family);
        let found = cloud.compute().wait_for_address(self.id(), choose, deadline.at_most(ADDRESS))?;
        found.ok_or_else(|| VmError::NoAddress { vm: self.name().to_owned(), family: *family })
    }

    /// Connects to it once it has booted.
    pub fn connect(&self, deadline: Deadline) -> Result<SshExecutor, VmError> {
        let Launcher { host, settings, job, tracker, .. } = self.launcher;
        let name = &self.server.name;
        let address = self.address(deadline)?;
        let target = SshTarget {
            name: name.clone(),
            address: address.to_string(),
            user: UBUNTU_USER.into(),
            key: self.our_key.private.clone(),
            host_key: self.host_key.public.clone(),
            options: settings.ssh_options.clone(),
        };
        // Short: the path of a socket in it may have 107 bytes, 17 of which ssh wants for itself.
        let folder = host.run_dir().join(format!("ssh-{job}-{}{}", self.purpose.word(), tracker.target));
        let boot = Duration::from_secs(u64::from(settings.boot_timeout_s));
        let began = Instant::now();
        let tell = |problem: &str| tracker.progress.hampered(tracker.target, problem);
        let connected = SshExecutor::connect_and_tell(host, target, folder, &tell, deadline.at_most(boot));
        if connected.is_ok() {
            let (target, id, after) = (tracker.target, self.id(), Elapsed::since(began));
            log::info!("{target}: server {id} reachable by ssh at {address} after {after}");
        }
        connected.map_err(|error| {
            // What the VM itself says of its boot is the first thing that one wants to know then.
            let compute = self.launcher.cloud.compute();
            let console = compute.console_output(&self.server.id, 30, Deadline::after(DELETE));
            log::warn!("{name}: last console output: {}", console.unwrap_or_default());
            error.into()
        })
    }
}

/// The address for ssh: one of the family that the security group lets in, and of these rather a floating one, which is there to
/// be reached from outside.
fn reachable(server: &Server, family: EtherType) -> Option<IpAddr> {
    let usable = server.addresses.iter().filter(|address| EtherType::of(address.address) == family);
    usable.min_by_key(|address| address.kind == AddressKind::Fixed).map(|address| address.address)
}
