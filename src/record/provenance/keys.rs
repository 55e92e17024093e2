//! Which key signs, and which have: `signing-keys.json`, written by hooks. The private key itself is in a secret of the
//! application, and nowhere here. The leader tells the other units, so that all publish the same public keys and whoever
//! leads next has the same key.

use serde::{Deserialize, Serialize};

use crate::dsse::{PublicKey, pem};
use crate::host::{FileError, Host};
use crate::model::Timestamp;
use crate::record::file::{RecordError, read_json_or_default, write_json};

const FILE: &str = "signing-keys.json";
/// How many public keys are told: what older keys have signed is signed anew.
const MANY: usize = 8;

/// The keys of the application, as this unit knows them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningKeys {
    /// The secret that holds the private key, by its URI, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// Whether Juju has been seen to have it: what a failing hook adds is dropped.
    #[serde(default)]
    pub confirmed: bool,
    /// The public keys, the newest first.
    #[serde(default)]
    pub public_keys: Vec<PublicKey>,
    /// Why builds are not signed, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// How often it was tried in vain to make a key.
    #[serde(default)]
    pub tries: u32,
    /// When it was last tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tried: Option<Timestamp>,
}

/// What the leader tells the other units.
#[derive(Deserialize, Serialize)]
struct Told {
    secret: String,
    public_keys: Vec<PublicKey>,
}

impl SigningKeys {
    /// As the last hook left it; nothing when the file is gone or not understood: Juju and the leader can be asked again.
    pub fn load(host: &Host) -> Result<Self, FileError> {
        read_json_or_default(host, FILE)
    }

    /// Keeps it.
    pub fn save(&self, host: &Host) -> Result<(), RecordError> {
        write_json(host, FILE, self)
    }

    /// `secret` holds the private key of `current`; `earlier` were before it, the newest first.
    pub fn hold(&mut self, secret: &str, current: PublicKey, earlier: impl IntoIterator<Item = PublicKey>) {
        let mut keys = vec![current];
        for key in earlier {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        keys.truncate(MANY);
        (self.secret, self.public_keys) = (Some(secret.to_owned()), keys);
        (self.problem, self.tries, self.tried) = (None, 0, None);
    }

    /// The public keys as one PEM text; none while there are none.
    pub fn pem(&self) -> Option<String> {
        (!self.public_keys.is_empty()).then(|| pem(&self.public_keys))
    }

    /// As another unit reads it; none while there is no key.
    pub fn told(&self) -> Option<String> {
        let told = Told { secret: self.secret.clone()?, public_keys: self.public_keys.clone() };
        // Texts always serialise.
        serde_json::to_string(&told).ok()
    }

    /// Keeps what the leader says, or the leader before this one has said: Juju has taken that over together with the
    /// secret.
    pub fn hear(host: &Host, text: &str) -> Result<(), RecordError> {
        let Ok(Told { secret, mut public_keys }) = serde_json::from_str(text) else { return Ok(()) };
        public_keys.truncate(MANY);
        let mut known = Self::load(host)?;
        if known.secret.as_deref() != Some(&secret) || known.public_keys != public_keys {
            known = Self { secret: Some(secret), public_keys, ..Self::default() };
        }
        Self { confirmed: true, ..known }.save(host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsse::SigningKey;

    fn key() -> PublicKey {
        SigningKey::generate().unwrap().public()
    }

    #[test]
    fn earlier_keys_stay_listed_and_not_for_ever() {
        let mut keys = SigningKeys { problem: Some("x".into()), ..SigningKeys::default() };
        let all: Vec<PublicKey> = (0..20).map(|_| key()).collect();
        for key in &all {
            let earlier = std::mem::take(&mut keys.public_keys);
            keys.hold("secret:a", key.clone(), earlier);
        }
        let newest: Vec<PublicKey> = all.iter().rev().take(MANY).cloned().collect();
        assert_eq!((&keys.public_keys, &keys.problem), (&newest, &None));
        // The current key is among what it has been before.
        keys.hold("secret:a", newest[0].clone(), newest.clone());
        assert_eq!(keys.public_keys, newest);
    }

    #[test]
    fn what_the_leader_tells_is_kept_and_what_makes_no_sense_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path());
        let mut leader = SigningKeys::default();
        assert_eq!((leader.told(), leader.pem()), (None, None));
        leader.hold("secret:a", key(), [key()]);
        SigningKeys::hear(&host, &leader.told().unwrap()).unwrap();
        let heard = SigningKeys::load(&host).unwrap();
        assert_eq!(heard, SigningKeys { confirmed: true, ..leader.clone() });
        // What this unit knows of it besides stays.
        SigningKeys { problem: Some("lost".into()), ..heard.clone() }.save(&host).unwrap();
        SigningKeys::hear(&host, &leader.told().unwrap()).unwrap();
        assert_eq!(SigningKeys::load(&host).unwrap().problem.as_deref(), Some("lost"));
        leader.hold("secret:b", key(), leader.public_keys.clone());
        SigningKeys::hear(&host, &leader.told().unwrap()).unwrap();
        assert_eq!(SigningKeys::load(&host).unwrap(), SigningKeys { confirmed: true, ..leader });
        for text in ["", "{}", "[]", r#"{"secret": "secret:c", "public_keys": ["x"]}"#] {
            SigningKeys::hear(&host, text).unwrap();
            assert_eq!(SigningKeys::load(&host).unwrap().secret.as_deref(), Some("secret:b"), "{text}");
        }
    }
}
