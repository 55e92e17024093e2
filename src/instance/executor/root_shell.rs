//! A command as a script on the standard input of a root shell on this machine: what local and chroot executors share.

use std::time::Duration;

use super::ssh::script;
use super::{Command, ExecutorError, Output};
use crate::deadline::Deadline;
use crate::host::{ProcessError, Program, Stdin};

/// How long the shell may take longer than its command, which `timeout` ends and, after a moment of grace, kills.
const GRACE: Duration = Duration::from_secs(30);

/// Runs `command` to its end in a root shell of `instance` that `way` leads to, and nothing of our own environment with
/// it. The process list shows the command itself and, before it, `bash -s`.
pub(super) fn execute(
    way: Program,
    further_environment: &[(&str, &str)],
    instance: String,
    command: Command,
    deadline: Deadline,
) -> Result<Output, ExecutorError> {
    let deadline = deadline.at_most(command.limit);
    let limit = deadline.remaining();
    let summary = command.summary();
    let redirection = if command.stdin.is_some() { "" } else { " </dev/null" };
    let script = script(&command, limit, redirection).into_bytes();
    let stdin = match command.stdin {
        Some(stream) => Stdin::Stream(script, stream),
        None => Stdin::Bytes(script),
    };
    let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/sbin:/usr/bin:/sbin:/bin".into());
    let own = [("PATH", path.as_str()), ("HOME", "/root"), ("USER", "root"), ("LOGNAME", "root")];
    let environment: Vec<(&str, String)> =
        own.iter().chain(further_environment).map(|(name, value)| (*name, (*value).to_owned())).collect();
    let shell = way.only_env(&environment).args(["bash", "-s"]).stdin(stdin);
    let shown = |line: &str| log::debug!("{instance}: {line}");
    let output = shell.watched(Deadline::after(limit + GRACE), &shown);
    match output {
        // timeout(1) says so when it had to end the command, or to kill it.
        Ok(output) => match output.code {
            Some(124 | 137) if deadline.passed() => {
                Err(ExecutorError::Deadline { command: summary, instance, limit })
            }
            code => Ok(Output { code: code.unwrap_or(-1), stdout: output.stdout, stderr: output.stderr }),
        },
        Err(ProcessError::Deadline { .. }) => {
            Err(ExecutorError::Deadline { command: summary, instance, limit })
        }
        Err(error) => Err(error.into()),
    }
}
