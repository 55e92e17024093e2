//! The launcher: a process of its own that takes up what the notes ask for, removes what has expired, and clears up after
//! one that was killed. One lives at a time; the next hook starts another when there is something to do.

use std::path::PathBuf;
use std::time::Duration;

use super::error::WorkerError;
use super::launch::{clear_up, perform};
use super::overdue::gets_on;
use super::process::{start, stop_holder};
use crate::host::{Exclusive, FileError, Host, Limits};
use crate::model::Timestamp;
use crate::record::{Launch, LaunchSecrets, LaunchState, ProxyConfig, forget_unfinished};

/// The longest that a launcher may go without a word in a note, well above what a launch may take.
const LIMIT: Duration = Duration::from_secs(2 * 3600);

/// Sees to it that a launcher lives while there is something to do for one. For hooks: it calls no cloud.
pub fn tend(host: &Host, proxies: &ProxyConfig) -> Result<(), WorkerError> {
    forget_unfinished(host)?;
    let all = Launch::all(host)?;
    let notes: Vec<PathBuf> = all.iter().map(|launch| launch.file(host)).collect();
    if !all.iter().any(Launch::is_due) || gets_on(host, &launcher_lock(host), &notes, LIMIT)? {
        return Ok(());
    }
    LaunchSecrets { proxies: proxies.clone(), ..LaunchSecrets::default() }.save(host, &proxies_file(host))?;
    Ok(start(host, "launcher", &["launch"], Limits::Small)?)
}

/// Does all that is due, then ends. Ends at once when another launcher lives.
pub fn launch(host: &Host) -> Result<(), WorkerError> {
    while Launch::all(host)?.iter().any(Launch::is_due) {
        let Some(mut lock) = Exclusive::acquire(&launcher_lock(host))? else { return Ok(()) };
        // For whoever must stop us.
        let _ = lock.note(&std::process::id().to_string());
        let proxies = LaunchSecrets::take(host, &proxies_file(host))?.unwrap_or_default().proxies;
        for launch in Launch::all(host)?.into_iter().filter(Launch::is_due) {
            do_one(host, launch, &proxies)?;
        }
    }
    Ok(())
}

fn do_one(host: &Host, mut launch: Launch, proxies: &ProxyConfig) -> Result<(), WorkerError> {
    match launch.state {
        LaunchState::Waiting => {
            let secrets = LaunchSecrets::take(host, &launch.secrets_file(host))?;
            launch.state = LaunchState::Launching;
            launch.save(host)?;
            Ok(perform(host, launch, secrets)?.save(host)?)
        }
        LaunchState::Failed { .. } if launch.server.is_none() => Ok(launch.forget(host)?),
        // Expired, failed with something left, or given up by a launcher that died.
        _ => {
            launch.tried = Some(Timestamp::now());
            if launch.state == LaunchState::Launching {
                launch.state = died();
            }
            match clear_up(host, &launch, proxies) {
                Ok(()) if launch.state == LaunchState::Running => return Ok(launch.forget(host)?),
                Ok(()) => launch.server = None,
                Err(problem) => {
                    log::warn!(
                        "launch {}: its server could not be deleted; retrying later: {problem}",
                        launch.id
                    );
                }
            }
            Ok(launch.save(host)?)
        }
    }
}

fn died() -> LaunchState {
    LaunchState::Failed { message: "its launcher was killed; run the action again".into() }
}

fn launcher_lock(host: &Host) -> PathBuf {
    host.state_dir().join("launcher.lock")
}

/// Where proxies wait for a launcher that has only to clear up.
fn proxies_file(host: &Host) -> PathBuf {
    host.run_dir().join("launcher-proxies.json")
}

/// Whether a launcher lives.
pub fn launcher_lives(host: &Host) -> Result<bool, FileError> {
    Exclusive::is_held(&launcher_lock(host))
}

/// Stops the launcher if one lives: what it was doing is found and ended by its labels.
pub fn stop_launcher(host: &Host) {
    stop_holder(host, &launcher_lock(host));
}

/// Where the launcher logs.
pub fn launcher_log(host: &Host) -> PathBuf {
    host.log_dir().join("launcher.log")
}
