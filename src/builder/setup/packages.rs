//! Debian packages of the machine that we run on.

use std::time::Duration;

use crate::instance::{Command, Executor, ExecutorError};
use crate::model::{Deadline, Secret};

/// The packages that the charm stands on could not be installed.
#[derive(Debug, thiserror::Error)]
#[error("installing {packages}: {source}")]
pub struct PackageError {
    packages: String,
    source: ExecutorError,
}

/// Installs those of `packages` that are missing in the instance, and does nothing when none is.
pub fn install_packages(
    executor: &dyn Executor,
    packages: &[&str],
    deadline: Deadline,
) -> Result<(), PackageError> {
    let installed = installed(executor, packages, deadline);
    let is_missing = |package: &&str| !installed.iter().any(|known| known == package);
    let missing: Vec<&str> = packages.iter().copied().filter(is_missing).collect();
    if missing.is_empty() {
        return Ok(());
    }
    log::info!("installing packages: {}", missing.join(" "));
    let failed = |source| PackageError { packages: missing.join(" "), source };
    // A machine whose package lists are recent needs no update; one that has none fails fast and gets one.
    if apt(executor, "install", &missing, deadline).is_ok() {
        return Ok(());
    }
    apt(executor, "update", &[], deadline).map_err(failed)?;
    apt(executor, "install", &missing, deadline).map_err(failed)
}

/// Those of `packages` that are installed. The query fails for those that dpkg has never heard of, and tells of the others.
fn installed(executor: &dyn Executor, packages: &[&str], deadline: Deadline) -> Vec<String> {
    let question = ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n"];
    let query = Command::new([&question, packages].concat()).limit(Duration::from_secs(30));
    let said = executor.execute(query, deadline).map(|output| output.stdout).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    said.lines().filter_map(|line| line.strip_suffix(" installed")).map(str::to_owned).collect()
}

fn apt(
    executor: &dyn Executor,
    action: &str,
    packages: &[&str],
    deadline: Deadline,
) -> Result<(), ExecutorError> {
    let options = ["--yes", "--quiet", "--no-install-recommends", "--option", "DPkg::Lock::Timeout=300"];
    let words = [&["apt-get"], &options[..], &[action], packages].concat();
    let quiet = [("DEBIAN_FRONTEND".to_owned(), Some(Secret::new("noninteractive".to_owned())))];
    let command = Command::new(words).environment(quiet).limit(Duration::from_secs(900));
    executor.run(command, deadline).map(drop)
}
