//! The keys: a private one, which never shows itself, and public ones, each named by the digest of its DER.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::model::{Secret, hex};

/// What stands before the 32 bytes of an ed25519 key in DER: PKCS#8, version 1, which OpenSSL reads, too (RFC 8410).
const PRIVATE: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
/// The same of a public key: SubjectPublicKeyInfo.
const PUBLIC: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// The number of bytes of a key.
const LENGTH: usize = 32;

/// A key cannot be made or read. No variant holds any of it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum KeyError {
    /// The kernel gives no random numbers.
    #[error("making a key: the kernel gave no random numbers")]
    Random,
    /// It is no private key.
    #[error("reading the private key: it is not an ed25519 key in PKCS#8 and PEM")]
    Private,
    /// The PEM is broken.
    #[error("reading the public key: it is not PEM")]
    Pem,
    /// There is no public key.
    #[error("reading the public key: there is no block PUBLIC KEY; give the PEM that show-public-key prints")]
    Absent,
    /// A public key is of another kind.
    #[error("reading the public key: number {0} is not an ed25519 key")]
    Kind(usize),
}

/// A private key.
#[derive(Debug)]
pub struct SigningKey {
    pair: Ed25519KeyPair,
    pem: Secret<String>,
}

impl SigningKey {
    /// A new key.
    pub fn generate() -> Result<Self, KeyError> {
        let mut seed = [0; LENGTH];
        SystemRandom::new().fill(&mut seed).map_err(|_| KeyError::Random)?;
        Self::from_pem(&Secret::new(block("PRIVATE KEY", &[&PRIVATE[..], &seed].concat())))
    }

    /// The key of a PEM block `PRIVATE KEY`.
    pub fn from_pem(pem: &Secret<String>) -> Result<Self, KeyError> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.expose().as_bytes());
        let der = der.map_err(|_| KeyError::Private)?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der());
        Ok(Self { pair: pair.map_err(|_| KeyError::Private)?, pem: pem.clone() })
    }

    /// The key as PEM.
    pub fn pem(&self) -> &Secret<String> {
        &self.pem
    }

    /// What verifies its signatures.
    pub fn public(&self) -> PublicKey {
        let mut key = [0; LENGTH];
        // That is how long it is.
        key.iter_mut().zip(self.pair.public_key().as_ref()).for_each(|(to, from)| *to = *from);
        PublicKey(key)
    }

    /// The signature of `bytes`.
    pub(super) fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        self.pair.sign(bytes).as_ref().to_vec()
    }
}

/// A public key. Serialises as PEM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey([u8; LENGTH]);

impl PublicKey {
    /// The keys of all PEM blocks `PUBLIC KEY` in `text`, at least one.
    pub fn parse_all(text: &[u8]) -> Result<Vec<Self>, KeyError> {
        let blocks = SubjectPublicKeyInfoDer::pem_slice_iter(text);
        let keys = blocks.enumerate().map(|(index, der)| {
            let der = der.map_err(|_| KeyError::Pem)?;
            let key = der.as_ref().strip_prefix(&PUBLIC).and_then(|key| key.try_into().ok());
            key.map(Self).ok_or(KeyError::Kind(index + 1))
        });
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() { Err(KeyError::Absent) } else { Ok(keys) }
    }

    /// Its name: the SHA-256 of its DER, in hexadecimal.
    pub fn id(&self) -> String {
        hex(&Sha256::digest(self.der()))
    }

    /// Whether `signature` is this key's for `bytes`.
    pub(super) fn verifies(&self, bytes: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(bytes, signature).is_ok()
    }

    fn der(&self) -> Vec<u8> {
        [&PUBLIC[..], &self.0].concat()
    }
}

/// As PEM.
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&block("PUBLIC KEY", &self.der()))
    }
}

impl TryFrom<String> for PublicKey {
    type Error = KeyError;

    fn try_from(pem: String) -> Result<Self, KeyError> {
        Self::parse_all(pem.as_bytes())?.into_iter().next().ok_or(KeyError::Absent)
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        key.to_string()
    }
}

/// `keys` as one PEM text.
pub fn pem(keys: &[PublicKey]) -> String {
    keys.iter().map(ToString::to_string).collect()
}

/// A PEM block: what ours hold fits on one line.
fn block(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", BASE64_STANDARD.encode(der))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 8410: its private key, and the public key that belongs to it.
    const PRIVATE_KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
                               MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
                               -----END PRIVATE KEY-----\n";
    const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----\n\
                              MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
                              -----END PUBLIC KEY-----\n";

    #[test]
    fn keys_are_written_as_the_rfc_has_them() {
        let key = SigningKey::from_pem(&Secret::new(PRIVATE_KEY.to_owned())).unwrap();
        assert_eq!(key.public().to_string(), PUBLIC_KEY);
        assert_eq!(PublicKey::parse_all(PUBLIC_KEY.as_bytes()).unwrap(), [key.public()]);
        let json = serde_json::to_string(&key.public()).unwrap();
        assert_eq!(serde_json::from_str::<PublicKey>(&json).unwrap(), key.public());
    }

    #[test]
    fn a_new_key_is_another_each_time_and_is_read_back() {
        let (one, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        assert_ne!(one.public(), other.public());
        let again = SigningKey::from_pem(one.pem()).unwrap();
        assert_eq!(again.public(), one.public());
        assert!(one.public().verifies(b"x", &again.sign(b"x")));
        assert!(!other.public().verifies(b"x", &again.sign(b"x")));
        let text = pem(&[one.public(), other.public()]);
        assert_eq!(PublicKey::parse_all(text.as_bytes()).unwrap(), [one.public(), other.public()]);
        let secret = one.pem().expose().lines().nth(1).unwrap();
        assert!(!format!("{one:?}").contains(secret));
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_quoted() {
        let ecdsa = block("PUBLIC KEY", &[0x30; 44]);
        for (text, expected) in [
            ("", "there is no block PUBLIC KEY"),
            (PRIVATE_KEY, "there is no block PUBLIC KEY"),
            ("-----BEGIN PUBLIC KEY-----\nMCow", "it is not PEM"),
            (&format!("{PUBLIC_KEY}{ecdsa}"), "number 2 is not an ed25519 key"),
        ] {
            let error = PublicKey::parse_all(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        for text in ["", "hunter2", PUBLIC_KEY, &PRIVATE_KEY.replace("MC4C", "MC4D")] {
            let error = SigningKey::from_pem(&Secret::new(text.to_owned())).unwrap_err();
            assert!(matches!(error, KeyError::Private), "{error}");
        }
    }
}
