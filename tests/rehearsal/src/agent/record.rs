//! What happened, for tests to look at: hook runs with the tools that they called, actions, statuses, log lines.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// It exited with this code.
    Code(i32),
    /// A signal killed it.
    Signal(i32),
    /// The agent killed it: it ran past the deadline for hooks.
    Deadline,
    /// It could not be started, or there was nothing to start.
    NotStarted(String),
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit status {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
            Self::Deadline => f.write_str("killed at the deadline"),
            Self::NotStarted(why) => f.write_str(why),
        }
    }
}

/// What kind of turn a run was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunKind {
    /// A hook.
    Hook,
    /// An action.
    Action,
    /// Commands that came through `juju-exec`.
    Exec,
}

/// One turn of a unit: a hook, an action, or commands of `juju-exec`.
#[derive(Debug, Clone)]
pub struct HookRun {
    /// The unit's name.
    pub unit: String,
    /// What kind of turn it was.
    pub kind: RunKind,
    /// The hook's or action's name, or the commands.
    pub name: String,
    /// When it began.
    pub started: SystemTime,
    /// From the start of the process to its end.
    pub wall: Duration,
    /// CPU time, user and system, of the process itself: not of the hook tools or other children that it ran.
    pub cpu: Duration,
    /// The largest resident memory, in KiB, of the process or of a child that it waited for (a hook tool has 2 MiB).
    pub max_rss_kib: u64,
    /// How it ended.
    pub ending: Ending,
    /// The hook tools that it called, in order.
    pub calls: Vec<ToolCall>,
    /// What it wrote to standard output, as far as the agent read it.
    pub stdout: String,
    /// What it wrote to standard error, as far as the agent read it.
    pub stderr: String,
    pub(super) job: u64,
}

impl HookRun {
    /// Whether it exited with 0.
    pub fn succeeded(&self) -> bool {
        self.ending == Ending::Code(0)
    }

    /// How often it called each hook tool.
    pub fn tool_counts(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for call in &self.calls {
            *counts.entry(call.tool.as_str()).or_default() += 1;
        }
        counts
    }
}

/// One call of a hook tool.
#[derive(Debug, Clone)]
pub struct ToolCall {
    /// The tool's name.
    pub tool: String,
    /// Its arguments, without the name.
    pub argv: Vec<String>,
    /// How much it read from standard input.
    pub stdin_bytes: usize,
    /// What it exited with.
    pub exit_code: u8,
    /// What it said on standard error.
    pub stderr: String,
    /// How long the agent took, delays included.
    pub duration: Duration,
}

/// What became of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionStatus {
    /// It ended well.
    Completed,
    /// It said `action-fail`, or exited with another code than 0.
    Failed,
}

/// One action, done.
#[derive(Debug, Clone)]
pub struct ActionRun {
    /// Its number.
    pub id: String,
    /// Whether it succeeded.
    pub status: ActionStatus,
    /// The message of `action-fail`, or how the process ended.
    pub message: String,
    /// The results of `action-set`, nested as the keys say, and `return-code`, `stdout` and `stderr`.
    pub results: Map<String, Value>,
    /// The messages of `action-log`.
    pub log: Vec<String>,
    /// The process.
    pub run: HookRun,
}

/// What `juju-exec` gave back.
#[derive(Debug, Clone)]
pub struct ExecResult {
    /// The exit code of the commands.
    pub code: u8,
    /// Their standard output.
    pub stdout: String,
    /// Their standard error.
    pub stderr: String,
}

/// A status as `juju status` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// `active`, `blocked`, ... or `error`.
    pub state: String,
    /// The message.
    pub message: String,
    /// Since when.
    pub since: SystemTime,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.state, self.message)
    }
}

/// The levels of the debug log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "their names are Juju's")]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warning,
    Error,
    Critical,
}

impl Level {
    /// Reads the level that a caller of juju-log names.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Some(match text.to_ascii_uppercase().as_str() {
            "TRACE" => Self::Trace,
            "DEBUG" => Self::Debug,
            "INFO" => Self::Info,
            "WARN" | "WARNING" => Self::Warning,
            "ERROR" => Self::Error,
            "CRITICAL" => Self::Critical,
            _ => return None,
        })
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Trace => "TRACE",
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
            Self::Critical => "CRITICAL",
        })
    }
}

/// A line of the debug log.
#[derive(Debug, Clone)]
pub struct LogLine {
    /// When.
    pub at: SystemTime,
    /// Of which unit.
    pub unit: String,
    /// How important.
    pub level: Level,
    /// `juju-log`, or the hook whose output it is, or `agent`.
    pub module: String,
    /// What.
    pub message: String,
}

impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "unit-{}: {} unit.{}.{} {}",
            self.unit.replace('/', "-"),
            self.level,
            self.unit,
            self.module,
            self.message
        )
    }
}
