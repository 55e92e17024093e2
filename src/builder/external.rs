//! One image built in a builder VM: launched, set up, stopped, snapshotted, deleted, whatever comes between.

use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;

use super::UBUNTU_USER;
use super::config::{CloudName, JobId, Owner};
use super::journal::{JournalError, Phase};
use super::labels::{self, Stage};
use super::resource::{Ledger, Resource, ResourceKind};
use super::site::Site;
use crate::deadline::Deadline;
use crate::host::Host;
use crate::instance::{
    BaseError, CacheMount, ExecutorError, KeyPair, RunnerBase, SshExecutor, SshTarget, Timeout, setup,
};
use crate::openstack_cloud::{
    AddressKind, Cloud, Image, ImageId, MetadataSource, NewServer, OpenStackError, Server, ServerId,
    ServerStatus,
};
use crate::secret::Secret;
use crate::target::Target;

/// Longest times.
const LAUNCH: Duration = Duration::from_secs(1200);
const REACH: Duration = Duration::from_secs(1200);
const STOP: Duration = Duration::from_secs(600);
const SNAPSHOT: Duration = Duration::from_secs(3600);
const DELETE: Duration = Duration::from_secs(600);

/// A build in a builder VM came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ExternalBuildError {
    /// A call of the build cloud failed.
    #[error(transparent)]
    Cloud(#[from] OpenStackError),
    /// The VM has no address that ssh could use.
    #[error("builder VM {0} has no address; check build-network")]
    NoAddress(String),
    /// The VM could not be reached, or our own ssh failed.
    #[error(transparent)]
    Executor(#[from] ExecutorError),
    /// A step of the recipe failed.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// What was to be made could not be noted, and was not made.
    #[error("{0}; nothing is built that cannot be noted")]
    Journal(#[from] JournalError),
    /// The snapshot has no bytes: the VM's disk is a volume.
    #[error(
        "the snapshot of builder VM {0} is empty: its disk is a volume; choose a build-flavor with a local disk"
    )]
    VolumeBacked(String),
}

impl ExternalBuildError {
    /// Whether time alone will not mend it.
    pub fn operator_must_act(&self) -> bool {
        match self {
            Self::Cloud(error) => error.operator_must_act(),
            Self::NoAddress(_) | Self::VolumeBacked(_) => true,
            Self::Executor(_) | Self::Base(_) | Self::Journal(_) => false,
        }
    }
}

/// What cloud-init is told: who may come in, and which host key makes sure that we come to the right machine.
#[derive(Serialize)]
struct UserData<'a> {
    ssh_deletekeys: bool,
    ssh_keys: HostKey<'a>,
    ssh_authorized_keys: [&'a str; 1],
}

#[derive(Serialize)]
struct HostKey<'a> {
    ed25519_private: &'a str,
    ed25519_public: &'a str,
}

fn user_data(host_key: &KeyPair, our_key: &KeyPair) -> Secret<Vec<u8>> {
    let data = UserData {
        ssh_deletekeys: true,
        ssh_keys: HostKey { ed25519_private: host_key.private.expose(), ed25519_public: &host_key.public },
        ssh_authorized_keys: [&our_key.public],
    };
    let yaml = serde_yaml::to_string(&data).unwrap_or_default();
    Secret::new(format!("#cloud-config\n{yaml}").into_bytes())
}

/// One build.
pub struct ExternalBuild<'a> {
    /// The machine that we run on.
    pub host: &'a Host,
    /// The cloud that the VM runs in.
    pub cloud: &'a Cloud,
    /// Its name.
    pub cloud_name: &'a CloudName,
    /// Whose it is.
    pub owner: &'a Owner,
    /// The job that it is part of.
    pub job: &'a JobId,
    /// Where the VM is put.
    pub site: &'a Site,
    /// Further options of the ssh client.
    pub ssh_options: &'a [String],
    /// What goes into the image.
    pub base: &'a RunnerBase,
    /// The same as a digest.
    pub fingerprint: &'a str,
    /// Told of each phase.
    pub progress: &'a dyn Fn(Phase),
    /// Where VM and snapshot are noted.
    pub ledger: Ledger<'a>,
}

