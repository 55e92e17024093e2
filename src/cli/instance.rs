//! `dispatch instance`: makes a machine a builder, as craft-providers' `BuilddBase` does, over ssh or here.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::CliError;
use crate::host::{Exclusive, FileError, Host};
use crate::instance::{
    Base, BaseParameters, BuilddBase, BuilddBaseAlias, CacheMount, Executor, LocalExecutor, Snap,
    SshExecutor, SshTarget, Timeout, setup, warmup,
};
use crate::model::{Deadline, Secret};

/// What to do with the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Operation {
    /// Set up a new machine
    Setup,
    /// Prepare a machine that is already set up
    Warmup,
    /// Wait for the machine's services and network
    Wait,
}

/// How a machine becomes a builder, and which one.
#[derive(Debug, Args)]
pub struct InstanceOptions {
    /// The Ubuntu release, by name or version
    #[arg(long, value_name = "RELEASE", value_parser = parse_alias)]
    alias: BuilddBaseAlias,
    /// The machine; the user is root, or has sudo without a password
    #[arg(long, value_name = "USER@HOST", value_parser = parse_place, required_unless_present = "local",
        conflicts_with = "local", requires = "key", requires = "host_key")]
    ssh: Option<(String, String)>,
    /// Use this machine
    #[arg(long)]
    local: bool,
    /// The private key for ssh
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The machine's public ed25519 key (a .pub file or a line of known_hosts)
    #[arg(long, value_name = "FILE")]
    host_key: Option<PathBuf>,
    /// An option of the ssh client, such as Port=2222; can be repeated
    #[arg(long = "ssh-option", value_name = "NAME=VALUE")]
    ssh_options: Vec<String>,
    /// The compatibility tag; buildd-base-v7 by default
    #[arg(long)]
    tag: Option<String>,
    /// The host name; craft-buildd-instance by default
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,
    /// An additional package; can be repeated
    #[arg(long = "package", value_name = "NAME")]
    packages: Vec<String>,
    /// Do not install the default packages of builders
    #[arg(long)]
    no_default_packages: bool,
    /// A snap from the store; can be repeated
    #[arg(long = "snap", value_name = "NAME=CHANNEL[,classic]")]
    snaps: Vec<String>,
    /// A variable for /etc/environment, which every user can read; can be repeated
    #[arg(long = "environment", value_name = "NAME=VALUE", value_parser = parse_variable)]
    environment: Vec<(String, Secret<String>)>,
    /// A variable to remove from the environment; can be repeated
    #[arg(long, value_name = "NAME")]
    unset: Vec<String>,
    /// A folder for pip's cache, shared with machines that can mount it
    #[arg(long, value_name = "FOLDER")]
    cache_path: Option<PathBuf>,
    /// Do not mount the cache
    #[arg(long)]
    no_cache: bool,
    /// Time limit of the whole operation in seconds, 3600 by default; none for no limit
    #[arg(long, value_name = "SECONDS|none", value_parser = parse_timeout, allow_negative_numbers = true)]
    timeout: Option<Timeout>,
}

/// `dispatch instance`: does `operation` with a machine, and tells of each step.
pub fn instance(
    host: &Host,
    operation: Operation,
    options: &InstanceOptions,
    say: &dyn Fn(&str),
) -> Result<(), CliError> {
    let base = BuilddBase::new(host, options.parameters()?)?;
    let timeout = match options.timeout {
        Some(timeout) => timeout,
        None => Timeout::seconds(Some(Timeout::DEFAULT_SECONDS))?,
    };
    let deadline = match timeout {
        Timeout::Until(deadline) => deadline,
        Timeout::Unlimited => Deadline::never(),
    };
    let _alone = options.alone(host)?;
    let executor = options.executor(host, deadline)?;
    let progress = |step: &'static str, number, of| say(&format!("{step}, {number} of {of}"));
    match operation {
        Operation::Setup => setup(&base, &*executor, timeout, options.cache(), &progress)?,
        Operation::Warmup => warmup(&base, &*executor, timeout, &progress)?,
        Operation::Wait => base.wait_until_ready(&*executor, deadline)?,
    }
    Ok(())
}

