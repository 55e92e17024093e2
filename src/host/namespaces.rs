//! Mount and process namespaces of our own: what is mounted or started in them is seen by nobody else and goes with
//! us, however we end.
//!
//! The first process in them waits for the end of a pipe that only we hold. When we are gone, killed included, the
//! kernel closes the pipe; that process ends, with it every process in the namespaces, with the last of them the
//! mounts, and with those the loop devices, which detach by themselves.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use super::child::{kill_group, spawn};
use super::{ProcessError, Program};
use crate::model::{Backoff, Deadline, poll};

/// How long the kernel may take to set up or take down namespaces on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// The namespaces; dropped, everything in them ends.
#[derive(Debug)]
pub struct Namespaces {
    holder: Child,
}

impl Namespaces {
    /// Makes new ones. Needs root.
    pub fn open() -> Result<Self, ProcessError> {
        let program = "unshare --mount --pid".to_owned();
        let start = |source| ProcessError::Start { program: program.clone(), source };
        let mut holder = Command::new("unshare");
        holder
            .args(["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child=KILL"])
            .args(["--mount-proc", "--", "sh", "-c", "echo; exec cat >/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // Tied to our end by its standard input, and to no thread: another one may go on with the namespaces.
        let holder = spawn(&mut holder).map_err(start)?;
        let mut namespaces = Self { holder };
        // A line says that everything is in place; until then a command might land in the machine's own namespaces.
        if namespaces.is_ready() { Ok(namespaces) } else { Err(namespaces.refusal(program)) }
    }

    /// The program `name`, found by `PATH`, to be run in here.
    pub fn program(&self, name: &str) -> Program {
        let own = format!("/proc/{}/ns", self.holder.id());
        let words =
            ["nsenter", &format!("--mount={own}/mnt"), &format!("--pid={own}/pid_for_children"), "--"];
        Program::behind(&words).args([name])
    }

    fn is_ready(&mut self) -> bool {
        let Some(stdout) = self.holder.stdout.take() else { return false };
        let (ready, line) = mpsc::channel();
        std::thread::spawn(move || {
            let mut text = String::new();
            let _ = BufReader::new(stdout).read_line(&mut text);
            let _ = ready.send(text);
        });
        line.recv_timeout(PATIENCE).is_ok_and(|line| line == "\n")
    }

    fn refusal(&mut self, program: String) -> ProcessError {
        self.end();
        let mut stderr = String::new();
        if let Some(pipe) = self.holder.stderr.take() {
            let _ = pipe.take(1024).read_to_string(&mut stderr);
        }
        let status =
            "creating namespaces is not permitted; this requires root, and a machine rather than a container"
                .into();
        ProcessError::Failed { program, status, stderr: stderr.trim().to_owned() }
    }

    fn end(&mut self) {
        drop(self.holder.stdin.take());
        let look = Backoff::steady(Duration::from_millis(5));
        let ended = poll(look, Deadline::after(PATIENCE), || self.holder.try_wait());
        if matches!(ended, Ok(None)) {
            kill_group(&mut self.holder);
        }
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Deadline {
        Deadline::after(Duration::from_secs(120))
    }

    fn run(namespaces: &Namespaces, script: &str) -> String {
        let output = namespaces.program("sh").args(["-euc", script]).run(soon()).unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn a_mount_is_seen_inside_only() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().display().to_string();
        let namespaces = Namespaces::open().unwrap();
        run(&namespaces, &format!("mount -t tmpfs none {place}; touch {place}/file"));
        assert_eq!(run(&namespaces, &format!("ls {place}")), "file\n");
        assert!(!dir.path().join("file").exists());
    }

    #[test]
    fn what_was_left_running_ends_with_them() {
        let dir = tempfile::tempdir().unwrap();
        // What is left running has the lock, as long as it lives.
        let path = dir.path().join("held");
        let flock =
            |options: &[&str]| Program::new("flock").args(options).args([&path]).args(["true"]).run(soon());
        let namespaces = Namespaces::open().unwrap();
        let script = "exec 9>\"$0\"; flock 9; setsid sleep 900 >/dev/null 2>&1 &";
        namespaces.program("sh").args(["-euc", script]).args([&path]).run(soon()).unwrap();
        assert!(flock(&["--nonblock"]).is_err(), "it runs");
        drop(namespaces);
        flock(&["--timeout", "60"]).unwrap();
    }

    #[test]
    fn errors_show_the_command_and_not_the_way_in() {
        let namespaces = Namespaces::open().unwrap();
        let error = namespaces.program("false").run(soon()).unwrap_err().to_string();
        assert_eq!(error, "running false: exit code 1");
    }
}
