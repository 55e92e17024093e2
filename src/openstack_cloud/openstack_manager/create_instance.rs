//! One runner, from its configuration to a server that runs; whatever goes wrong, nothing of it stays.

use std::collections::BTreeMap;
use std::time::Duration;

use super::instance_config::InstanceConfig;
use super::proxies::{ProxyConfig, ProxyStringValues};
use super::ssh_debug::SshDebugConnection;
use super::templates::{MachineFile, RunnerEnvironment, TemplateError, UserData, docker_files, runner_unit};
use crate::github::{GithubOrg, GithubPath};
use crate::host::random_uuid;
use crate::http::HttpClient;
use crate::instance::{RUNNER_HOME, RUNNER_USER};
use crate::model::{Attempts, Backoff, Deadline, RetryPolicy, Secret, Verdict, retry};
use crate::openstack_cloud::{
    Cloud, CloudConfig, MetadataSource, Need, NewServer, OpenStackError, PlacementError, Server, ServerId,
    ServerStatus, Wish, choose_flavor, choose_network,
};

/// How often it is tried.
const POLICY: RetryPolicy = RetryPolicy {
    attempts: 5,
    backoff: Backoff::growing(Duration::from_secs(2), 2.0, Duration::from_secs(16)).jittered(),
};
/// How long a server may take to run.
/// How long it may be active without an address.
const ADDRESS: Duration = Duration::from_secs(120);
const LAUNCH: Duration = Duration::from_secs(1200);
/// How long its removal may take.
const REMOVAL: Duration = Duration::from_secs(600);
/// The home of the user who runs the runner.
const USER_HOME: &str = "/home/ubuntu";

/// A runner was not launched (seed `openstack_manager`: `OpenstackInstanceLaunchError`).
#[derive(Debug, thiserror::Error)]
pub enum OpenstackInstanceLaunchError {
    /// A call of the cloud failed, or the server did.
    #[error("launching runner {name}{attempts}: {source}")]
    Cloud {
        /// The runner.
        name: String,
        /// How often it was tried.
        attempts: Attempts,
        /// What failed.
        source: OpenStackError,
    },
    /// There is no place for it.
    #[error("launching runner {name}: {source}")]
    Placement {
        /// The runner.
        name: String,
        /// What is missing.
        source: PlacementError,
    },
    /// A value cannot be told to the machine.
    #[error("launching runner {name}: {source}; give another value")]
    Value {
        /// The runner.
        name: String,
        /// Which one.
        source: TemplateError,
    },
    /// A label would become several.
    #[error("launching runner {name}: label {label:?} contains a comma; use two labels")]
    Label {
        /// The runner.
        name: String,
        /// The label.
        label: String,
    },
    /// It could not be noted, and was not launched.
    #[error("launching runner {name}: {problem}; the server is not launched, because it cannot be recorded")]
    NotNoted {
        /// The runner.
        name: String,
        /// Why.
        problem: String,
    },
    /// It came to nothing, and what there is of it is still there.
    #[error("{cause}; its server could not be deleted: {why}")]
    Left {
        /// Why it came to nothing.
        cause: Box<Self>,
        /// Why the server stays.
        why: OpenStackError,
    },
}

impl OpenstackInstanceLaunchError {
    /// The same as the end of several attempts.
    fn after(mut self, made: Attempts) -> Self {
        match &mut self {
            Self::Cloud { attempts, .. } => *attempts = made,
            Self::Left { cause, .. } => {
                if let Self::Cloud { attempts, .. } = &mut **cause {
                    *attempts = made;
                }
            }
            _ => (),
        }
        self
    }
}

/// Who writes down what is about to be made, so that a process that is killed leaves nothing that nobody knows of.
pub trait LaunchNotes {
    /// A server of this name is about to be made; when that cannot be written down, it must not be made.
    fn makes(&self, name: &str) -> Result<(), String>;
    /// It is there, under this id.
    fn made(&self, id: &ServerId);
    /// Nothing of it is left.
    fn gone(&self);
}

/// Where a runner is put and who answers for it: what the seed's function has from its charm.
#[derive(Clone, Copy)]
pub struct LaunchSite<'a> {
    /// The door to the web.
    pub http: &'a HttpClient,
    /// The flavor's name; the smallest that holds the image when absent.
    pub flavor: Option<&'a str>,
    /// The network's name; the first that has a subnet when absent.
    pub network: Option<&'a str>,
    /// The labels by which the server is ours, and found again.
    pub labels: &'a BTreeMap<String, String>,
    /// Where it is noted.
    pub notes: &'a dyn LaunchNotes,
    /// When to give up.
    pub deadline: Deadline,
}

