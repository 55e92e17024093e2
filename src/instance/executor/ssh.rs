//! Commands over ssh: one multiplexing master in the foreground of ours, which dies with us, and a client for each
//! command, which only opens a channel.
//!
//! A command travels as a script on the standard input of a root shell. So the host's process list shows nothing but
//! `bash -s`, and the instance's only the command itself.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Command, Executor, ExecutorError, Output, quoted};
use crate::deadline::Deadline;
use crate::host::{FileError, Host, ProcessError, Program, Running, Stdin, random_uuid};
use crate::secret::Secret;

/// How long a client may take longer than its command: the way there and back.
const WAY: Duration = Duration::from_secs(30);

/// One attempt to open the connection.
const ATTEMPT: Duration = Duration::from_secs(30);

/// ssh's own exit code when it, and not the command, failed.
const SSH_FAILED: i32 = 255;

/// An instance that answers ssh, and how to be sure that it is the one.
#[derive(Clone, Debug)]
pub struct SshTarget {
    /// A name for logs, and the name under which its key is known.
    pub name: String,
    /// Its address.
    pub address: String,
    /// The user that may become root without a password.
    pub user: String,
    /// Our private key, in OpenSSH's format.
    pub key: Secret<String>,
    /// The instance's public host key, `ssh-ed25519 AAAA...`: no other is believed.
    pub host_key: String,
    /// Further options of the client, `Name=value` each.
    pub options: Vec<String>,
}

/// A connection to an instance.
pub struct SshExecutor {
    target: SshTarget,
    folder: PathBuf,
    _master: Running,
}

impl SshExecutor {
    /// Connects, trying again until it works or the deadline passes. `folder` is made, holds the socket and the keys,
    /// and goes with the connection.
    pub fn connect(
        host: &Host,
        target: SshTarget,
        folder: PathBuf,
        deadline: Deadline,
    ) -> Result<Self, ExecutorError> {
        let unreachable =
            |problem: String| ExecutorError::Unreachable { instance: target.name.clone(), problem };
        let prepared = prepare(host, &target, &folder);
        prepared.map_err(|error| unreachable(error.to_string()))?;
        let mut last = String::from("no attempt was made before the deadline");
        loop {
            match attempt(&target, &folder, deadline.at_most(ATTEMPT)) {
                Ok(master) => return Ok(Self { target, folder, _master: master }),
                Err(problem) => last = if problem.is_empty() { last } else { problem },
            }
            if !deadline.sleep(crate::http::jittered(Duration::from_secs(3))) {
                let _ = host.remove_dir(&folder);
                return Err(unreachable(last));
            }
        }
    }

    fn client(&self) -> Program {
        client(&self.target, &self.folder).args(["-o", "ControlMaster=no"]).args([&self.target.address])
    }
}

impl Drop for SshExecutor {
    fn drop(&mut self) {
        let _ = fs_extra::dir::remove(&self.folder);
    }
}

impl Executor for SshExecutor {
    fn instance(&self) -> String {
        self.target.name.clone()
    }

    fn is_booted(&self) -> bool {
        true
    }

