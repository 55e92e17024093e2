//! How a program has ended, as errors tell it.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// How a program has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By itself, with this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

/// The signals that end programs and have the same number on every architecture that we run on.
const SIGNALS: [(i32, &str); 14] = [
    (1, "SIGHUP"),
    (2, "SIGINT"),
    (3, "SIGQUIT"),
    (4, "SIGILL"),
    (5, "SIGTRAP"),
    (6, "SIGABRT"),
    (7, "SIGBUS"),
    (8, "SIGFPE"),
    (9, "SIGKILL"),
    (11, "SIGSEGV"),
    (13, "SIGPIPE"),
    (14, "SIGALRM"),
    (15, "SIGTERM"),
    (24, "SIGXCPU"),
];

fn name(signal: i32) -> Option<&'static str> {
    SIGNALS.iter().find(|(number, _)| *number == signal).map(|(_, name)| *name)
}

impl Ending {
    /// Whether it did its work.
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }

    /// What a shell says of its last command by `code`: a shell adds 128 to the signal that has ended one.
    pub fn behind_shell(code: i32) -> String {
        match code.checked_sub(128).filter(|signal| name(*signal).is_some()) {
            Some(signal) => format!("{}: {}", Self::Code(code), Self::Signal(signal)),
            None => Self::Code(code).to_string(),
        }
    }
}

impl From<ExitStatus> for Ending {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Code(code),
            (None, signal) => Self::Signal(signal.unwrap_or_default()),
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => {
                write!(f, "killed by signal {signal}")?;
                name(*signal).map_or(Ok(()), |name| write!(f, " ({name})"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shells_exit_code_tells_the_signal_behind_it() {
        for (code, told) in [
            (1, "exit code 1"),
            (127, "exit code 127"),
            (128, "exit code 128"),
            (137, "exit code 137: killed by signal 9 (SIGKILL)"),
            (143, "exit code 143: killed by signal 15 (SIGTERM)"),
            (255, "exit code 255"),
        ] {
            assert_eq!(Ending::behind_shell(code), told);
        }
    }
}
