//! Programs of the host: started with a deadline, killed with their whole process group when it passes,
//! their output bounded.
//!
//! What stands in the arguments or the environment of a program can be read by every user of the machine and
//! ends in our errors: a secret goes through [`Program::stdin`] and nowhere else.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::child::{exit_of, kill_group, spawn, spawn_tied};
use super::command_line::command_line;
use super::ending::Ending;
use super::output::{Bounded, LineSink, Output, Seen, Streams, last_words};
use crate::model::{Cause, Classified, Deadline};

/// How long the rest of a program's output is waited for after its end: longer than a busy machine keeps us from reading
/// what is there. Only what is left running with the pipe makes us wait for all of it.
const GRACE: Duration = Duration::from_secs(3);

/// A program of the host did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It could not be started at all.
    #[error("starting {program}: {source}")]
    Start {
        /// The program and its arguments.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It ended with a failure.
    #[error("running {program}: {status}{}", detail(stderr))]
    Failed {
        /// The program and its arguments.
        program: String,
        /// How it ended.
        status: String,
        /// The end of what it said on standard error, at most 1 KiB.
        stderr: String,
    },
    /// It was still running at its deadline and was killed.
    #[error("running {program}: killed at its time limit{}", detail(stderr))]
    Deadline {
        /// The program and its arguments.
        program: String,
        /// The end of what it said on standard error, at most 1 KiB.
        stderr: String,
    },
}

impl Classified for ProcessError {
    fn cause(&self) -> Cause {
        Cause::Unit
    }

    fn summary(&self) -> String {
        match self {
            Self::Start { .. } => self.to_string(),
            Self::Failed { program, status, stderr } => Self::summary_of(program, status, stderr),
            Self::Deadline { program, .. } => format!("timed out ({program})"),
        }
    }
}

impl ProcessError {
    /// What a command that failed said last, and how it ended: `E: Unable to locate package x (exit code 100)`.
    pub fn summary_of(command: &str, status: &str, output: &str) -> String {
        match output.lines().map(str::trim).rfind(|line| !line.is_empty()) {
            Some(last) => {
                // A shell names the file of its script first: `/root/script: line 4: x: command not found`.
                let (file, words) = last.split_once(": ").unwrap_or(("", last));
                let said = if file.starts_with('/') && words.starts_with("line ") { words } else { last };
                format!("{} ({status})", said.trim_end_matches('.'))
            }
            None => format!("{status} ({command})"),
        }
    }
}

fn detail(stderr: &str) -> String {
    if stderr.is_empty() { String::new() } else { format!(": {stderr}") }
}

/// What a program gets on its standard input.
#[derive(Default)]
pub enum Stdin {
    /// Nothing: `/dev/null`.
    #[default]
    Empty,
    /// These bytes. The one way for a secret.
    Bytes(Vec<u8>),
    /// These bytes, then all that the reader gives.
    Stream(Vec<u8>, Box<dyn Read + Send>),
}

/// A program about to be run.
pub struct Program {
    command: Command,
    /// How many words of the command are ours, the way to where it runs, and not shown.
    way: usize,
    stdin: Stdin,
    discard: bool,
    outlives_us: bool,
}

impl Program {
    /// The program `name`, found by `PATH`.
    pub fn new(name: impl AsRef<OsStr>) -> Self {
        Self { command: Command::new(name), way: 0, stdin: Stdin::Empty, discard: false, outlives_us: false }
    }

    /// What is added as arguments, run by the program that `way` names; errors and logs do not show the way.
    pub fn behind(way: &[&str]) -> Self {
        let (program, arguments) = way.split_first().unwrap_or((&"env", &[]));
        Self { way: way.len(), ..Self::new(program) }.args(arguments)
    }

    /// Adds arguments.
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets one environment variable beside those that we have ourselves.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Gives it these environment variables and none of ours.
    pub fn only_env(mut self, variables: &[(&str, String)]) -> Self {
        self.command.env_clear().envs(variables.iter().map(|(name, value)| (name, value)));
        self
    }

    /// Runs it in this folder.
    pub fn current_dir(mut self, path: &Path) -> Self {
        self.command.current_dir(path);
        self
    }

    /// Gives it no pipe of ours: what it leaves running would hold the pipe.
    pub fn discard_output(mut self) -> Self {
        self.discard = true;
        self
    }

    /// Lets it go on when we are killed. All others are killed with us.
    pub fn outlives_us(mut self) -> Self {
        self.outlives_us = true;
        self
    }

    /// Gives it this standard input.
    pub fn stdin(mut self, stdin: Stdin) -> Self {
        self.stdin = stdin;
        self
    }

    /// The program and its arguments as one line that can be pasted into a shell, for errors and logs.
    pub fn line(&self) -> String {
        let words = std::iter::once(self.command.get_program()).chain(self.command.get_args());
        let words: Vec<Cow<'_, str>> = words.skip(self.way).map(OsStr::to_string_lossy).collect();
        command_line(&words)
    }

