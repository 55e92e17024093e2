//! Where commands run: one trait, one file for each kind of place.

mod chroot;
mod local;
mod root_shell;
mod ssh;

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use chroot::ChrootExecutor;
pub use local::LocalExecutor;
pub use ssh::{KeyPair, SshExecutor, SshTarget};

use crate::host::{Ending, ProcessError, command_line};
use crate::model::{Cause, Classified, Deadline, Secret};

/// A command in an instance did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ExecutorError {
    /// The instance cannot be reached.
    #[error("reaching {instance}: {problem}")]
    Unreachable {
        /// The instance.
        instance: String,
        /// What was tried and what came of it.
        problem: String,
    },
    /// The command ended with a failure.
    #[error("running {command} in {instance}: {status}: {output}")]
    Failed {
        /// The command's first words.
        command: String,
        /// The instance.
        instance: String,
        /// How it ended.
        status: String,
        /// The last that it said, at most 1 KiB.
        output: String,
    },
    /// The command was still running at its deadline and was killed.
    #[error("running {command} in {instance}: still running after {} s, killed", limit.as_secs())]
    Deadline {
        /// The command's first words.
        command: String,
        /// The instance.
        instance: String,
        /// The time that it had.
        limit: Duration,
    },
    /// The command was not ended at its deadline either, or nobody said so.
    #[error("running {command} in {instance}: still running after {} s, and could not be killed", limit.as_secs())]
    Stuck {
        /// The command's first words.
        command: String,
        /// The instance.
        instance: String,
        /// The time that it had.
        limit: Duration,
    },
    /// The file is larger than what its reader takes.
    #[error("reading {path} in {instance}: the file is larger than {limit} bytes")]
    TooLarge {
        /// The file.
        path: String,
        /// The instance.
        instance: String,
        /// What its reader takes at most.
        limit: u64,
    },
    /// A variable has a name that no shell would take.
    #[error("invalid variable name: {name:?}")]
    InvalidVariable {
        /// The name.
        name: String,
    },
    /// This kind of place cannot do that.
    #[error("{instance} cannot {what}")]
    Unsupported {
        /// The instance.
        instance: String,
        /// What was asked of it, as a verb with its object.
        what: &'static str,
    },
    /// What ssh-keygen has made cannot be read.
    #[error("generating an ssh key pair: reading {}: {source}", file.display())]
    KeyPair {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The host's own part failed.
    #[error(transparent)]
    Host(#[from] ProcessError),
}

impl Classified for ExecutorError {
    fn cause(&self) -> Cause {
        match self {
            Self::Unreachable { .. } => Cause::Network,
            _ => Cause::Other,
        }
    }

    fn summary(&self) -> String {
        match self {
            Self::Unreachable { problem, .. } => {
                let problem = problem.trim();
                format!("VM unreachable: {}", problem.strip_prefix("ssh: ").unwrap_or(problem))
            }
            Self::Failed { command, status, output, .. } => ProcessError::summary_of(command, status, output),
            Self::Deadline { command, limit, .. } | Self::Stuck { command, limit, .. } => {
                format!("timed out after {} s ({command})", limit.as_secs())
            }
            Self::Host(error) => error.summary(),
            _ => self.to_string(),
        }
    }
}

/// What a command printed.
#[derive(Clone, Debug)]
pub struct Output {
    /// Its exit code.
    pub code: i32,
    /// The first MiB of its standard output.
    pub stdout: Vec<u8>,
    /// The last KiB of its standard error.
    pub stderr: String,
}

/// A command for an instance, run there as root.
///
/// Arguments may be seen by every process of the instance; environment and standard input are handed over out of
/// everybody's sight, so secrets go there.
pub struct Command {
    argv: Vec<String>,
    pub(super) environment: BTreeMap<String, Option<Secret<String>>>,
    pub(super) stdin: Option<Box<dyn Read + Send>>,
    pub(super) limit: Duration,
    pub(super) is_logged: bool,
}

impl Command {
    /// A program with arguments, with a minute to run.
    pub fn new<A: Into<String>>(argv: impl IntoIterator<Item = A>) -> Self {
        let argv = argv.into_iter().map(Into::into).collect();
        Self {
            argv,
            environment: BTreeMap::new(),
            stdin: None,
            limit: Duration::from_secs(60),
            is_logged: true,
        }
    }

    /// A piece of shell, run by bash, which stops at the first command that fails.
    pub fn shell(script: &str) -> Self {
        Self::new(["bash", "-euo", "pipefail", "-c", script])
    }

    /// Gives it this long.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Keeps what it prints out of the log: it is data, and much.
    pub fn unlogged(mut self) -> Self {
        self.is_logged = false;
        self
    }

    /// Sets variables; `None` removes one.
    pub fn environment(
        mut self,
        variables: impl IntoIterator<Item = (String, Option<Secret<String>>)>,
    ) -> Self {
        self.environment.extend(variables);
        self
    }

    /// Gives it this standard input.
    pub fn stdin(mut self, stdin: impl Read + Send + 'static) -> Self {
        self.stdin = Some(Box::new(stdin));
        self
    }

    /// Its program and arguments.
    pub fn words(&self) -> &[String] {
        &self.argv
    }

    /// What can be pasted into a shell, or its first words when it is long, for errors: never the environment, never the
    /// input.
    pub fn summary(&self) -> String {
        let line = command_line(&self.argv);
        if line.chars().count() > SHOWN {
            format!("`{}...`", line.chars().take(CUT).collect::<String>())
        } else {
            format!("`{line}`")
        }
    }
}

/// A place where commands run (craft-providers: `Executor`).
pub trait Executor {
    /// The instance, for errors and logs.
    fn instance(&self) -> String;

    /// Whether the instance's own system runs: services can be started then, a network can be asked. Where it does not, a
    /// step takes its offline form or refuses.
    fn is_booted(&self) -> bool;

    /// Runs `command` as root to its end, at most until `deadline`, whatever its exit code.
    fn execute(&self, command: Command, deadline: Deadline) -> Result<Output, ExecutorError>;

    /// Runs `command` and takes any exit code but success for an error.
    fn run(&self, command: Command, deadline: Deadline) -> Result<Output, ExecutorError> {
        let summary = command.summary();
        let output = self.execute(command, deadline)?;
        if output.code == 0 {
            return Ok(output);
        }
        let said = if output.stderr.trim().is_empty() {
            String::from_utf8_lossy(&output.stdout[output.stdout.len().saturating_sub(1024)..]).into_owned()
        } else {
            output.stderr
        };
        Err(ExecutorError::Failed {
            command: summary,
            instance: self.instance(),
            status: Ending::behind_shell(output.code),
            output: said.trim().to_owned(),
        })
    }

    /// Writes `content` to `path` in the instance, owned by root, its mode right from the first byte.
    fn push_file(
        &self,
        path: &str,
        mode: u32,
        content: Vec<u8>,
        deadline: Deadline,
    ) -> Result<(), ExecutorError> {
        self.push_file_for("root:root", path, mode, content, deadline)
    }

    /// Writes `content` to `path` in the instance for `owner` (`user:group`): whole or not at all, and nobody else's at
    /// any moment.
    fn push_file_for(
        &self,
        owner: &str,
        path: &str,
        mode: u32,
        content: Vec<u8>,
        deadline: Deadline,
    ) -> Result<(), ExecutorError> {
        let script = "umask 022; mkdir -p -- \"$(dirname -- \"$0\")\"; new=$(mktemp -- \"$0.XXXXXX\")
            trap 'rm -f -- \"$new\"' EXIT; cat >\"$new\"; chown -- \"$2\" \"$new\"; chmod -- \"$1\" \"$new\"
            sync -- \"$new\"; mv -fT -- \"$new\" \"$0\"; trap - EXIT";
        let command = Command::new(["bash", "-euc", script, path, &format!("{mode:o}"), owner]);
        self.run(command.stdin(std::io::Cursor::new(content)), deadline).map(drop)
    }

    /// Reads `path` in the instance, `None` when there is no such file. Refuses one of more than `limit` bytes, which
    /// may be a MiB at most.
    fn pull_file(
        &self,
        path: &str,
        limit: u64,
        deadline: Deadline,
    ) -> Result<Option<Vec<u8>>, ExecutorError> {
        let script = "[ -e \"$0\" ] || exit 44; head -c \"$1\" -- \"$0\"";
        let limit = limit.min(PULL_LIMIT);
        let command = Command::new(["bash", "-euc", script, path, &(limit + 1).to_string()]);
        let output = self.execute(command, deadline)?;
        match output.code {
            0 if output.stdout.len() as u64 > limit => {
                Err(ExecutorError::TooLarge { path: path.to_owned(), instance: self.instance(), limit })
            }
            0 => Ok(Some(output.stdout)),
            44 => Ok(None),
            code => Err(ExecutorError::Failed {
                command: format!("reading {path}"),
                instance: self.instance(),
                status: Ending::behind_shell(code),
                output: output.stderr,
            }),
        }
    }

    /// Shows the host's folder `source` at `target` in the instance. Most instances are elsewhere and cannot.
    fn mount(&self, _source: &Path, _target: &str, _deadline: Deadline) -> Result<(), ExecutorError> {
        Err(ExecutorError::Unsupported { instance: self.instance(), what: "mount a folder of the host" })
    }
}

/// The longest command that errors show whole, in characters.
const SHOWN: usize = 160;
/// How much of a longer one they show: who reads it knows the command or finds it in the log.
const CUT: usize = 80;

/// What is kept of a command's output, less the byte that tells that there is more.
const PULL_LIMIT: u64 = (1 << 20) - 1;

/// An executor that gives commands as long as they want: what they may take by themselves does not count, the deadline
/// does.
pub(super) struct Unhurried<'a>(pub &'a dyn Executor);

