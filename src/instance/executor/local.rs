//! Commands on this very machine.

use std::path::Path;

use super::{Command, Executor, ExecutorError, Output, root_shell};
use crate::deadline::Deadline;
use crate::host::Program;

/// Where systemd is PID 1, this folder exists (sd_booted(3)).
const SYSTEMD_RUNS: &str = "/run/systemd/system";

/// This machine. A command that reaches its deadline is ended with its process group; what it has put into the
/// background before, a service above all, stays.
#[derive(Debug)]
pub struct LocalExecutor;

impl Executor for LocalExecutor {
    fn instance(&self) -> String {
        "this machine".into()
    }

    fn is_booted(&self) -> bool {
        Path::new(SYSTEMD_RUNS).is_dir()
    }

    fn execute(&self, command: Command, deadline: Deadline) -> Result<Output, ExecutorError> {
        let shell = root_shell::here(Program::behind(&["env"]), &[]);
        root_shell::execute(shell, self.instance(), command, deadline)
    }
}
