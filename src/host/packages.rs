//! Debian packages of the host.

use std::time::Duration;

use super::{ProcessError, Program};
use crate::deadline::Deadline;

/// The packages that the charm stands on could not be installed.
#[derive(Debug, thiserror::Error)]
#[error("installing {packages}: {source}")]
pub struct PackageError {
    packages: String,
    source: ProcessError,
}

/// Installs those of `packages` that are missing, and does nothing when none is.
pub fn install_packages(packages: &[&str], deadline: Deadline) -> Result<(), PackageError> {
    let missing: Vec<&str> = packages.iter().copied().filter(|package| !is_installed(package)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    log::info!("installing packages: {}", missing.join(" "));
    let failed = |source| PackageError { packages: missing.join(" "), source };
    // A machine whose package lists are recent needs no update; one that has none fails fast and gets one.
    if apt(&["install"], &missing, deadline).is_ok() {
        return Ok(());
    }
    apt(&["update"], &[], deadline).map_err(failed)?;
    apt(&["install"], &missing, deadline).map_err(failed)
}

fn is_installed(package: &str) -> bool {
    Program::new("dpkg-query")
        .args(["--show", "--showformat=${db:Status-Status}", package])
        .output(Deadline::after(Duration::from_secs(30)))
        .is_ok_and(|output| output.code == Some(0) && output.stdout == b"installed")
}

fn apt(command: &[&str], packages: &[&str], deadline: Deadline) -> Result<(), ProcessError> {
    Program::new("apt-get")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["--yes", "--quiet", "--no-install-recommends", "--option", "DPkg::Lock::Timeout=300"])
        .args(command)
        .args(packages)
        .run(deadline)
        .map(drop)
}