fn parse_alias(word: &str) -> Result<BuilddBaseAlias, String> {
    BuilddBaseAlias::parse(word).ok_or_else(|| {
        let all = BuilddBaseAlias::ALL.map(BuilddBaseAlias::as_str).join(", ");
        format!("it must be one of {all}; releases that have moved to old-releases are not supported")
    })
}

fn parse_place(word: &str) -> Result<(String, String), &'static str> {
    word.split_once('@')
        .filter(|(user, address)| !user.is_empty() && !address.is_empty() && !address.starts_with('-'))
        .map(|(user, address)| (user.to_owned(), address.to_owned()))
        .ok_or("it must be USER@HOST")
}

fn parse_variable(word: &str) -> Result<(String, Secret<String>), &'static str> {
    let (name, value) = word.split_once('=').ok_or("it must be NAME=VALUE")?;
    Ok((name.to_owned(), Secret::new(value.to_owned())))
}

fn parse_timeout(word: &str) -> Result<Timeout, String> {
    let seconds = match word {
        "none" => None,
        seconds => Some(seconds.parse().map_err(|_| "it must be seconds, or none")?),
    };
    Timeout::seconds(seconds).map_err(|error| error.to_string())
}

impl InstanceOptions {
    fn parameters(&self) -> Result<BaseParameters, CliError> {
        let mut parameters = BaseParameters::new(self.alias);
        parameters.compatibility_tag.clone_from(&self.tag);
        if let Some(hostname) = &self.hostname {
            parameters.hostname.clone_from(hostname);
        }
        parameters.packages.clone_from(&self.packages);
        parameters.use_default_packages = !self.no_default_packages;
        parameters.cache_path.clone_from(&self.cache_path);
        for (name, value) in &self.environment {
            parameters.environment.insert(name.clone(), Some(value.clone()));
        }
        for name in &self.unset {
            parameters.environment.insert(name.clone(), None);
        }
        parameters.snaps = self.snaps.iter().map(|snap| Snap::parse(snap)).collect::<Result<_, _>>()?;
        Ok(parameters)
    }

    fn cache(&self) -> CacheMount {
        if self.no_cache { CacheMount::Leave } else { CacheMount::Mount }
    }

    fn executor(&self, host: &Host, deadline: Deadline) -> Result<Box<dyn Executor>, CliError> {
        match (&self.ssh, &self.key, &self.host_key) {
            (Some(place), Some(key), Some(host_key)) => self.connect(host, place, key, host_key, deadline),
            _ if self.local => Ok(Box::new(LocalExecutor)),
            _ => Err(CliError::Usage("use either --ssh USER@HOST or --local".into())),
        }
    }

    /// Two that set up one machine at the same time would make a heap of it.
    fn alone(&self, host: &Host) -> Result<Exclusive, CliError> {
        let place = self.ssh.as_ref().map_or("local", |(_, address)| address);
        let failed = |error: FileError| CliError::Failed(error.to_string());
        host.private_dir(&host.run_dir()).map_err(failed)?;
        let lock = host.run_dir().join(format!("{}.lock", file_name(place)));
        let taken = || {
            CliError::Failed(format!("another dispatch instance is running on {place}; wait until it ends"))
        };
        Exclusive::try_acquire(&lock).map_err(failed)?.ok_or_else(taken)
    }

