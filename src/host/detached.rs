//! A process that outlives the hook that started it, and the agent too.

use std::path::Path;
use std::time::Duration;

use super::{Host, ProcessError, Program, ROOT_VARIABLE};
use crate::deadline::Deadline;

/// The variables that a detached process gets from us; all others (JUJU_* above all: juju-exec refuses to run
/// inside a hook's context) stay behind.
const KEPT_VARIABLES: [&str; 4] = ["PATH", "HOME", "LANG", ROOT_VARIABLE];

/// Where systemd is PID 1, this folder exists (sd_booted(3)).
const SYSTEMD_RUNS: &str = "/run/systemd/system";

impl Host {
    /// Whether systemd runs this machine: never one below another root.
    pub fn has_systemd(&self) -> bool {
        self.root() == Path::new("/") && Path::new(SYSTEMD_RUNS).is_dir()
    }
}

/// Starts `program` with `args` outside our process group, session and, where there is systemd, outside the
/// control group of the agent, whose restart would end it. `unit` must be unique among running units.
pub fn start_detached(host: &Host, unit: &str, program: &Path, args: &[&str]) -> Result<(), ProcessError> {
    let kept = KEPT_VARIABLES.iter().filter_map(|name| Some((*name, std::env::var(name).ok()?)));
    let kept: Vec<(&str, String)> = kept.collect();
    let starter = if host.has_systemd() {
        Program::new("systemd-run")
            .args(["--quiet", "--collect", "--service-type=exec", "--unit", unit])
            .args(kept.iter().map(|(name, value)| format!("--setenv={name}={value}")))
    } else {
        Program::new("setsid").args(["--fork"])
    };
    let starter = starter.only_env(&kept).args([program]);
    // Not in the charm's folder, which a refresh replaces.
    starter
        .args(args)
        .current_dir(Path::new("/"))
        .discard_output()
        .run(Deadline::after(Duration::from_secs(20)))
        .map(drop)
}
