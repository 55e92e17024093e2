//! What the last hook has learned from Juju and told it, so that the next one asks only for what its event is about. It holds no
//! secret: how a relation's cloud is reached stands in clouds.yaml.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::host::{FileError, Host};
use crate::model::Timestamp;
use crate::record::file::{RecordError, read_json_or_default, write_json};
use crate::record::run_config::CloudName;

const FILE: &str = "last-hook.json";

/// How long it is relied on before everything is read again.
const AGE: Duration = Duration::from_secs(3600);

/// What a relation's other side has said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Heard {
    /// A cloud, which stands in clouds.yaml under this name.
    Cloud {
        /// The name.
        name: CloudName,
        /// The related application, where it is known.
        application: Option<String>,
        /// A digest of what stands there.
        digest: String,
    },
    /// Something that cannot be one, and why.
    Refused(String),
    /// Not all that is needed.
    Incomplete,
}

/// What one hook leaves to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastHook {
    /// When all relations were read.
    pub read: Option<Timestamp>,
    /// A digest of what relations inherit from the build cloud.
    #[serde(default)]
    pub inherited: String,
    /// What each image relation has said.
    #[serde(default)]
    pub relations: BTreeMap<String, Heard>,
    /// The status that Juju shows: its name and its message.
    #[serde(default)]
    pub status: Option<(String, String)>,
}

impl LastHook {
    /// As the last hook has left it; nothing where that is not understood.
    pub fn load(host: &Host) -> Result<Self, FileError> {
        read_json_or_default(host, FILE)
    }

    /// Leaves it to the next hook.
    pub fn save(&self, host: &Host) -> Result<(), RecordError> {
        write_json(host, FILE, self)
    }

    /// Lets the next hook read everything: this one may have passed over what it was called for.
    pub fn forget(host: &Host) -> Result<(), FileError> {
        host.remove_file(&host.state_dir().join(FILE))
    }

    /// Whether everything was read within the last hour.
    pub fn is_fresh(&self) -> bool {
        self.read.is_some_and(|read| read <= Timestamp::now() && read.age() < AGE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_found_and_what_is_not_understood_is_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path());
        host.private_dir(&host.state_dir()).unwrap();
        assert_eq!(LastHook::load(&host).unwrap(), LastHook::default());
        let left = LastHook {
            read: Some(Timestamp::now()),
            inherited: "d".into(),
            relations: BTreeMap::from([
                (
                    "image:1".into(),
                    Heard::Cloud { name: CloudName::new("p"), application: None, digest: "d".into() },
                ),
                ("image:2".into(), Heard::Refused("no".into())),
                ("image:3".into(), Heard::Incomplete),
            ]),
            status: Some(("active".into(), "1 h old".into())),
        };
        left.save(&host).unwrap();
        assert_eq!(LastHook::load(&host).unwrap(), left);
        assert!(left.is_fresh());
        host.write(&host.state_dir().join(FILE), b"[", 0o600).unwrap();
        assert_eq!(LastHook::load(&host).unwrap(), LastHook::default());
        LastHook::forget(&host).unwrap();
        LastHook::forget(&host).unwrap();
    }

    #[test]
    fn after_an_hour_and_after_a_clock_was_set_back_it_is_not_relied_on() {
        let at = |seconds: u64| LastHook { read: Some(Timestamp(seconds)), ..LastHook::default() };
        let now = Timestamp::now().0;
        assert!(at(now - 60).is_fresh());
        assert!(!at(now - 3601).is_fresh() && !at(now + 600).is_fresh() && !LastHook::default().is_fresh());
    }
}
