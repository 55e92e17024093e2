//! `dispatch instance`: makes a machine a builder, as craft-providers' `BuilddBase` does, over ssh or here.

use std::collections::BTreeMap;

use super::CliError;
use crate::host::{Exclusive, FileError, Host};
use crate::instance::{
    Base, BaseParameters, BuilddBase, BuilddBaseAlias, CacheMount, Executor, LocalExecutor, Snap,
    SshExecutor, SshTarget, Timeout, setup, warmup,
};
use crate::model::{Deadline, Secret};

/// The options that take a value; those of [`SEVERAL`] may be given again.
const VALUES: [&str; 13] = [
    "--alias",
    "--cache-path",
    "--environment",
    "--host-key",
    "--hostname",
    "--key",
    "--package",
    "--snap",
    "--ssh",
    "--ssh-option",
    "--tag",
    "--timeout",
    "--unset",
];
const SEVERAL: [&str; 5] = ["--environment", "--package", "--snap", "--ssh-option", "--unset"];
const FLAGS: [&str; 3] = ["--local", "--no-cache", "--no-default-packages"];

/// `dispatch instance setup|warmup|wait OPTION...`: does that with a machine, and tells of each step.
pub fn instance(host: &Host, operation: &str, words: &[&str], say: &dyn Fn(&str)) -> Result<(), CliError> {
    let words = Words::parse(words)?;
    let base = BuilddBase::new(host, words.parameters()?)?;
    let timeout = words.timeout()?;
    let deadline = match timeout {
        Timeout::Until(deadline) => deadline,
        Timeout::Unlimited => Deadline::never(),
    };
    let _alone = words.alone(host)?;
    let executor = words.executor(host, deadline)?;
    let progress = |step: &'static str, number, of| say(&format!("{step}, {number} of {of}"));
    match operation {
        "setup" => setup(&base, &*executor, timeout, words.cache(), &progress)?,
        "warmup" => warmup(&base, &*executor, timeout, &progress)?,
        "wait" => base.wait_until_ready(&*executor, deadline)?,
        other => return Err(usage(format!("{other:?} is none of setup, warmup and wait"))),
    }
    Ok(())
}

fn usage(problem: String) -> CliError {
    CliError::Usage(problem)
}

/// What was said on the command line.
struct Words<'a> {
    values: BTreeMap<&'a str, Vec<&'a str>>,
    flags: Vec<&'a str>,
}

impl<'a> Words<'a> {
    fn parse(words: &[&'a str]) -> Result<Self, CliError> {
        let (mut values, mut flags) = (BTreeMap::<&str, Vec<&str>>::new(), Vec::new());
        let mut words = words.iter().copied();
        while let Some(word) = words.next() {
            if FLAGS.contains(&word) {
                flags.push(word);
            } else if VALUES.contains(&word) {
                let value = words.next().ok_or_else(|| usage(format!("{word} needs a value")))?;
                let given = values.entry(word).or_default();
                if !given.is_empty() && !SEVERAL.contains(&word) {
                    return Err(usage(format!("{word} is given twice")));
                }
                given.push(value);
            } else {
                return Err(usage(format!("{word:?} is not known")));
            }
        }
        Ok(Self { values, flags })
    }

    fn one(&self, option: &str) -> Option<&'a str> {
        self.several(option).first().copied()
    }

    fn several(&self, option: &str) -> &[&'a str] {
        self.values.get(option).map_or(&[], Vec::as_slice)
    }

