//! By what machines are told apart: two machines of one image must not share any of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use sha2::{Digest, Sha256};

use crate::instance::{Command, Executor, ExecutorError};
use crate::model::{Deadline, hex};

/// The identity of the machine that a snapshot was taken of.
const IDENTITY: &str = "runner_image_builder_origin";
/// Its units that had failed before anything was installed.
const FAILED_UNITS: &str = "runner_image_builder_failed_units";

/// What is known of the machine that an image was made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// What no machine of the image may share.
    pub identity: Identity,
    /// The units, separated by blanks, that had failed before anything was installed: they say nothing of the image.
    pub failed_units: String,
}

impl Origin {
    /// The labels that tell of it.
    pub fn labels(&self) -> BTreeMap<String, String> {
        let failed = (FAILED_UNITS.to_owned(), self.failed_units.clone());
        let failed = Some(failed).filter(|(_, units)| !units.is_empty());
        [(IDENTITY.to_owned(), self.identity.to_string())].into_iter().chain(failed).collect()
    }

    /// What the labels of a snapshot tell.
    pub fn of_labels(labels: &BTreeMap<String, String>) -> Self {
        let identity = labels.get(IDENTITY).map(|known| Identity::of_label(known)).unwrap_or_default();
        Self { identity, failed_units: labels.get(FAILED_UNITS).cloned().unwrap_or_default() }
    }
}

/// What a machine, and nobody else, should have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    machine_id: String,
    /// Kind and digest of each.
    host_keys: BTreeSet<String>,
}

/// As a label, which may not be longer than 255 bytes.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.machine_id)?;
        self.host_keys.iter().try_for_each(|key| write!(f, " {key}"))
    }
}

impl Identity {
    /// The identity of a machine that runs.
    pub fn of(executor: &dyn Executor, deadline: Deadline) -> Result<Self, ExecutorError> {
        let script = "cat /etc/machine-id; for key in /etc/ssh/ssh_host_*_key.pub; do
                          [ ! -e \"$key\" ] || cat \"$key\"
                      done";
        let output = executor.run(Command::shell(script), deadline)?;
        Ok(Self::parse(&String::from_utf8_lossy(&output.stdout)))
    }

    /// The identity that a label tells.
    pub fn of_label(label: &str) -> Self {
        let mut words = label.split(' ').map(str::to_owned);
        Self { machine_id: words.next().unwrap_or_default(), host_keys: words.collect() }
    }

    fn parse(text: &str) -> Self {
        let (machine_id, keys) = text.split_once('\n').unwrap_or((text, ""));
        let key = |line: &str| {
            let (kind, key) = line.trim().split_once(' ')?;
            // Without the comment.
            let digest = hex(&Sha256::digest(key.split(' ').next()?));
            Some(format!("{kind}:{}", &digest[..16]))
        };
        let host_keys = keys.lines().filter_map(key).collect();
        Self { machine_id: machine_id.trim().to_owned(), host_keys }
    }

    /// Why a machine with this identity is not one of its own, beside the one that its image was made of.
    pub fn problem(&self, origin: &Self) -> Option<String> {
        let is_id =
            self.machine_id.len() == 32 && self.machine_id.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_id {
            return Some(format!("its machine-id is {:?}", self.machine_id));
        }
        if self.machine_id == origin.machine_id {
            return Some("its machine-id is that of the builder".to_owned());
        }
        if self.host_keys.is_empty() {
            return Some("it has no ssh host keys".to_owned());
        }
        let shared = self.host_keys.intersection(&origin.host_keys).next()?;
        let kind = shared.split(':').next().unwrap_or_default();
        Some(format!("its {kind} host key is that of the builder"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUILDER: &str =
        "0123456789abcdef0123456789abcdef\nssh-ed25519 AAAA1 root@builder\nssh-rsa AAAA2 x\n";

    #[track_caller]
    fn problem(text: &str) -> Option<String> {
        Identity::parse(text).problem(&Identity::parse(BUILDER))
    }

    #[test]
    fn a_machine_with_an_id_and_keys_of_its_own_is_fresh() {
        assert_eq!(problem("fedcba9876543210fedcba9876543210\nssh-ed25519 AAAA3 root@vm\n"), None);
        let unknown = Identity::default();
        assert_eq!(
            Identity::parse(BUILDER).problem(&unknown),
            None,
            "an image that no machine was made into"
        );
    }

    #[test]
    fn a_label_tells_the_identity() {
        let builder = Identity::parse(BUILDER);
        assert_eq!(Identity::of_label(&builder.to_string()), builder);
        assert!(builder.to_string().len() < 150, "two keys of at most three");
    }

    #[test]
    fn what_it_shares_with_its_builder_is_named() {
        for (text, words) in [
            ("0123456789abcdef0123456789abcdef\nssh-rsa AAAA3\n", "machine-id is that of the builder"),
            (
                "fedcba9876543210fedcba9876543210\nssh-rsa AAAA2 other\n",
                "ssh-rsa host key is that of the builder",
            ),
            ("uninitialized\nssh-rsa AAAA3\n", "machine-id is \"uninitialized\""),
            ("fedcba9876543210fedcba9876543210\n", "no ssh host keys"),
        ] {
            let found = problem(text).unwrap_or_default();
            assert!(found.contains(words), "{found}");
        }
    }
}