    fn execute(&self, command: Command, deadline: Deadline) -> Result<Output, ExecutorError> {
        let deadline = deadline.at_most(command.limit);
        let limit = deadline.remaining();
        let (summary, instance) = (command.summary(), self.instance());
        let redirection = if command.stdin.is_some() { "" } else { " </dev/null" };
        let script = script(&command, limit, redirection).into_bytes();
        let stdin = match command.stdin {
            Some(stream) => Stdin::Stream(script, stream),
            None => Stdin::Bytes(script),
        };
        let shown = |line: &str| log::debug!("{instance}: {line}");
        let root_shell = ["sudo", "-n", "bash", "-s"];
        // The instance kills the command at its deadline; should the connection be gone, we stop waiting soon after.
        let output =
            self.client().args(root_shell).stdin(stdin).watched(Deadline::after(limit + WAY), &shown);
        match output {
            Ok(output) => match output.code {
                // timeout(1) says so when it had to end the command, or to kill it.
                Some(124 | 137) if deadline.passed() => {
                    Err(ExecutorError::Deadline { command: summary, instance, limit })
                }
                Some(SSH_FAILED) => Err(ExecutorError::Unreachable {
                    instance,
                    problem: format!("the connection broke while {summary} ran: {}", output.stderr),
                }),
                code => Ok(Output { code: code.unwrap_or(-1), stdout: output.stdout, stderr: output.stderr }),
            },
            Err(ProcessError::Deadline { .. }) => {
                Err(ExecutorError::Deadline { command: summary, instance, limit })
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// What the root shell reads: the variables, then the command in the shell's place, under a guard that ends it in time.
/// bash reads a pipe byte by byte, so what follows the script is left for the command.
pub(super) fn script(command: &Command, limit: Duration, stdin: &str) -> String {
    let mut script = String::new();
    for (name, value) in &command.environment {
        match value {
            Some(value) => script.push_str(&format!("export {name}={}; ", quoted(value.expose()))),
            None => script.push_str(&format!("unset {name}; ")),
        }
    }
    let words: Vec<String> = command.argv.iter().map(|word| quoted(word)).collect();
    let seconds = limit.as_secs().max(1);
    script.push_str(&format!("exec timeout --kill-after=10 {seconds} {}{stdin}\n", words.join(" ")));
    script
}

fn prepare(host: &Host, target: &SshTarget, folder: &Path) -> Result<(), FileError> {
    host.remove_dir(folder)?;
    host.private_dir(folder)?;
    let known = format!("{} {}\n", target.name, target.host_key);
    host.write(&folder.join("known_hosts"), known.as_bytes(), 0o600)?;
    host.write(&folder.join("key"), target.key.expose().as_bytes(), 0o600).map(drop)
}

/// The client with all that makes the connection certain: only our key, only the instance's key, no questions.
fn client(target: &SshTarget, folder: &Path) -> Program {
    let path = |name: &str| folder.join(name).display().to_string();
    let fixed = [
        "BatchMode=yes".to_owned(),
        "ConnectTimeout=10".to_owned(),
        "ServerAliveInterval=15".to_owned(),
        "ServerAliveCountMax=4".to_owned(),
        "IdentitiesOnly=yes".to_owned(),
        format!("IdentityFile={}", path("key")),
        "PreferredAuthentications=publickey".to_owned(),
        "StrictHostKeyChecking=yes".to_owned(),
        "HostKeyAlgorithms=ssh-ed25519".to_owned(),
        format!("HostKeyAlias={}", target.name),
        format!("UserKnownHostsFile={}", path("known_hosts")),
        "GlobalKnownHostsFile=/dev/null".to_owned(),
        "UpdateHostKeys=no".to_owned(),
        "ForwardAgent=no".to_owned(),
        "LogLevel=ERROR".to_owned(),
        format!("ControlPath={}", path("ssh")),
        format!("User={}", target.user),
    ];
    // The operator's come first: ssh takes the first value that it sees.
    let options = target.options.iter().chain(&fixed).flat_map(|option| ["-o", option]);
    // A signal to us must not leave a client behind.
    Program::new("setpriv").args(["--pdeathsig", "KILL", "--", "ssh", "-F", "none", "-T"]).args(options)
}

fn attempt(target: &SshTarget, folder: &Path, deadline: Deadline) -> Result<Running, String> {
    let _ = std::fs::remove_file(folder.join("ssh"));
    let master = client(target, folder).args(["-o", "ControlMaster=yes", "-o", "ControlPersist=no", "-N"]);
    let mut master = master.args([&target.address]).start().map_err(|error| error.to_string())?;
    loop {
        if let Some(error) = master.ended() {
            return Err(match error {
                ProcessError::Failed { stderr, .. } => stderr,
                error => error.to_string(),
            });
        }
        if folder.join("ssh").exists() {
            return Ok(master);
        }
        if !deadline.sleep(Duration::from_millis(200)) {
            return Err(format!("{} did not answer on its ssh port", target.address));
        }
    }
}

/// A pair of ssh keys.
#[derive(Clone, Debug)]
pub struct KeyPair {
    /// The private key in OpenSSH's format.
    pub private: Secret<String>,
    /// The public key, `ssh-ed25519 AAAA...`, without comment.
    pub public: String,
}

impl KeyPair {
    /// Makes an ed25519 pair with ssh-keygen, in `folder`, which must be private; nothing of it stays there.
    pub fn generate(host: &Host, folder: &Path, comment: &str) -> Result<Self, ExecutorError> {
        let failed = |problem: String| ExecutorError::Unreachable { instance: comment.to_owned(), problem };
        let file = folder.join(format!("key-{}", random_uuid()));
        let public_file = file.with_extension("pub");
        let made = Program::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f"])
            .args([&file])
            .run(Deadline::after(Duration::from_secs(30)));
        let read = |path: &Path| -> Result<String, ExecutorError> {
            let mut text = String::new();
            let mut file = std::fs::File::open(path).map_err(|error| failed(error.to_string()))?;
            file.read_to_string(&mut text).map_err(|error| failed(error.to_string()))?;
            Ok(text)
        };
        let pair = made.map_err(ExecutorError::from).and_then(|_| Ok((read(&file)?, read(&public_file)?)));
        let _ = (host.remove_file(&file), host.remove_file(&public_file));
        let (private, public) = pair?;
        let public = public.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        Ok(Self { private: Secret::new(private), public })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a command's script as the instance would, without ssh and sudo.
    fn run(command: Command) -> crate::host::Output {
        let redirection = if command.stdin.is_some() { "" } else { " </dev/null" };
        let script = script(&command, command.limit, redirection).into_bytes();
        let stdin = match command.stdin {
            Some(stream) => Stdin::Stream(script, stream),
            None => Stdin::Bytes(script),
        };
        Program::new("bash")
            .args(["-s"])
            .stdin(stdin)
            .output(Deadline::after(Duration::from_secs(30)))
            .unwrap()
    }

    #[test]
    fn environment_arguments_and_input_arrive_byte_for_byte() {
        let odd = "it's $(id) \"x\" \\ {{y}}\nnext";
        let command = Command::new(["bash", "-c", "printf '%s|%s|' \"$SECRET\" \"$0\"; cat", odd])
            .environment([("SECRET".into(), Some(Secret::new(odd.into()))), ("HOME".into(), None)])
            .stdin(std::io::Cursor::new(b"export X=1\nexit 7\n".to_vec()));
        let output = run(command);
        assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{odd}|{odd}|export X=1\nexit 7\n"));
        assert_eq!(output.code, Some(0));
    }

    #[test]
    fn a_removed_variable_is_gone_and_a_command_without_input_sees_none() {
        let command = Command::new(["bash", "-c", "echo ${PATH-unset}; cat; exit 5"]);
        let command = Command {
            argv: vec!["/bin/bash".into(), "-c".into(), "echo ${HOME-unset}; cat; exit 5".into()],
            ..command
        };
        let output = run(command.environment([("HOME".into(), None)]));
        assert_eq!((&output.stdout[..], output.code), (&b"unset\n"[..], Some(5)));
    }

    #[test]
    fn a_command_is_ended_at_its_limit_where_it_runs() {
        let output = run(Command::new(["sleep", "60"]).limit(Duration::from_secs(1)));
        assert_eq!(output.code, Some(124));
    }

    #[test]
    fn a_fresh_key_pair_leaves_no_file_behind() {
        let dir = tempfile::tempdir().unwrap();
        let pair = KeyPair::generate(&Host::below("/"), dir.path(), "test").unwrap();
        assert!(pair.public.starts_with("ssh-ed25519 AAAA") && pair.public.split(' ').count() == 2);
        assert!(pair.private.expose().contains("OPENSSH PRIVATE KEY"));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
