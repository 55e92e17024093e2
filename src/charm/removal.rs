//! The end: the worker stopped, what it made in the build cloud removed, the host left as it was.

mod departure;

use std::path::PathBuf;
use std::time::Duration;

use crate::builder::{CRON_FILE, Extent, Keep, LOGROTATE_FILE, in_each, read_clouds_yaml, sweep_cloud};
use crate::charm::cos_agent::metrics_socket::{MetricsSocketError, close_metrics_socket};
use crate::host::{FileError, Host};
use crate::http::HttpClient;
use crate::model::Deadline;
use crate::record::{CloudName, Owner, ProxyConfig, Told};
use crate::worker::{stop_launcher, stop_worker};

/// How long the clean-up of all clouds may take.
const LIMIT: Duration = Duration::from_secs(100);
/// How long a cloud may take to accept us.
const CONNECT_LIMIT: Duration = Duration::from_secs(30);

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
    stop_launcher(host);
    let (clouds, proxies) = match (read_clouds_yaml(host), proxies.resolved()) {
        (Ok(clouds), Ok(proxies)) => (clouds, proxies),
        (Err(error), _) => return vec![error.to_string()],
        (_, Err(error)) => return vec![error.to_string()],
    };
    let told = match Told::load(host) {
        Ok(told) => told,
        Err(error) => return vec![error.to_string()],
    };
    let http = HttpClient::new(proxies);
    let names: Vec<&CloudName> = clouds.keys().collect();
    let left = in_each(&clouds, &names, &http, deadline.at_most(CONNECT_LIMIT), |name, connection| {
        let left = match connection {
            Ok(cloud) => sweep_cloud(&cloud, owner, Keep::After(extent), &told, deadline).left,
            Err(error) => vec![error.to_string()],
        };
        left.into_iter().map(|what| format!("{name}: {what}")).collect::<Vec<_>>()
    });
    left.into_iter().flatten().collect()
}

/// Removes everything that the charm has put on the host.
pub fn remove_host_files(host: &Host) -> Result<(), RemovalError> {
    stop_worker(host);
    stop_launcher(host);
    close_metrics_socket(host)?;
    host.remove_file(&host.path(CRON_FILE))?;
    host.remove_file(&host.path(LOGROTATE_FILE))?;
    host.remove_dir(&host.state_dir())?;
    host.remove_dir(&host.run_dir())?;
    host.remove_dir(&host.log_dir())?;
    Ok(())
}