    /// Runs it to its end and takes any exit code but success for an error.
    pub fn run(self, deadline: Deadline) -> Result<Output, ProcessError> {
        let program = self.line();
        let output = self.output(deadline)?;
        match output.ending {
            ending if ending.is_success() => Ok(output),
            ending => {
                Err(ProcessError::Failed { program, status: ending.to_string(), stderr: output.stderr })
            }
        }
    }

    /// Runs it to its end, whatever its exit code.
    pub fn output(self, deadline: Deadline) -> Result<Output, ProcessError> {
        self.watched(deadline, &|_| ())
    }

    /// Runs it to its end, whatever its exit code, and hands each line of its two outputs to `sink` as it comes: the first
    /// 4 MiB of them.
    pub fn watched(self, deadline: Deadline, sink: LineSink<'_>) -> Result<Output, ProcessError> {
        let program = self.line();
        let Self { mut command, stdin, discard, outlives_us, .. } = self;
        let output = || if discard { Stdio::null() } else { Stdio::piped() };
        command.stdin(if matches!(stdin, Stdin::Empty) { Stdio::null() } else { Stdio::piped() });
        command.stdout(output()).stderr(output());
        let child = if outlives_us { spawn(&mut command) } else { spawn_tied(&mut command) };
        let mut child = child.map_err(|source| ProcessError::Start { program: program.clone(), source })?;
        // The feeder is a thread that nobody joins: a program that does not read its input must not hold us
        // longer than its deadline; when it dies, the pipe breaks and the thread ends.
        feed(stdin, child.stdin.take());
        let (mut streams, sink) = (Streams::of(&mut child), Bounded::new(sink));
        let ending = wait(&mut child, deadline, &mut streams, &sink)
            .map_err(|source| ProcessError::Start { program: program.clone(), source })?;
        // A grandchild may hold the pipes open for ever: what has not come by then is not waited for.
        let rest = Deadline::after(GRACE);
        while !streams.are_closed() && !rest.passed() {
            streams.next(rest.remaining(), None, &sink);
        }
        match ending {
            Some(ending) => Ok(streams.output(ending)),
            None => Err(ProcessError::Deadline { program, stderr: streams.last_words() }),
        }
    }

    /// Starts it and leaves it running, its output thrown away; it dies with the returned guard, and with the thread that
    /// calls this.
    pub fn start(mut self) -> Result<Running, ProcessError> {
        let program = self.line();
        self.command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = spawn_tied(&mut self.command)
            .map_err(|source| ProcessError::Start { program: program.clone(), source })?;
        Ok(Running { child, program })
    }
}

/// More of its last words nobody reads.
const MUCH: u64 = 1 << 20;

/// A program in the foreground of ours; dropped, it and its group are killed.
pub struct Running {
    child: Child,
    program: String,
}

