//! Commands on this very machine.

use std::path::Path;

use super::{Command, Executor, ExecutorError, Output, root_shell};
use crate::host::{Program, ROOT_VARIABLE};
use crate::model::Deadline;

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
        // Where the machine's files are is for its commands to know, too.
        let root = std::env::var(ROOT_VARIABLE).ok();
        let further: Vec<(&str, &str)> = root.iter().map(|root| (ROOT_VARIABLE, root.as_str())).collect();
        let shell = root_shell::on_this_machine(Program::behind(&["env"]), &further);
        root_shell::execute(shell, self.instance(), command, deadline)
    }

    fn mount(&self, source: &Path, target: &str, deadline: Deadline) -> Result<(), ExecutorError> {
        let source = source.display().to_string();
        // A second mount would lie on top of the first, and both would have to be taken away.
        let script = "mountpoint -q -- \"$1\" || exec mount --bind -- \"$0\" \"$1\"";
        self.run(Command::new(["bash", "-euc", script, &source, target]), deadline).map(drop)
    }
}
