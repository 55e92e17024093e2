//! Servers through which people may look into a job while it runs (tmate).

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Where such a server listens when nothing else is said.
const PORT: u16 = 10022;

/// One such server (seed `openstack_manager`: `SSHDebugConnection`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SshDebugConnection {
    /// Its address.
    pub host: IpAddr,
    /// Its port.
    #[serde(default = "port")]
    pub port: u16,
    /// The fingerprint of its RSA host key, `SHA256:...`.
    pub rsa_fingerprint: Fingerprint,
    /// The fingerprint of its Ed25519 host key, `SHA256:...`.
    pub ed25519_fingerprint: Fingerprint,
}

fn port() -> u16 {
    PORT
}

/// The fingerprint of a host key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint(String);

impl Fingerprint {
    /// As `ssh-keygen -l` writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.0
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let is_base64 = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
        match text.strip_prefix("SHA256:") {
            Some(digest) if !digest.is_empty() && digest.chars().all(is_base64) => Ok(Self(text)),
            _ => Err("a fingerprint must look like SHA256:..."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_an_address_and_two_fingerprints() {
        let read = |port: &str, fingerprint: &str| {
            serde_json::from_str::<SshDebugConnection>(&format!(
                r#"{{"host": "10.0.0.9", {port} "rsa_fingerprint": "{fingerprint}", "ed25519_fingerprint": "SHA256:b+/="}}"#
            ))
        };
        assert_eq!(read("", "SHA256:a").unwrap().port, 10022);
        assert_eq!(read("\"port\": 22,", "SHA256:a").unwrap().port, 22);
        for wrong in ["a", "SHA256:", "SHA256:a b", "MD5:a", "SHA256:a\\nX=1"] {
            assert!(read("", wrong).is_err(), "{wrong}");
        }
        assert!(read("\"port\": 70000,", "SHA256:a").is_err());
        assert!(read("\"extra\": 1,", "SHA256:a").is_err());
    }
}