impl Running {
    /// The error that it ended with, if it has ended.
    pub fn ended(&mut self) -> Option<ProcessError> {
        let status = self.child.try_wait().ok()??;
        let mut stderr = Vec::new();
        if let Some(pipe) = self.child.stderr.take() {
            let _ = pipe.take(MUCH).read_to_end(&mut stderr);
        }
        Some(ProcessError::Failed {
            program: self.program.clone(),
            status: Ending::from(status).to_string(),
            stderr: last_words(&stderr),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        kill_group(&mut self.child);
    }
}

/// How it has ended; `None` when the deadline came first and it was killed.
fn wait(
    child: &mut Child,
    deadline: Deadline,
    streams: &mut Streams,
    sink: &Bounded<'_>,
) -> io::Result<Option<Ending>> {
    let exit = exit_of(child).inspect_err(|_| kill_group(child))?;
    while !deadline.passed() {
        if streams.next(deadline.remaining(), Some(exit.as_fd()), sink) == Seen::Exited {
            return Ok(Some(child.wait()?.into()));
        }
    }
    kill_group(child);
    Ok(None)
}

fn feed(stdin: Stdin, pipe: Option<std::process::ChildStdin>) {
    let Some(mut pipe) = pipe else { return };
    match stdin {
        Stdin::Empty => (),
        // What fits the pipe's buffer needs no thread; a program that ended early breaks the pipe, and its
        // exit code tells more than we could.
        Stdin::Bytes(bytes) if bytes.len() <= 4096 => drop(pipe.write_all(&bytes)),
        Stdin::Bytes(bytes) => drop(std::thread::spawn(move || pipe.write_all(&bytes))),
        Stdin::Stream(bytes, mut stream) => drop(std::thread::spawn(move || {
            pipe.write_all(&bytes)?;
            io::copy(&mut stream, &mut pipe)
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Deadline {
        Deadline::after(Duration::from_secs(120))
    }

    #[test]
    fn gives_both_outputs_and_the_exit_code() {
        let output =
            Program::new("sh").args(["-c", "echo out; echo err >&2; exit 3"]).output(soon()).unwrap();
        assert_eq!(
            (output.ending, &output.stdout[..], &*output.stderr),
            (Ending::Code(3), &b"out\n"[..], "err")
        );
    }

    #[test]
    fn a_failure_names_the_program_its_end_and_its_last_words() {
        for (script, told) in [
            (
                "echo 'no such thing' >&2; exit 4",
                "'\\''no such thing'\\'' >&2; exit 4' x: exit code 4: no such thing",
            ),
            ("kill -KILL $$", "'kill -KILL $$' x: killed by signal 9 (SIGKILL)"),
            ("kill -TERM $$", "'kill -TERM $$' x: killed by signal 15 (SIGTERM)"),
        ] {
            let text = Program::new("sh").args(["-c", script, "x"]).run(soon()).unwrap_err().to_string();
            assert!(text.starts_with("running sh -c '") && text.ends_with(told), "{text}");
        }
    }

    #[test]
    fn in_short_a_failure_is_its_last_words_without_the_file_of_a_script() {
        let said = "/root/runner-image-builder-script: line 4: no-such: command not found";
        let summary = ProcessError::summary_of("bash x", "exit code 127", said);
        assert_eq!(summary, "line 4: no-such: command not found (exit code 127)");
        let summary = ProcessError::summary_of("x", "exit code 1", "/etc/fstab: no such file.");
        assert_eq!(summary, "/etc/fstab: no such file (exit code 1)");
    }

    #[test]
    fn at_the_deadline_the_whole_group_is_killed() {
        let dir = tempfile::tempdir().unwrap();
        // Both have the lock, as long as one of them lives.
        let path = dir.path().join("held");
        let program =
            Program::new("sh").args(["-c", "exec 9>\"$0\"; flock 9; sleep 900 & sleep 900"]).args([&path]);
        let error = program.run(Deadline::after(Duration::from_secs(1))).unwrap_err();
        assert!(matches!(error, ProcessError::Deadline { .. }), "{error}");
        Program::new("flock").args(["--timeout", "60"]).args([&path]).args(["true"]).run(soon()).unwrap();
    }

    #[test]
    fn a_program_that_never_reads_its_input_is_no_obstacle() {
        let output = Program::new("true").stdin(Stdin::Bytes(vec![b'x'; 1 << 20])).run(soon()).unwrap();
        assert!(output.ending.is_success());
    }

    #[test]
    fn input_is_streamed_in_order() {
        let stream = Box::new(io::Cursor::new(b"second".to_vec()));
        let output =
            Program::new("cat").stdin(Stdin::Stream(b"first ".to_vec(), stream)).run(soon()).unwrap();
        assert_eq!(output.stdout, b"first second");
    }

    #[test]
    fn of_an_endless_output_no_more_is_held_than_is_kept() {
        let seen = std::sync::atomic::AtomicUsize::new(0);
        let slow = |_: &str| {
            seen.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(1));
        };
        let output = Program::new("yes").watched(Deadline::after(Duration::from_secs(1)), &slow);
        assert!(matches!(output, Err(ProcessError::Deadline { .. })));
        // It had to wait for us: else there were millions.
        assert!((1..100_000).contains(&seen.into_inner()));
        let (lines, notes) = (std::sync::atomic::AtomicUsize::new(0), std::sync::Mutex::new(Vec::new()));
        let count = |line: &str| {
            lines.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if line != "y".repeat(1023) {
                notes.lock().unwrap().push(line.to_owned());
            }
        };
        let endless =
            Program::new("sh").args(["-c", "yes \"$0\" | head -c 8388608; echo end >&2", &"y".repeat(1023)]);
        assert_eq!(endless.watched(soon(), &count).unwrap().stderr, "end");
        assert_eq!(lines.into_inner(), (4 << 20) / 1024 + 1);
        assert_eq!(notes.into_inner().unwrap(), ["[the program has printed 4 MiB; the rest is dropped]"]);
        let long = Program::new("head").args(["-c", "3000000", "/dev/zero"]).run(soon()).unwrap();
        assert!(long.is_cut && long.stdout.len() == 1 << 20);
    }

    #[test]
    fn a_grandchild_that_prints_without_end_does_not_keep_us() {
        let output = Program::new("sh").args(["-c", "yes & echo $! >&2"]).run(soon()).unwrap();
        Program::new("kill").args([output.stderr.trim()]).run(soon()).unwrap();
    }

    #[test]
    fn a_grandchild_that_keeps_the_pipe_does_not_keep_us() {
        let output = Program::new("sh").args(["-c", "sleep 900 & echo $!"]).run(soon()).unwrap();
        assert!(output.ending.is_success());
        // What was said is here, and it still lives: nobody has waited for it.
        let grandchild = String::from_utf8(output.stdout).unwrap();
        Program::new("kill").args([grandchild.trim()]).run(soon()).unwrap();
    }
}
