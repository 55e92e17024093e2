//! The only door to the machine that we run on: its files, below a root, and its commands, found by `PATH`.
//!
//! Nothing outside this folder opens a host file for writing or starts a process of the host, but for the
//! ssh executor, which starts its client through [`Program`] as well.

mod child;
mod command_line;
mod detached;
mod ending;
mod files;
mod log_file;
mod namespaces;
mod output;
mod own;
mod process;
mod random;

use std::path::{Path, PathBuf};

pub use command_line::{command_line, quoted};
pub use detached::{Limits, start_detached};
pub use ending::Ending;
pub use files::{Exclusive, FileError, Written};
pub use log_file::LogFile;
pub use namespaces::Namespaces;
pub use output::Output;
pub use own::{NotOurs, dump_no_core, kill_own, open_unlinked};
pub use process::{ProcessError, Program, Running, Stdin};
pub use random::random_uuid;

/// The variable that moves every host path below another root, for tests and for people without root.
pub const ROOT_VARIABLE: &str = "RUNNER_IMAGE_BUILDER_ROOT";

/// The machine, seen below a root folder (`/` in production).
#[derive(Clone, Debug)]
pub struct Host {
    root: PathBuf,
    run: Option<PathBuf>,
}

impl Host {
    /// The machine below `root`.
    pub fn below(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), run: None }
    }

    /// The same machine, with what may vanish in `folder`: sockets lie there, whose paths must be short.
    pub fn running_in(self, folder: PathBuf) -> Self {
        Self { run: Some(folder), ..self }
    }

    /// The machine as the environment names it: below `RUNNER_IMAGE_BUILDER_ROOT`, else `/`.
    pub fn from_environment() -> Self {
        Self::below(std::env::var_os(ROOT_VARIABLE).filter(|root| !root.is_empty()).unwrap_or("/".into()))
    }

    /// The root itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the absolute `path` lies on this machine.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// What must live until the charm is removed: clouds.yaml, journal, keys, the worker's binary. 0700.
    pub fn state_dir(&self) -> PathBuf {
        self.path("/var/lib/runner-image-builder")
    }

    /// What may vanish with a reboot: sockets, secrets in transit. On a tmpfs in production. 0700.
    pub fn run_dir(&self) -> PathBuf {
        self.run.clone().unwrap_or_else(|| self.path("/run/runner-image-builder"))
    }

    /// The logs of the worker and of cron.
    pub fn log_dir(&self) -> PathBuf {
        self.path("/var/log/runner-image-builder")
    }

    /// Makes the three folders that only we may enter, and refuses them when they are links or another user's.
    pub fn own_folders(&self) -> Result<(), FileError> {
        [self.state_dir(), self.run_dir(), self.log_dir()].iter().try_for_each(|path| self.private_dir(path))
    }
}