/// Launches a runner and waits until its server runs (seed `openstack_manager`: `create_instance`). Tries five times,
/// unless somebody has to act first; one of `ssh_debug_connections` is chosen at random. The server has the security
/// group that is its project's default. A launch that fails leaves no server.
pub fn create_instance(
    cloud_config: &CloudConfig,
    instance_config: &InstanceConfig,
    proxies: Option<&ProxyConfig>,
    dockerhub_mirror: Option<&str>,
    ssh_debug_connections: &[SshDebugConnection],
    site: LaunchSite<'_>,
) -> Result<Server, OpenstackInstanceLaunchError> {
    let (deadline, name) = (site.deadline, &instance_config.name);
    let environment = RunnerEnvironment {
        proxies: ProxyStringValues::from(proxies),
        dockerhub_mirror,
        ssh_debug: any_of(ssh_debug_connections),
    };
    let user_data = user_data(instance_config, &environment)?;
    let failed =
        |source| OpenstackInstanceLaunchError::Cloud { name: name.clone(), attempts: Attempts(1), source };
    let cloud = Cloud::connect(cloud_config, site.http, deadline).map_err(failed)?;
    let misplaced = |source| OpenstackInstanceLaunchError::Placement { name: name.clone(), source };
    let need = Need { vcpus: 1, ram_mb: 1024, disk_gb: instance_config.openstack_image.min_disk.max(1) };
    let flavor = Wish { option: "flavor", value: site.flavor };
    let network = Wish { option: "network", value: site.network };
    let server = NewServer {
        name: name.clone(),
        image: instance_config.openstack_image.id.clone(),
        flavor: choose_flavor(&cloud, flavor, need, deadline).map_err(misplaced)?,
        network: choose_network(&cloud, network, deadline).map_err(misplaced)?.id,
        security_group: None,
        metadata_source: MetadataSource::ConfigDrive,
        user_data,
        metadata: site.labels.clone(),
    };
    let attempt = || {
        if let Err(problem) = site.notes.makes(name) {
            return Verdict::Fail(OpenstackInstanceLaunchError::NotNoted { name: name.clone(), problem });
        }
        let error = match launch(&cloud, &server, site) {
            Ok(server) => return Verdict::Done(server),
            Err(error) => error,
        };
        if let Err(why) = remove(&cloud, name, site.labels) {
            let cause = Box::new(failed(error));
            return Verdict::Fail(OpenstackInstanceLaunchError::Left { cause, why });
        }
        site.notes.gone();
        let may_pass = !error.operator_must_act();
        Verdict::of(Err(failed(error)), |_| may_pass)
    };
    retry(POLICY, deadline, attempt).map_err(|gave_up| gave_up.error.after(gave_up.attempts))
}

fn launch(cloud: &Cloud, server: &NewServer, site: LaunchSite<'_>) -> Result<Server, OpenStackError> {
    let compute = cloud.compute();
    let id = compute.create_server(server, site.deadline)?;
    site.notes.made(&id);
    let server = compute.wait_for_server(&id, &ServerStatus::Active, site.deadline.at_most(LAUNCH))?;
    if !server.addresses.is_empty() {
        return Ok(server);
    }
    let with_address = |server: Server| (!server.addresses.is_empty()).then_some(server);
    let found = compute.wait_for_address(&id, with_address, site.deadline.at_most(ADDRESS))?;
    Ok(found.unwrap_or(server))
}

/// Removes the server of this name that has all of these labels, and waits until it is gone. By its name, since the answer
/// that has its id may have been lost.
pub fn remove(cloud: &Cloud, name: &str, labels: &BTreeMap<String, String>) -> Result<(), OpenStackError> {
    let (compute, deadline) = (cloud.compute(), Deadline::after(REMOVAL));
    let mut named = compute.servers(Some(name), deadline)?;
    named.retain(|server| labels.iter().all(|(label, value)| server.metadata.get(label) == Some(value)));
    for server in named {
        compute.remove_server(&server.id, deadline)?;
    }
    Ok(())
}

fn any_of(connections: &[SshDebugConnection]) -> Option<&SshDebugConnection> {
    let digits: String = random_uuid().chars().take(8).collect();
    let chance = usize::try_from(u32::from_str_radix(&digits, 16).unwrap_or_default()).unwrap_or_default();
    connections.get(chance.checked_rem(connections.len())?)
}

/// What the machine is told at its first boot.
fn user_data(
    config: &InstanceConfig,
    environment: &RunnerEnvironment<'_>,
) -> Result<Secret<Vec<u8>>, OpenstackInstanceLaunchError> {
    let InstanceConfig { name, labels, github_path, github_url, .. } = config;
    if let Some(label) = labels.iter().find(|label| label.contains(',')) {
        return Err(OpenstackInstanceLaunchError::Label { name: name.clone(), label: label.clone() });
    }
    let write = || {
        let mut files = docker_files(&environment.proxies, RUNNER_USER)?;
        files.push(MachineFile {
            path: "/home/ubuntu/actions-runner/.env",
            owner: RUNNER_USER,
            mode: "0600",
            content: environment.render()?,
        });
        files.push(MachineFile {
            path: "/etc/systemd/system/actions-runner.service",
            owner: "root",
            mode: "0644",
            content: runner_unit(RUNNER_USER, RUNNER_HOME)?,
        });
        UserData {
            files: &files,
            behind_proxy: environment.proxies.is_set(),
            user: RUNNER_USER,
            user_home: USER_HOME,
            home: RUNNER_HOME,
            url: &format!("{github_url}/{github_path}"),
            token: config.registration_token.expose(),
            name,
            labels: &labels.join(","),
            group: match github_path {
                GithubPath::Org(GithubOrg { group, .. }) => group.as_deref(),
                GithubPath::Repo(_) => None,
            },
        }
        .render()
    };
    let text =
        write().map_err(|source| OpenstackInstanceLaunchError::Value { name: name.clone(), source })?;
    Ok(Secret::new(text.into_bytes()))
}