    fn connect(
        &self,
        host: &Host,
        (user, address): &(String, String),
        key: &Path,
        known: &Path,
        deadline: Deadline,
    ) -> Result<Box<dyn Executor>, CliError> {
        let target = SshTarget {
            name: address.clone(),
            address: address.clone(),
            user: user.clone(),
            key: Secret::new(read(host, key)?),
            host_key: host_key(&read(host, known)?)?,
            options: self.ssh_options.clone(),
        };
        // Always the same for a machine: one that died without clearing up is cleared up after by the next.
        let folder = host.run_dir().join(format!("ssh-{}", file_name(address)));
        Ok(Box::new(SshExecutor::connect(host, target, folder, deadline)?))
    }
}

/// An address as part of a file's name.
fn file_name(address: &str) -> String {
    let plain = |sign: char| if sign.is_ascii_alphanumeric() || ".-".contains(sign) { sign } else { '_' };
    format!("instance-{}", address.chars().map(plain).collect::<String>())
}

/// A file that the caller names, wherever it lies.
fn read(host: &Host, path: &Path) -> Result<String, CliError> {
    let failed = |problem: String| CliError::Failed(problem);
    let bytes = host.read(path).map_err(|error| failed(error.to_string()))?;
    let bytes = bytes.ok_or_else(|| failed(format!("{} does not exist", path.display())))?;
    String::from_utf8(bytes).map_err(|_| failed(format!("{} is not a text file", path.display())))
}

/// The key in a line of a `.pub` or known_hosts file: `ssh-ed25519 AAAA...`.
fn host_key(text: &str) -> Result<String, CliError> {
    let mut words = text.split_whitespace().skip_while(|word| *word != "ssh-ed25519");
    match (words.next(), words.next()) {
        (Some(kind), Some(key)) => Ok(format!("{kind} {key}")),
        _ => Err(CliError::Usage("--host-key: the file has no ssh-ed25519 key".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Arguments, Command};

    /// What `dispatch instance setup WORDS` says and does.
    fn refused(words: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::below(folder.path());
        let words = ["dispatch", "instance", "setup"].into_iter().chain(words.split(' '));
        match Arguments::parse_from(words.map(Into::into)).map(|arguments| arguments.command) {
            Err(error) => error.to_string(),
            Ok(Command::Instance { operation, options }) => {
                instance(&host, operation, &options, &|_| ()).unwrap_err().to_string()
            }
            Ok(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_before_anything_is_touched() {
        for (words, problem) in [
            ("--alias", "a value is required for '--alias <RELEASE>'"),
            ("--local", "--alias <RELEASE>"),
            ("--alias questing --local", "one of xenial"),
            ("--alias noble", "--ssh <USER@HOST>"),
            ("--alias noble --local=false", "either --ssh USER@HOST or --local"),
            ("--alias noble --local --ssh a@b --key k --host-key h", "cannot be used with"),
            ("--alias noble --ssh b", "must be USER@HOST"),
            ("--alias noble --ssh a@-oProxyCommand=id", "must be USER@HOST"),
            ("--alias noble --ssh a@b", "--key <FILE>"),
            ("--alias noble --alias noble", "cannot be used multiple times"),
            ("--alias noble --local --timeout 0", "invalid timeout value 0"),
            ("--alias noble --local --timeout -1", "invalid timeout value -1"),
            ("--alias noble --local --timeout soon", "seconds, or none"),
            ("--alias noble --local --hostname ...", "invalid hostname"),
            ("--alias noble --local --snap jq", "use a channel of the store"),
            ("--alias noble --local --environment A", "NAME=VALUE"),
            ("--verbose", "unexpected argument '--verbose'"),
        ] {
            let said = refused(words);
            assert!(said.contains(problem), "{words:?}: {said}");
        }
    }

    #[test]
    fn a_host_key_is_found_in_every_file_that_ssh_writes() {
        for text in
            ["ssh-ed25519 AAAA\n", "ssh-ed25519 AAAA root@host\n", "|1|x= ssh-rsa B\nhost ssh-ed25519 AAAA\n"]
        {
            assert_eq!(host_key(text).unwrap(), "ssh-ed25519 AAAA");
        }
        assert!(host_key("ssh-rsa AAAA").is_err());
    }
}