impl Executor for Unhurried<'_> {
    fn instance(&self) -> String {
        self.0.instance()
    }

    fn is_booted(&self) -> bool {
        self.0.is_booted()
    }

    fn execute(&self, command: Command, deadline: Deadline) -> Result<Output, ExecutorError> {
        self.0.execute(command.limit(Duration::MAX), deadline)
    }

    fn push_file_for(
        &self,
        owner: &str,
        path: &str,
        mode: u32,
        content: Vec<u8>,
        deadline: Deadline,
    ) -> Result<(), ExecutorError> {
        self.0.push_file_for(owner, path, mode, content, deadline)
    }

    fn pull_file(
        &self,
        path: &str,
        limit: u64,
        deadline: Deadline,
    ) -> Result<Option<Vec<u8>>, ExecutorError> {
        self.0.pull_file(path, limit, deadline)
    }

    fn mount(&self, source: &Path, target: &str, deadline: Deadline) -> Result<(), ExecutorError> {
        self.0.mount(source, target, deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commands_summary_shows_no_environment_and_one_line_for_a_shell() {
        let environment = [("KEY".into(), Some(Secret::new("hunter2".into())))];
        let command = Command::shell("true\nfalse").environment(environment);
        assert_eq!(command.summary(), "`bash -euo pipefail -c $'true\\nfalse'`");
        let long = Command::shell(&"x".repeat(200)).summary();
        assert_eq!(long, format!("`bash -euo pipefail -c {}...`", "x".repeat(58)));
    }
}
