//! The host made ready for building, and what an older version left brought to this one.

pub mod packages;
pub mod python_charm;

use std::path::PathBuf;
use std::time::Duration;

use crate::builder::setup::packages::{PackageError, install_packages};
use crate::builder::{APT_DEPENDENCIES, CONVERSION_DEPENDENCIES, LOCAL_BUILD_DEPENDENCIES};
use crate::host::{FileError, Host};
use crate::instance::LocalExecutor;
use crate::model::Deadline;
use crate::model::DiskFormat;
use crate::record::{BuildMode, RecordError, put_aside, worker_lives};

/// What is needed to set the host up (seed `builder`: `BuilderInitConfig`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuilderInitConfig {
    /// The unit that the host is set up for.
    pub unit_name: String,
}

/// The host could not be set up (seed `builder`: `BuilderSetupError`).
#[derive(Debug, thiserror::Error)]
pub enum BuilderSetupError {
    /// A file operation failed.
    #[error("setting up the host: {0}")]
    File(#[from] FileError),
    /// A package could not be installed.
    #[error("setting up the host: {0}")]
    Packages(#[from] PackageError),
    /// Another unit on this machine has our folders.
    #[error(
        "setting up the host: {path} belongs to unit {other}; deploy this application to a machine of its own"
    )]
    Taken {
        /// The folder.
        path: String,
        /// Who has it.
        other: String,
    },
}

/// Configures the host machine to build images (seed `builder`: `initialize`): folders for root alone, log rotation.
/// Idempotent and quick: every hook calls it. The packages are [`install_dependencies`]' affair.
pub fn initialize(host: &Host, init_config: &BuilderInitConfig) -> Result<(), BuilderSetupError> {
    host.own_folders()?;
    claim(host, &init_config.unit_name)?;
    let log = host.log_dir();
    let rotation = format!(
        "{}/*.log {{\n    weekly\n    rotate 8\n    compress\n    missingok\n    notifempty\n    copytruncate\n    su root root\n}}\n",
        log.display()
    );
    host.write(&host.path(LOGROTATE_FILE), rotation.as_bytes(), 0o644)?;
    Ok(())
}

/// Where the log rotation is configured.
pub const LOGROTATE_FILE: &str = "/etc/logrotate.d/runner-image-builder";

/// Notes whose folders these are; two units on one machine would take each other's journal.
fn claim(host: &Host, unit_name: &str) -> Result<(), BuilderSetupError> {
    check_owner(host, unit_name)?;
    host.write(&owner_file(host), format!("{unit_name}\n").as_bytes(), 0o600)?;
    Ok(())
}

/// Refuses when the charm's folders on this machine are those of another unit: nothing there is `unit_name`'s to change or
/// to remove.
pub fn check_owner(host: &Host, unit_name: &str) -> Result<(), BuilderSetupError> {
    let owner = host.read(&owner_file(host))?.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
    match owner {
        Some(other) if other != unit_name => {
            Err(BuilderSetupError::Taken { path: host.state_dir().display().to_string(), other })
        }
        _ => Ok(()),
    }
}

fn owner_file(host: &Host) -> PathBuf {
    host.state_dir().join("unit")
}

/// Installs what builds in this mode stand on, those packages that are missing: [`APT_DEPENDENCIES`], for local builds
/// [`LOCAL_BUILD_DEPENDENCIES`], and what converts base images that are wanted in another `format`.
pub fn install_dependencies(mode: BuildMode, format: Option<DiskFormat>) -> Result<(), BuilderSetupError> {
    install_those(mode, format, |_| true)
}

fn install_those(
    mode: BuildMode,
    format: Option<DiskFormat>,
    wanted: fn(&&str) -> bool,
) -> Result<(), BuilderSetupError> {
    let further: &[&str] = match (mode, format) {
        (BuildMode::Local, _) => &LOCAL_BUILD_DEPENDENCIES,
        (BuildMode::External, Some(DiskFormat::Raw)) => &CONVERSION_DEPENDENCIES,
        (BuildMode::External, Some(DiskFormat::Qcow2) | None) => &[],
    };
    let mut packages = [&APT_DEPENDENCIES, further].concat();
    packages.retain(wanted);
    Ok(install_packages(&LocalExecutor, &packages, Deadline::after(Duration::from_secs(900)))?)
}

/// Installs what builds in this mode call, and not what a unit needs besides.
pub fn install_build_tools(mode: BuildMode) -> Result<(), BuilderSetupError> {
    install_those(mode, None, |package| !["cron", "logrotate"].contains(package))
}

/// What an older version left could not be brought to this one (seed `builder`: `UpgradeApplicationError`).
#[derive(Debug, thiserror::Error)]
pub enum UpgradeApplicationError {
    /// A file operation failed.
    #[error("upgrading: {0}")]
    File(#[from] FileError),
    /// The journal could not be read, or not be put aside.
    #[error("upgrading: {0}")]
    Journal(#[from] RecordError),
}

/// Upgrades the application (seed `builder`: `upgrade_app`). The application is this one binary, and Juju has replaced
/// it before it calls; what is left to do is to bring what another version installed to this one: a journal
/// that we cannot read is put aside, and the binaries of workers that have ended are removed. Files that hooks write
/// (clouds.yaml, cron, log rotation) are brought to this version by the reconciliation that follows.
///
/// Idempotent, and never under a living worker: that one keeps its own binary, ends its job, and the next upgrade or
/// worker clears up after it.
pub fn upgrade_app(host: &Host) -> Result<(), UpgradeApplicationError> {
    if worker_lives(host)? {
        log::info!("a worker is running; it continues with the version that started it");
        return Ok(());
    }
    put_aside(host)?;
    remove_old_binaries(host, None)
}

/// Removes the worker binaries, but for the one that runs.
pub fn remove_old_binaries(
    host: &Host,
    running: Option<&std::path::Path>,
) -> Result<(), UpgradeApplicationError> {
    for path in host.files_in(&worker_binary_dir(host))? {
        if Some(path.as_path()) != running {
            host.remove_file(&path)?;
        }
    }
    Ok(())
}

/// Where the worker's binaries lie, one a version.
pub fn worker_binary_dir(host: &Host) -> PathBuf {
    host.state_dir().join("bin")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_unit_on_the_machine_is_told_to_go_elsewhere() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path());
        let config = |unit: &str| BuilderInitConfig { unit_name: unit.into() };
        initialize(&host, &config("builder/0")).unwrap();
        initialize(&host, &config("builder/0")).unwrap();
        let error = initialize(&host, &config("other/0")).unwrap_err();
        assert!(error.to_string().contains("builder/0"), "{error}");
    }
}
