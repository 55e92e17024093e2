//! The end: the worker stopped, what it made in the build cloud removed, the host left as it was.

use std::time::Duration;

use super::clouds_yaml::read_clouds_yaml;
use super::config::{Owner, ProxyConfig};
use super::cron::CRON_FILE;
use super::job::{worker_lives, worker_lock};
use super::labels::{self, Stage};
use super::setup::LOGROTATE_FILE;
use super::site::remove_security_group;
use crate::deadline::Deadline;
use crate::host::{FileError, Host, stop_group};
use crate::http::HttpClient;
use crate::openstack_cloud::{Cloud, OpenStackError};

/// How long the clean-up of all clouds may take.
const LIMIT: Duration = Duration::from_secs(100);

/// The host could not be left clean.
#[derive(Debug, thiserror::Error)]
pub enum RemovalError {
    /// A file operation failed.
    #[error("removing the charm's files: {0}")]
    File(#[from] FileError),
}

/// Stops the worker and removes what it has made in every cloud that we know: builder VMs, snapshots, images that
/// failed, copies that are not complete, base images, the security group. Published images stay. Returns what had to be left, by name and
/// reason.
pub fn remove_cloud_resources(host: &Host, owner: &Owner, proxies: &ProxyConfig) -> Vec<String> {
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
                        Ok(cloud) => remove_from(&cloud, owner, &mut left, deadline),
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

fn remove_from(cloud: &Cloud, owner: &Owner, left: &mut Vec<String>, deadline: Deadline) {
    let mut note = |what: &str, result: Result<(), OpenStackError>| {
        if let Err(error) = result {
            left.push(format!("{what}: {error}"));
        }
    };
    let compute = cloud.compute();
    match compute.servers(None, deadline) {
        Err(error) => note("builder VMs", Err(error)),
        Ok(servers) => {
            let ours: Vec<_> =
                servers.iter().filter(|server| labels::may_remove_server(owner, server)).collect();
            for server in &ours {
                note(&server.name, compute.delete_server(&server.id, deadline).map(drop));
            }
            for server in &ours {
                note(&server.name, compute.wait_until_gone(&server.id, deadline));
            }
        }
    }
    for stage in [Stage::Snapshot, Stage::Delivering, Stage::Rejected, Stage::Base] {
        match labels::images(cloud, owner, stage, None, deadline) {
            Err(error) => note(stage.as_str(), Err(error)),
            Ok(images) => {
                for image in images.iter().filter(|image| labels::is_of_this_unit(owner, image)) {
                    note(&image.name, cloud.images().delete(&image.id, deadline).map(drop));
                }
            }
        }
    }
    note("security group", remove_security_group(cloud, owner, deadline));
}

/// Removes everything that the charm has put on the host.
pub fn remove_host_files(host: &Host) -> Result<(), RemovalError> {
    stop_worker(host);
    host.remove_file(&host.path(CRON_FILE))?;
    host.remove_file(&host.path(LOGROTATE_FILE))?;
    host.remove_dir(&host.state_dir())?;
    host.remove_dir(&host.run_dir())?;
    host.remove_dir(&host.log_dir())?;
    Ok(())
}
