//! A command as a script on the standard input of a root shell, which all executors share: they differ in the way that
//! leads to the shell.
//!
//! The host's process list shows nothing but `bash -s`, and the instance's only the command itself. The script ends with a
//! line of its own on standard error that says how the command ended. Without it the shell came to no end by itself,
//! whatever exit code the way to it gives.

use std::time::Duration;

use super::{Command, ExecutorError, Output};
use crate::host::{Ending, ProcessError, Program, Stdin, quoted, random_uuid};
use crate::model::Deadline;

/// How long the shell may take longer than its command, which `timeout` ends and, after a moment of grace, kills.
const GRACE: Duration = Duration::from_secs(30);

/// Runs `command` to its end in the root shell of `instance` that `shell` starts.
pub(super) fn execute(
    shell: Program,
    instance: String,
    command: Command,
    deadline: Deadline,
) -> Result<Output, ExecutorError> {
    let deadline = deadline.at_most(command.limit);
    let limit = deadline.remaining();
    let summary = command.summary();
    let late = |instance| ExecutorError::Deadline { command: summary.clone(), instance, limit };
    if limit.is_zero() {
        return Err(late(instance));
    }
    let mark = random_uuid();
    let script = script(&command, limit, &mark)?.into_bytes();
    let is_logged = command.is_logged;
    let stdin = match command.stdin {
        Some(stream) => Stdin::Stream(script, stream),
        None => Stdin::Bytes(script),
    };
    let shown = |line: &str| {
        if is_logged && !line.is_empty() && !line.starts_with(&mark) {
            log::debug!("{instance}: {line}");
        }
    };
    let output = match shell.stdin(stdin).watched(Deadline::after(limit + GRACE), &shown) {
        Err(ProcessError::Deadline { .. }) => {
            return Err(ExecutorError::Stuck { command: summary, instance, limit });
        }
        output => output?,
    };
    let Some((stderr, code)) = ending(&output.stderr, &mark) else {
        let said = match output.ending {
            Ending::Signal(_) => format!("{}: {}", output.ending, output.stderr),
            Ending::Code(_) => output.stderr,
        };
        let problem = format!("the connection was interrupted while {summary} ran: {said}");
        return Err(ExecutorError::Unreachable { instance, problem });
    };
    match code {
        // timeout(1) says so when it had to end the command, or to kill it.
        124 | 137 if deadline.passed() => Err(late(instance)),
        code => Ok(Output { code, stdout: output.stdout, stderr: stderr.to_owned() }),
    }
}

/// `way` to a root shell on this machine, to which nothing of our own environment comes along.
pub(super) fn on_this_machine(way: Program, further_environment: &[(&str, &str)]) -> Program {
    let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/sbin:/usr/bin:/sbin:/bin".into());
    let own = [("PATH", path.as_str()), ("HOME", "/root"), ("USER", "root"), ("LOGNAME", "root")];
    let environment: Vec<(&str, String)> =
        own.iter().chain(further_environment).map(|(name, value)| (*name, (*value).to_owned())).collect();
    way.only_env(&environment).args(["bash", "-s"])
}

/// What the root shell reads: one line. A subshell takes the variables and gives its place to the command under a guard
/// that ends it in time; what is left of the command's group is killed with it. With job control (`set -m`) the group is
/// the guard's, and the command's signals are as they are by default. bash reads a pipe byte by byte, so what follows the
/// line is left for the command.
fn script(command: &Command, limit: Duration, mark: &str) -> Result<String, ExecutorError> {
    let mut variables = String::new();
    for (name, value) in &command.environment {
        let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
        if !(first && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')) {
            return Err(ExecutorError::InvalidVariable { name: name.clone() });
        }
        match value {
            Some(value) => variables.push_str(&format!("export {name}={}; ", quoted(value.expose()))),
            None => variables.push_str(&format!("unset {name}; ")),
        }
    }
    let words: Vec<String> = command.words().iter().map(|word| quoted(word)).collect();
    let words = words.join(" ");
    let stdin = if command.stdin.is_some() { "<&0" } else { "</dev/null" };
    let seconds = limit.as_secs_f64();
    Ok(format!(
        "set -m; ( {variables}exec /usr/bin/timeout --kill-after=10 {seconds:.3} {words} ) {stdin} & \
         wait $! 2>/dev/null; code=$?; [ $code -ne 124 ] || kill -KILL -- -$! 2>/dev/null; \
         printf '\\n%s %s\\n' {mark} $code >&2; exit 0\n"
    ))
}

/// What the command said at its end on standard error, and its exit code, if the script came to its end.
fn ending<'a>(stderr: &'a str, mark: &str) -> Option<(&'a str, i32)> {
    let (said, rest) = stderr.rsplit_once(mark)?;
    Some((said.trim(), rest.split_whitespace().next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variables_name_is_no_place_for_a_command() {
        for name in ["A;id", "A B", "", "1A", "$(id)"] {
            let command = Command::new(["true"]).environment([(name.into(), None)]);
            let result = script(&command, Duration::from_secs(1), "mark");
            assert!(matches!(result, Err(ExecutorError::InvalidVariable { .. })), "{name:?}");
        }
    }

    #[test]
    fn without_the_scripts_last_line_there_is_no_ending() {
        assert_eq!(ending("words\n\nmark 255", "mark"), Some(("words", 255)));
        assert_eq!(ending("mark 0", "mark"), Some(("", 0)));
        assert_eq!(ending("Connection reset by peer", "mark"), None);
        assert_eq!(ending("mark", "mark"), None);
    }
}
