//! A process that outlives the hook that started it, and the agent too.

use std::path::Path;
use std::time::Duration;

use super::{Host, ProcessError, Program, ROOT_VARIABLE};
use crate::model::Deadline;

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

/// What systemd allows a detached process and its children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limits {
    /// What the machine has: image tools among its children fill the page cache and need memory of their own.
    Machine,
    /// Several times what it and the package tools among its children need.
    Small,
}

impl Limits {
    /// As arguments of systemd-run. Nothing that package tools could miss: they install what is missing.
    const fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Machine => &["--property=LimitCORE=0"],
            // A child that is too large fails by itself, and its failure is reported.
            Self::Small => &[
                "--property=LimitCORE=0",
                "--property=MemoryMax=512M",
                "--property=TasksMax=512",
                "--property=OOMPolicy=continue",
            ],
        }
    }
}

/// Starts `program` with `args` outside our process group, session and, where there is systemd, outside the
/// control group of the agent, whose restart would end it. `unit` must be unique among running units; `limits` hold
/// where there is systemd.
pub fn start_detached(
    host: &Host,
    unit: &str,
    program: &Path,
    args: &[&str],
    limits: Limits,
) -> Result<(), ProcessError> {
    let kept = KEPT_VARIABLES.iter().filter_map(|name| Some((*name, std::env::var(name).ok()?)));
    let kept: Vec<(&str, String)> = kept.collect();
    let starter = if host.has_systemd() {
        Program::new("systemd-run")
            .args(["--quiet", "--collect", "--service-type=exec", "--unit", unit])
            .args(limits.arguments())
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
        .outlives_us()
        .run(Deadline::after(Duration::from_secs(20)))
        .map(drop)
}