impl ExternalBuild<'_> {
    /// Builds from `base_image` to a snapshot in the build cloud. The VM is gone when this returns; if it could not be
    /// deleted, the next job's sweep finds it by its labels.
    pub fn run(&self, base_image: &ImageId, deadline: Deadline) -> Result<Image, ExternalBuildError> {
        (self.progress)(Phase::Launching);
        // Keys of this build alone: what is left of them anywhere opens nothing later.
        let folder = self.host.run_dir();
        let host_key = KeyPair::generate(self.host, &folder, &self.name())?;
        let our_key = KeyPair::generate(self.host, &folder, "runner-image-builder")?;
        let mut noted = self.resource(ResourceKind::BuilderVm);
        self.ledger.makes(&noted)?;
        let server = match self.launch(base_image, user_data(&host_key, &our_key), deadline) {
            Ok(server) => server,
            Err(error) => {
                // The answer may have been lost after the VM was made.
                if self.remove_by_name() {
                    self.ledger.settled(&noted);
                }
                return Err(error.into());
            }
        };
        self.ledger.made(&mut noted, server.as_str());
        let result = self.build_in(&server, &host_key, &our_key, deadline);
        match self.remove(&server) {
            Ok(()) => self.ledger.settled(&noted),
            Err(error) => log::warn!("builder VM {server} stays for the next sweep: {error}"),
        }
        result
    }

    fn resource(&self, kind: ResourceKind) -> Resource {
        Resource { kind, cloud: self.cloud_name.clone(), name: self.name(), id: None }
    }

    fn target(&self) -> Target {
        self.base.target
    }

    fn name(&self) -> String {
        format!("{}-image-builder-{}-{}", self.owner.application, self.target(), self.job)
    }

    fn launch(
        &self,
        image: &ImageId,
        user_data: Secret<Vec<u8>>,
        deadline: Deadline,
    ) -> Result<ServerId, OpenStackError> {
        let server = NewServer {
            name: self.name(),
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

    fn build_in(
        &self,
        id: &ServerId,
        host_key: &KeyPair,
        our_key: &KeyPair,
        deadline: Deadline,
    ) -> Result<Image, ExternalBuildError> {
        let compute = self.cloud.compute();
        let server = compute.wait_for_server(id, &ServerStatus::Active, deadline.at_most(LAUNCH))?;
        {
            let executor = self.connect(&server, host_key, our_key, deadline)?;
            let progress = |step: &'static str, number, of| {
                (self.progress)(Phase::Installing { step: step.to_owned(), number, of })
            };
            setup(self.base, &executor, Timeout::Until(deadline), CacheMount::Leave, &progress)?;
        }
        (self.progress)(Phase::Snapshotting);
        compute.stop_server(id, deadline)?;
        compute.wait_for_server(id, &ServerStatus::ShutOff, deadline.at_most(STOP))?;
        let mut noted = self.resource(ResourceKind::Snapshot);
        self.ledger.makes(&noted)?;
        let labels = labels::of_snapshot(self.owner, self.job, id, self.target(), self.fingerprint);
        let snapshot = compute
            .create_server_image(id, &self.name(), &labels, deadline)
            .map_err(ExternalBuildError::from)
            .and_then(|snapshot| {
                self.ledger.made(&mut noted, snapshot.as_str());
                self.settle(&snapshot, deadline)
            });
        snapshot.inspect_err(|_| {
            if self.remove_snapshot() {
                self.ledger.settled(&noted);
            }
        })
    }

    /// Waits until the snapshot is complete, and lets it prove itself.
    fn settle(&self, snapshot: &ImageId, deadline: Deadline) -> Result<Image, ExternalBuildError> {
        let images = self.cloud.images();
        let image = images.wait_until_active(snapshot, deadline.at_most(SNAPSHOT))?;
        if image.size.unwrap_or(0) == 0 {
            return Err(ExternalBuildError::VolumeBacked(self.name()));
        }
        Ok(images.update(snapshot, &labels::seal(&image), deadline)?)
    }

    /// Removes what there is of the snapshot, by its name: the answer that has its id may have been lost. Returns
    /// whether it is gone.
    fn remove_snapshot(&self) -> bool {
        let deadline = Deadline::after(DELETE);
        let found = labels::images(self.cloud, self.owner, Stage::Snapshot, Some(&self.name()), deadline);
        found.is_ok_and(|found| {
            let mut removals = found.iter().map(|image| self.cloud.images().delete(&image.id, deadline));
            removals.all(|removal| removal.is_ok_and(|deletion| deletion.is_gone()))
        })
    }

    fn connect(
        &self,
        server: &Server,
        host_key: &KeyPair,
        our_key: &KeyPair,
        deadline: Deadline,
    ) -> Result<SshExecutor, ExternalBuildError> {
        let address = reachable(server).ok_or_else(|| ExternalBuildError::NoAddress(server.name.clone()))?;
        let target = SshTarget {
            name: self.name(),
            address: address.to_string(),
            user: UBUNTU_USER.into(),
            key: our_key.private.clone(),
            host_key: host_key.public.clone(),
            options: self.ssh_options.to_vec(),
        };
        let folder = self.host.run_dir().join(format!("ssh-{}-{}", self.job, self.target()));
        let connected = SshExecutor::connect(self.host, target, folder, deadline.at_most(REACH));
        connected.map_err(|error| {
            // What the VM itself says of its boot is the first thing that one wants to know then.
            let console = self.cloud.compute().console_output(&server.id, 30, Deadline::after(STOP));
            log::warn!("{}: the end of its console: {}", server.name, console.unwrap_or_default());
            error.into()
        })
    }

    fn remove(&self, server: &ServerId) -> Result<(), OpenStackError> {
        let deadline = Deadline::after(DELETE);
        self.cloud.compute().delete_server(server, deadline)?;
        self.cloud.compute().wait_until_gone(server, deadline)
    }

    /// Removes the VM by its name; returns whether it is gone.
    fn remove_by_name(&self) -> bool {
        let deadline = Deadline::after(DELETE);
        let Ok(named) = self.cloud.compute().servers(Some(&self.name()), deadline) else { return false };
        let ours = named.iter().filter(|server| labels::may_remove_server(self.owner, server));
        let removals: Vec<_> = ours.map(|server| self.remove(&server.id)).collect();
        removals.iter().flat_map(|removal| removal.as_ref().err()).for_each(|error| {
            log::warn!("builder VM {} stays for the next sweep: {error}", self.name());
        });
        removals.iter().all(Result::is_ok)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_data_is_cloud_config_whatever_is_in_the_keys() {
        let pair = |text: &str| KeyPair {
            private: Secret::new(format!("{text}\nline: 2\n")),
            public: format!("{text} {{ x }}"),
        };
        let data = user_data(&pair("host"), &pair("ours"));
        let text = String::from_utf8(data.expose().clone()).unwrap();
        assert!(text.starts_with("#cloud-config\n"));
        let read: serde_json::Value = serde_yaml::from_str(&text).unwrap();
        assert_eq!(read["ssh_keys"]["ed25519_private"], "host\nline: 2\n");
        assert_eq!(read["ssh_authorized_keys"][0], "ours { x }");
    }
}