    fn needed(&self, option: &str) -> Result<&'a str, CliError> {
        self.one(option).ok_or_else(|| usage(format!("{option} is missing")))
    }

    fn parameters(&self) -> Result<BaseParameters, CliError> {
        let alias = self.needed("--alias")?;
        let known = BuilddBaseAlias::parse(alias).ok_or_else(|| {
            let all = BuilddBaseAlias::ALL.map(BuilddBaseAlias::as_str).join(", ");
            usage(format!(
                "--alias {alias}: it is none of {all}; other releases end on old-releases, which is not supported"
            ))
        })?;
        let mut parameters = BaseParameters::new(known);
        parameters.compatibility_tag = self.one("--tag").map(str::to_owned);
        if let Some(hostname) = self.one("--hostname") {
            parameters.hostname = hostname.to_owned();
        }
        parameters.packages = self.several("--package").iter().map(|name| (*name).to_owned()).collect();
        parameters.use_default_packages = !self.flags.contains(&"--no-default-packages");
        parameters.cache_path = self.one("--cache-path").map(Into::into);
        for variable in self.several("--environment") {
            let (name, value) = variable
                .split_once('=')
                .ok_or_else(|| usage(format!("--environment {variable}: it must be NAME=VALUE")))?;
            parameters.environment.insert(name.to_owned(), Some(Secret::new(value.to_owned())));
        }
        for name in self.several("--unset") {
            parameters.environment.insert((*name).to_owned(), None);
        }
        parameters.snaps =
            self.several("--snap").iter().map(|snap| Snap::parse(snap)).collect::<Result<_, _>>()?;
        Ok(parameters)
    }

    fn timeout(&self) -> Result<Timeout, CliError> {
        let seconds = match self.one("--timeout") {
            None => Some(Timeout::DEFAULT_SECONDS),
            Some("none") => None,
            Some(text) => Some(
                text.parse().map_err(|_| usage(format!("--timeout {text}: it must be seconds, or none")))?,
            ),
        };
        Ok(Timeout::seconds(seconds)?)
    }

    fn cache(&self) -> CacheMount {
        if self.flags.contains(&"--no-cache") { CacheMount::Leave } else { CacheMount::Mount }
    }

    fn executor(&self, host: &Host, deadline: Deadline) -> Result<Box<dyn Executor>, CliError> {
        match (self.one("--ssh"), self.flags.contains(&"--local")) {
            (None, true) => Ok(Box::new(LocalExecutor)),
            (Some(place), false) => self.connect(host, place, deadline),
            _ => Err(usage("say either --ssh USER@HOST or --local".into())),
        }
    }

    /// Two that set up one machine at the same time would make a heap of it.
    fn alone(&self, host: &Host) -> Result<Exclusive, CliError> {
        let place = self.one("--ssh").map_or("local", |place| place.rsplit('@').next().unwrap_or(place));
        let failed = |error: FileError| CliError::Failed(error.to_string());
        host.private_dir(&host.run_dir()).map_err(failed)?;
        let lock = host.run_dir().join(format!("{}.lock", file_name(place)));
        let taken =
            || CliError::Failed(format!("another dispatch instance is at work on {place}; wait for it"));
        Exclusive::try_acquire(&lock).map_err(failed)?.ok_or_else(taken)
    }

    fn connect(&self, host: &Host, place: &str, deadline: Deadline) -> Result<Box<dyn Executor>, CliError> {
        let (user, address) = place
            .split_once('@')
            .filter(|(user, address)| !user.is_empty() && !address.is_empty() && !address.starts_with('-'))
            .ok_or_else(|| usage(format!("--ssh {place}: it must be USER@HOST")))?;
        let target = SshTarget {
            name: address.to_owned(),
            address: address.to_owned(),
            user: user.to_owned(),
            key: Secret::new(read(host, self.needed("--key")?)?),
            host_key: host_key(&read(host, self.needed("--host-key")?)?)?,
            options: self.several("--ssh-option").iter().map(|option| (*option).to_owned()).collect(),
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
fn read(host: &Host, path: &str) -> Result<String, CliError> {
    let failed = |problem: String| CliError::Failed(problem);
    let bytes = host.read(path.as_ref()).map_err(|error| failed(error.to_string()))?;
    let bytes = bytes.ok_or_else(|| failed(format!("{path} does not exist")))?;
    String::from_utf8(bytes).map_err(|_| failed(format!("{path} is no text")))
}

/// The key in a line of a `.pub` or known_hosts file: `ssh-ed25519 AAAA...`.
fn host_key(text: &str) -> Result<String, CliError> {
    let mut words = text.split_whitespace().skip_while(|word| *word != "ssh-ed25519");
    match (words.next(), words.next()) {
        (Some(kind), Some(key)) => Ok(format!("{kind} {key}")),
        _ => Err(usage("--host-key: the file has no ssh-ed25519 key".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(words: &[&str]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::below(folder.path());
        instance(&host, "setup", words, &|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn what_makes_no_sense_is_refused_before_anything_is_touched() {
        for (words, problem) in [
            (&["--alias"][..], "--alias needs a value"),
            (&["--local"], "--alias is missing"),
            (&["--alias", "questing", "--local"], "none of xenial"),
            (&["--alias", "noble"], "either --ssh USER@HOST or --local"),
            (&["--alias", "noble", "--local", "--ssh", "a@b"], "either --ssh USER@HOST or --local"),
            (&["--alias", "noble", "--ssh", "b"], "must be USER@HOST"),
            (&["--alias", "noble", "--ssh", "a@-oProxyCommand=id"], "must be USER@HOST"),
            (&["--alias", "noble", "--ssh", "a@b"], "--key is missing"),
            (&["--alias", "noble", "--alias", "noble"], "--alias is given twice"),
            (&["--alias", "noble", "--local", "--timeout", "0"], "invalid timeout value 0"),
            (&["--alias", "noble", "--local", "--timeout", "soon"], "seconds, or none"),
            (&["--alias", "noble", "--local", "--hostname", "..."], "invalid hostname"),
            (&["--alias", "noble", "--local", "--snap", "jq"], "give a channel"),
            (&["--alias", "noble", "--local", "--environment", "A"], "NAME=VALUE"),
            (&["--verbose"], "is not known"),
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
