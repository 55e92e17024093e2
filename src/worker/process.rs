//! The processes that work beside hooks: how they are started, found and stopped. Each holds a lock while it lives.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::builder::worker_binary_dir;
use crate::host::{Exclusive, FileError, Host, Limits, ProcessError, kill_own, start_detached};
use crate::model::{Backoff, Deadline, Digesting, poll};
use crate::record::{BuildMode, CheckOrder, JobId, Request, worker_lock};

/// Stops the worker if one lives: at once, since whatever it was doing can be found and ended by another. Returns whether
/// none lives any more.
pub fn stop_worker(host: &Host) -> bool {
    stop_holder(host, &worker_lock(host))
}

/// Stops the process that holds `lock` and has noted itself there, if it runs an executable of ours. Returns whether nobody
/// holds it any more.
pub(super) fn stop_holder(host: &Host, lock: &Path) -> bool {
    if let Ok(true) = Exclusive::is_held(lock)
        && let Ok(Some(pid)) = host.read(lock)
        && let Ok(pid) = String::from_utf8_lossy(&pid).trim().parse()
    {
        log::info!("stopping process {pid}, which holds {}", lock.display());
        let (binaries, own) = (worker_binary_dir(host), std::env::current_exe().ok());
        // The kernel tells executables by their resolved paths.
        let binaries = binaries.canonicalize().unwrap_or(binaries);
        if let Err(problem) =
            kill_own(pid, |path| path.starts_with(&binaries) || own.as_deref() == Some(path))
        {
            log::warn!("process {pid} is not stopped: {problem}");
            return false;
        }
        // Its lock goes with it.
        let (look, deadline) =
            (Backoff::steady(Duration::from_millis(50)), Deadline::after(Duration::from_secs(5)));
        let _ = poll(look, deadline, || Exclusive::is_held(lock).map(|held| (!held).then_some(())));
    }
    !Exclusive::is_held(lock).unwrap_or(true)
}

/// The worker, or the launcher, could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its binary could not be put into place.
    #[error("starting the background process: {0}")]
    File(#[from] FileError),
    /// It could not be run.
    #[error("starting the background process: {0}")]
    Process(#[from] ProcessError),
    /// We do not know our own executable.
    #[error("starting the background process: finding the executable of the charm: {0}")]
    Executable(std::io::Error),
}

/// Starts a worker from a copy of our own binary, which a refresh of the charm does not touch. A second worker
/// finds the lock taken and goes; so a start too many does no harm.
/// One that is not to build on this machine has little to need, and is held to that.
pub fn start_worker(host: &Host) -> Result<(), StartError> {
    let asked = Request::load(host).ok().flatten().map(|request| request.config);
    let checked = || CheckOrder::load(host).map(|order| order.config);
    match asked.or_else(checked).map(|config| config.build_mode) {
        Some(BuildMode::External) => start(host, "worker", &["--limited", "work"], Limits::Small),
        Some(BuildMode::Local) | None => start(host, "worker", &["work"], Limits::Machine),
    }
}

/// Starts our own binary with `words` as its arguments, as a process that outlives hooks.
pub(super) fn start(host: &Host, name: &str, words: &[&str], limits: Limits) -> Result<(), StartError> {
    let ours = std::env::current_exe().map_err(StartError::Executable)?;
    let mut binary = Digesting::<_, sha2::Sha256>::new(File::open(&ours).map_err(StartError::Executable)?);
    io::copy(&mut binary, &mut io::sink()).map_err(StartError::Executable)?;
    let digest = binary.hex();
    let copy =
        worker_binary_dir(host).join(format!("dispatch-{}-{}", env!("CARGO_PKG_VERSION"), &digest[..12]));
    if !copy.exists() {
        host.install_executable(&ours, &copy)?;
    }
    let unit = format!("runner-image-builder-{name}-{}", JobId::random());
    Ok(start_detached(host, &unit, &copy, words, limits)?)
}
