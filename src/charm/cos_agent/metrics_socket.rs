//! The socket at which collectors on this machine find the metrics: systemd listens, and starts a process of ours for
//! each request. Nothing of ours runs in between.

use std::path::Path;
use std::time::Duration;

use crate::host::{FileError, Host, ProcessError, Program, Written};
use crate::model::Deadline;

/// The port on the loopback interface where the metrics are found while `cos-agent` is related.
pub const METRICS_PORT: u16 = 9473;

const SOCKET: &str = "runner-image-builder-metrics.socket";
const SOCKET_FILE: &str = "/etc/systemd/system/runner-image-builder-metrics.socket";
const SERVICE_FILE: &str = "/etc/systemd/system/runner-image-builder-metrics@.service";

/// The socket could not be opened or closed.
#[derive(Debug, thiserror::Error)]
pub enum MetricsSocketError {
    /// A unit file could not be written or removed.
    #[error("setting up the metrics socket: {0}")]
    File(#[from] FileError),
    /// systemd refused.
    #[error("setting up the metrics socket: {0}")]
    Systemd(#[from] ProcessError),
}

/// Lets systemd answer collectors with `dispatch`, the charm's own executable. Touches nothing when it does already.
pub fn open_metrics_socket(host: &Host, dispatch: &Path) -> Result<(), MetricsSocketError> {
    let socket = format!(
        "[Unit]\nDescription=Metrics of the runner image builder\n\n\
         [Socket]\nListenStream=127.0.0.1:{METRICS_PORT}\nAccept=yes\nMaxConnections=8\n\n\
         [Install]\nWantedBy=sockets.target\n"
    );
    // It reads root's files and its connection, and needs nothing else.
    let service = format!(
        "[Unit]\nDescription=Answer to a collector of metrics\nCollectMode=inactive-or-failed\n\n\
         [Service]\nExecStart={} answer-collector\nStandardInput=socket\nStandardOutput=socket\n\
         StandardError=journal\nRuntimeMaxSec=10\nNoNewPrivileges=yes\nProtectSystem=strict\n\
         PrivateNetwork=yes\nCapabilityBoundingSet=CAP_DAC_READ_SEARCH\nMemoryMax=64M\n",
        dispatch.display()
    );
    let written = [
        host.write(&host.path(SERVICE_FILE), service.as_bytes(), 0o644)?,
        host.write(&host.path(SOCKET_FILE), socket.as_bytes(), 0o644)?,
    ];
    if written.contains(&Written::Changed) && host.has_systemd() {
        let opened = [&["daemon-reload"][..], &["enable", SOCKET], &["restart", SOCKET]];
        if let Err(error) = opened.into_iter().try_for_each(systemctl) {
            // The next call finds it missing, and tries again.
            host.remove_file(&host.path(SOCKET_FILE))?;
            return Err(error.into());
        }
    }
    Ok(())
}

/// Closes it, if it is open.
pub fn close_metrics_socket(host: &Host) -> Result<(), MetricsSocketError> {
    if !host.path(SOCKET_FILE).exists() {
        return Ok(());
    }
    if host.has_systemd() {
        systemctl(&["disable", "--now", SOCKET])?;
    }
    host.remove_file(&host.path(SOCKET_FILE))?;
    host.remove_file(&host.path(SERVICE_FILE))?;
    if host.has_systemd() {
        systemctl(&["daemon-reload"])?;
    }
    Ok(())
}

fn systemctl(args: &[&str]) -> Result<(), ProcessError> {
    Program::new("systemctl").args(args).run(Deadline::after(Duration::from_secs(30))).map(drop)
}
