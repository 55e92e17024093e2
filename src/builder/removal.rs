//! The end: the worker stopped, what it made in the build cloud removed, the host left as it was.

use std::path::PathBuf;
use std::time::Duration;

use super::clouds_yaml::read_clouds_yaml;
use super::config::{Owner, ProxyConfig};
use super::cron::CRON_FILE;
use super::job::{worker_lives, worker_lock};
use super::labels::{self, Stage};
use super::metrics_socket::{MetricsSocketError, close_metrics_socket};
use super::setup::LOGROTATE_FILE;
use super::site::{remove_security_group, remove_security_groups};
use crate::deadline::Deadline;
use crate::host::{FileError, Host, stop_group};
use crate::http::HttpClient;
use crate::openstack_cloud::{Cloud, Deletion, Image, OpenStackError, Server};

/// How long the clean-up of all clouds may take.
const LIMIT: Duration = Duration::from_secs(100);

/// The host could not be left clean.
#[derive(Debug, thiserror::Error)]
pub enum RemovalError {
    /// A file operation failed.
    #[error("removing the charm's files: {0}")]
    File(#[from] FileError),
    /// systemd refused.
    #[error(transparent)]
    MetricsSocket(#[from] MetricsSocketError),
}

/// Notes that this unit is being removed.
pub fn note_departure(host: &Host) -> Result<(), RemovalError> {
    host.write(&departure(host), b"", 0o600)?;
    Ok(())
}

/// Whether this unit is being removed.
pub fn departs(host: &Host) -> bool {
    departure(host).exists()
}

fn departure(host: &Host) -> PathBuf {
    host.state_dir().join("departs")
}

/// What a unit takes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// What it made itself and nobody else needs: builder VMs, snapshots, copies that are not complete, its security
    /// group. Other units stay.
    Unit,
    /// The same of all units, and base images. It is the last unit.
    Application,
    /// Published images as well.
    ApplicationAndImages,
}

/// Stops the worker and removes what it has made in every cloud that we know, as far as `extent` says. Returns what had
/// to be left, by name and reason.
pub fn remove_cloud_resources(
    host: &Host,
    owner: &Owner,
    proxies: &ProxyConfig,
    extent: Extent,
) -> Vec<String> {
    let deadline = Deadline::after(LIMIT);
    // No cron may start another worker from now on.
    let _ = host.remove_file(&host.path(CRON_FILE));
    stop_worker(host);
    let (clouds, proxies) = match (read_clouds_yaml(host), proxies.resolved()) {
        (Ok(clouds), Ok(proxies)) => (clouds, proxies),
        (Err(error), _) => return vec![error.to_string()],
        (_, Err(error)) => return vec![error.to_string()],
    };
    let http = HttpClient::new(proxies);
    // Side by side: one that hangs does not use up the time of the others.
    std::thread::scope(|scope| {
        let sweeps: Vec<_> = clouds
            .iter()
            .map(|(name, config)| {
                let http = &http;
                let sweep = scope.spawn(move || {
                    let mut left = Vec::new();
                    match Cloud::connect(config, http, deadline.at_most(Duration::from_secs(30))) {
                        Ok(cloud) => remove_from(&cloud, owner, extent, &mut left, deadline),
                        Err(error) => left.push(error.to_string()),
                    }
                    left.into_iter().map(|what| format!("{name}: {what}")).collect::<Vec<_>>()
                });
                (name, sweep)
            })
            .collect();
        sweeps
            .into_iter()
            .flat_map(|(name, sweep)| {
                sweep.join().unwrap_or_else(|_| vec![format!("{name}: the sweep broke off")])
            })
            .collect()
    })
}

fn stop_worker(host: &Host) {
    if let Ok(true) = worker_lives(host)
        && let Ok(Some(pid)) = host.read(&worker_lock(host))
        && let Ok(pid) = String::from_utf8_lossy(&pid).trim().parse()
    {
        log::info!("stopping the worker, process {pid}");
        stop_group(pid);
        // Its lock goes with it.
        let deadline = Deadline::after(Duration::from_secs(5));
        while worker_lives(host).unwrap_or(false) && deadline.sleep(Duration::from_millis(50)) {}
    }
}

fn note(left: &mut Vec<String>, what: &str, result: Result<(), OpenStackError>) {
    if let Err(error) = result {
        left.push(format!("{what}: {error}"));
    }
}

fn remove_from(cloud: &Cloud, owner: &Owner, extent: Extent, left: &mut Vec<String>, deadline: Deadline) {
    let compute = cloud.compute();
    match compute.servers(None, deadline) {
        Err(error) => note(left, "builder VMs", Err(error)),
        Ok(servers) => {
            let is_to_go = |server: &&Server| match extent {
                Extent::Unit => labels::may_remove_server(owner, server),
                _ => labels::is_of_this_application(owner, server),
            };
            let ours: Vec<_> = servers.iter().filter(is_to_go).collect();
            for server in &ours {
                note(left, &server.name, compute.delete_server(&server.id, deadline).map(drop));
            }
            for server in &ours {
                note(left, &server.name, compute.wait_until_gone(&server.id, deadline));
            }
        }
    }
    let stages: &[Stage] = match extent {
        Extent::Unit => &[Stage::Snapshot, Stage::Delivering],
        Extent::Application => &[Stage::Snapshot, Stage::Delivering, Stage::Base],
        Extent::ApplicationAndImages => &[Stage::Snapshot, Stage::Delivering, Stage::Base, Stage::Published],
    };
    for &stage in stages {
        match labels::images(cloud, owner, stage, None, deadline) {
            Err(error) => note(left, stage.as_str(), Err(error)),
            Ok(images) => {
                let is_to_go =
                    |image: &&Image| extent != Extent::Unit || labels::is_of_this_unit(owner, image);
                for image in images.iter().filter(is_to_go) {
                    match cloud.images().delete(&image.id, deadline) {
                        Ok(Deletion::InUse(why)) => left.push(format!("{}: in use, {why}", image.name)),
                        Ok(_) => (),
                        Err(error) => left.push(format!("{}: {error}", image.name)),
                    }
                }
            }
        }
    }
    let groups = match extent {
        Extent::Unit => remove_security_group(cloud, owner, deadline),
        _ => remove_security_groups(cloud, owner, deadline),
    };
    note(left, "security group", groups);
}

/// Removes everything that the charm has put on the host.
pub fn remove_host_files(host: &Host) -> Result<(), RemovalError> {
    stop_worker(host);
    close_metrics_socket(host)?;
    host.remove_file(&host.path(CRON_FILE))?;
    host.remove_file(&host.path(LOGROTATE_FILE))?;
    host.remove_dir(&host.state_dir())?;
    host.remove_dir(&host.run_dir())?;
    host.remove_dir(&host.log_dir())?;
    Ok(())
}
