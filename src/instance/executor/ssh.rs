//! Commands over ssh: one multiplexing master in the foreground of ours, which dies with us, and a client for each
//! command, which only opens a channel.
//!
//! A connection that has ended, because the instance was booted again or the network failed, is opened again by the next
//! command. What ran when it broke is not run again: nobody knows how far it came.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{Command, Executor, ExecutorError, Output, root_shell};
use crate::host::{FileError, Host, ProcessError, Program, Running, random_uuid};
use crate::model::{Attempts, Backoff, Deadline, Secret, poll};

/// One attempt to open the connection.
const ATTEMPT: Duration = Duration::from_secs(30);

/// An instance that answers ssh, and how to be sure that it is the one.
#[derive(Clone, Debug)]
pub struct SshTarget {
    /// A name for logs, and the name under which its key is known.
    pub name: String,
    /// Its address.
    pub address: String,
    /// The user: root, or one who may become root without a password.
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
    master: Mutex<Option<Running>>,
    is_abandoned: AtomicBool,
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
        Self::connect_and_tell(host, target, folder, &|_| (), deadline)
    }

    /// The same, where `tell` hears why it has not worked yet: each reason once, and at once.
    pub fn connect_and_tell(
        host: &Host,
        target: SshTarget,
        folder: PathBuf,
        tell: &dyn Fn(&str),
        deadline: Deadline,
    ) -> Result<Self, ExecutorError> {
        let (master, is_abandoned) = (Mutex::new(None), AtomicBool::new(false));
        let executor = Self { target, folder, master, is_abandoned };
        prepare(host, &executor.target, &executor.folder)
            .map_err(|error| executor.lost(error.to_string()))?;
        executor.open(tell, deadline)?;
        Ok(executor)
    }

    /// Opens the connection unless it is open.
    fn open(&self, tell: &dyn Fn(&str), deadline: Deadline) -> Result<(), ExecutorError> {
        let mut master = self.master.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_still_wanted()?;
        if master.as_mut().is_some_and(|master| master.ended().is_none()) {
            return Ok(());
        }
        *master = None;
        let (mut last, mut attempts) = (None, Attempts(0));
        *master = poll(Backoff::POLLING, deadline, || {
            // Who gives it up waits for the lock, which is held here.
            self.is_still_wanted()?;
            attempts.0 += 1;
            match attempt(&self.target, &self.folder, deadline.at_most(ATTEMPT)) {
                Ok(opened) => return Ok::<_, ExecutorError>(Some(opened)),
                // What cut the last attempt short says less than what ended the one before it.
                Err(problem) if last.is_none() || !(problem.is_empty() || deadline.passed()) => {
                    // A machine that boots refuses for minutes: each reason is told once, and at once.
                    if last.as_ref() != Some(&problem) {
                        log::debug!(
                            "{}: attempt {}: not yet reached: {problem}",
                            self.target.name,
                            attempts.0
                        );
                        tell(&problem);
                    }
                    last = Some(problem);
                }
                Err(_) => (),
            }
            Ok(None)
        })?;
        match &*master {
            Some(_) => Ok(()),
            None => Err(self.lost(format!("{}{attempts}", last.unwrap_or_default()))),
        }
    }

    fn is_still_wanted(&self) -> Result<(), ExecutorError> {
        match self.is_abandoned.load(Ordering::SeqCst) {
            true => Err(self.lost("the connection was given up".to_owned())),
            false => Ok(()),
        }
    }

    /// Ends the connection, and with it what runs, for good. For another thread than the one that runs commands.
    pub fn abandon(&self) {
        self.is_abandoned.store(true, Ordering::SeqCst);
        self.close();
    }

    /// Closes what is left of the connection, so that the next command opens a new one.
    fn close(&self) {
        *self.master.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn lost(&self, problem: String) -> ExecutorError {
        ExecutorError::Unreachable { instance: self.target.name.clone(), problem }
    }

    fn client(&self) -> Program {
        let root_shell: &[&str] =
            if self.target.user == "root" { &["bash", "-s"] } else { &["sudo", "-n", "bash", "-s"] };
        client(&self.target, &self.folder)
            .args(["-o", "ControlMaster=no"])
            .args([&self.target.address])
            .args(root_shell)
    }
}

impl Drop for SshExecutor {
    fn drop(&mut self) {
        self.close();
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
        self.open(&|_| (), deadline)?;
        let result = root_shell::execute(self.client(), self.instance(), command, deadline);
        if let Err(ExecutorError::Unreachable { .. } | ExecutorError::Stuck { .. }) = &result {
            self.close();
        }
        result
    }
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
    Program::new("ssh").args(["-F", "none", "-T"]).args(options)
}

fn attempt(target: &SshTarget, folder: &Path, deadline: Deadline) -> Result<Running, String> {
    let _ = std::fs::remove_file(folder.join("ssh"));
    let master = client(target, folder).args(["-o", "ControlMaster=yes", "-o", "ControlPersist=no", "-N"]);
    let mut master = master.args([&target.address]).start().map_err(|error| error.to_string())?;
    let opened = poll(Backoff::steady(Duration::from_millis(50)), deadline, || match master.ended() {
        Some(ProcessError::Failed { stderr, .. }) => Err(stderr),
        Some(error) => Err(error.to_string()),
        None => Ok(folder.join("ssh").exists().then_some(())),
    })?;
    opened.map(|()| master).ok_or_else(|| format!("{} did not answer on its ssh port", target.address))
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
        let file = folder.join(format!("key-{}", random_uuid()));
        let public_file = file.with_extension("pub");
        let made = Program::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f"])
            .args([&file])
            .run(Deadline::after(Duration::from_secs(30)));
        let read = |path: &Path| -> Result<String, ExecutorError> {
            std::fs::read_to_string(path)
                .map_err(|source| ExecutorError::KeyPair { file: path.to_owned(), source })
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

    #[test]
    fn a_fresh_key_pair_leaves_no_file_behind() {
        let dir = tempfile::tempdir().unwrap();
        let pair = KeyPair::generate(&Host::below("/"), dir.path(), "test").unwrap();
        assert!(pair.public.starts_with("ssh-ed25519 AAAA") && pair.public.split(' ').count() == 2);
        assert!(pair.private.expose().contains("OPENSSH PRIVATE KEY"));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
