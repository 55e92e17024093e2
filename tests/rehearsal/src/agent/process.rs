//! Runs one process of a turn, reads what it says, and drops its pipes as Juju does.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::procs;
use super::record::Ending;
use super::toolbox;

/// How long Juju reads on after a hook's end.
const PIPE_GRACE: Duration = Duration::from_millis(100);

/// What is to be run.
pub(super) struct Spec {
    pub program: Vec<OsString>,
    pub stdin: Option<String>,
    pub dir: PathBuf,
    pub env: Vec<(OsString, OsString)>,
    pub report: PathBuf,
    pub context_id: String,
    pub deadline: Duration,
    pub pipes: Pipes,
}

/// What happens when the process has ended but others still hold its output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pipes {
    /// A hook's or an action's: read for 100 ms more, then dropped.
    Dropped,
    /// Those of `juju-exec`: read to their end, however long that takes.
    Awaited,
}

/// How it went.
#[derive(Debug)]
pub(super) struct Outcome {
    pub ending: Ending,
    pub wall: Duration,
    pub cpu: Duration,
    pub max_rss_kib: u64,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

/// Runs to the end, or to the deadline, which kills everything that carries the turn's context.
pub(super) fn run(spec: &Spec) -> Outcome {
    let started = Instant::now();
    let mut outcome = Outcome {
        ending: Ending::Signal(9),
        wall: Duration::ZERO,
        cpu: Duration::ZERO,
        max_rss_kib: 0,
        stdout: Vec::new(),
        stderr: Vec::new(),
    };
    match spawn(spec).and_then(|mut child| read_until_done(spec, &mut child, &mut outcome)) {
        Ok(Finish::Deadline) => outcome.ending = Ending::Deadline,
        Ok(Finish::Exited) => read_report(&spec.report, &mut outcome),
        Err(error) => outcome.ending = Ending::NotStarted(error.to_string()),
    }
    if outcome.wall.is_zero() {
        outcome.wall = started.elapsed();
    }
    // The report may be missing: then the launcher was killed with its hook.
    let _ = fs::remove_file(&spec.report);
    outcome
}

enum Finish {
    Exited,
    Deadline,
}

fn spawn(spec: &Spec) -> std::io::Result<Child> {
    let mut command = Command::new(toolbox::binary());
    command.arg("--launch").arg(&spec.report).args(&spec.program);
    command.env_clear().envs(spec.env.iter().cloned()).current_dir(&spec.dir);
    command.stdin(if spec.stdin.is_some() { Stdio::piped() } else { Stdio::null() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    if let (Some(text), Some(mut stdin)) = (&spec.stdin, child.stdin.take()) {
        // The shell may leave before it has read everything.
        let _ = stdin.write_all(text.as_bytes());
    }
    Ok(child)
}

fn read_until_done(spec: &Spec, child: &mut Child, outcome: &mut Outcome) -> std::io::Result<Finish> {
    let deadline = Instant::now() + spec.deadline;
    let pid = Pid::from_raw(child.id().cast_signed())
        .ok_or_else(|| std::io::Error::other("a process without id"))?;
    let exited = pidfd_open(pid, PidfdFlags::empty())?;
    let mut stdout = child.stdout.take().map(|pipe| File::from(std::os::fd::OwnedFd::from(pipe)));
    let mut stderr = child.stderr.take().map(|pipe| File::from(std::os::fd::OwnedFd::from(pipe)));
    let mut ended: Option<Instant> = None;
    loop {
        let now = Instant::now();
        if now >= deadline {
            kill(spec, child);
            return Ok(Finish::Deadline);
        }
        let until = match (ended, spec.pipes) {
            (Some(at), Pipes::Dropped) => deadline.min(at + PIPE_GRACE),
            _ => deadline,
        };
        if ended.is_some() && (now >= until || (stdout.is_none() && stderr.is_none())) {
            child.wait()?;
            return Ok(Finish::Exited);
        }
        let mut fds: Vec<PollFd<'_>> = Vec::new();
        let streams = [stdout.as_ref(), stderr.as_ref()];
        fds.extend(streams.iter().flatten().map(|pipe| PollFd::new(*pipe, PollFlags::IN)));
        if ended.is_none() {
            fds.push(PollFd::from_borrowed_fd(exited.as_fd(), PollFlags::IN));
        }
        let timeout = Timespec::try_from(until - now).map_err(std::io::Error::other)?;
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        let mut ready = ready.into_iter();
        for (pipe, text) in [(&mut stdout, &mut outcome.stdout), (&mut stderr, &mut outcome.stderr)] {
            if pipe.is_some() && ready.next() == Some(true) && read_some(pipe, text) == 0 {
                *pipe = None;
            }
        }
        if ended.is_none() && ready.next() == Some(true) {
            ended = Some(Instant::now());
        }
    }
}

fn read_some(pipe: &mut Option<File>, text: &mut Vec<u8>) -> usize {
    let mut buffer = [0; 16 * 1024];
    let read = pipe.as_mut().and_then(|pipe| pipe.read(&mut buffer).ok()).unwrap_or_default();
    text.extend(&buffer[..read]);
    read
}

fn kill(spec: &Spec, child: &mut Child) {
    procs::kill_all(&procs::with_environment(&format!("JUJU_CONTEXT_ID={}", spec.context_id)));
    // It may have gone by itself in between.
    let _ = child.kill();
    let _ = child.wait();
}

fn read_report(path: &Path, outcome: &mut Outcome) {
    let Ok(text) = fs::read_to_string(path) else { return };
    for line in text.lines() {
        let (name, value) = line.split_once(' ').unwrap_or((line, ""));
        let number = || value.parse::<u64>().unwrap_or_default();
        match name {
            "code" => outcome.ending = Ending::Code(value.parse().unwrap_or(-1)),
            "signal" => outcome.ending = Ending::Signal(value.parse().unwrap_or(-1)),
            "failure" => outcome.ending = Ending::NotStarted(value.to_owned()),
            "wall" => outcome.wall = Duration::from_nanos(number()),
            "cpu" => outcome.cpu = Duration::from_nanos(number()),
            "rss" => outcome.max_rss_kib = number(),
            _ => {}
        }
    }
}
