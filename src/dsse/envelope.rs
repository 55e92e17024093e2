//! An envelope: a payload, its type, and signatures of both. Nothing of a payload is looked at before a signature holds.

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE};
use serde::{Deserialize, Serialize};

use super::keys::{PublicKey, SigningKey};

/// How many signatures of one envelope are looked at: each costs time, whoever has written it.
const SIGNATURES: usize = 16;

/// An envelope says nothing that can be relied on.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// It is no envelope.
    #[error("it is not a DSSE envelope: {0}")]
    Form(String),
    /// Its payload or a signature is not base64.
    #[error("it is not a DSSE envelope: its {0} is not base64")]
    Base64(&'static str),
    /// There is something else in it.
    #[error("its payload type is {found:?}, not {wanted:?}")]
    Type {
        /// The type that it has.
        found: String,
        /// The type that was asked for.
        wanted: &'static str,
    },
    /// Nobody has signed it.
    #[error("nobody has signed it")]
    Unsigned,
    /// None of the keys has signed it.
    #[error("its signature is by none of the {keys} public keys: {}", signers(known))]
    Foreign {
        /// How many keys there are.
        keys: usize,
        /// The ids of the keys that it names.
        known: Vec<String>,
    },
}

fn signers(known: &[String]) -> String {
    match known {
        [] => "it names no key".to_owned(),
        known => format!("it names key {}", known.join(", ")),
    }
}

/// The envelope, as JSON has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<Signature>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Signature {
    /// A hint, which nothing relies on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keyid: Option<String>,
    sig: String,
}

/// What was in an envelope, and which key has signed it.
#[derive(Debug)]
pub struct Opened<'a> {
    /// The payload.
    pub payload: Vec<u8>,
    /// The key.
    pub key: &'a PublicKey,
}

impl Envelope {
    /// `payload` of the type `payload_type`, signed with `key`.
    pub fn sign(key: &SigningKey, payload_type: &str, payload: &[u8]) -> Self {
        let sig = BASE64_STANDARD.encode(key.sign(&pae(payload_type, payload)));
        Self {
            payload: BASE64_STANDARD.encode(payload),
            payload_type: payload_type.to_owned(),
            signatures: vec![Signature { keyid: Some(key.public().id()), sig }],
        }
    }

    /// The envelope of a JSON text.
    pub fn parse(text: &[u8]) -> Result<Self, EnvelopeError> {
        serde_json::from_slice(text).map_err(|error| EnvelopeError::Form(error.to_string()))
    }

    /// Whether it says that one of `keys` has signed it.
    pub fn names_one_of(&self, keys: &[PublicKey]) -> bool {
        let ids: Vec<String> = keys.iter().map(PublicKey::id).collect();
        self.signatures.iter().flat_map(|signature| &signature.keyid).any(|id| ids.contains(id))
    }

    /// Its payload, if it is of the type `wanted` and one of `keys` has signed it.
    pub fn open<'a>(&self, wanted: &'static str, keys: &'a [PublicKey]) -> Result<Opened<'a>, EnvelopeError> {
        if self.payload_type != wanted {
            return Err(EnvelopeError::Type { found: self.payload_type.clone(), wanted });
        }
        if self.signatures.is_empty() {
            return Err(EnvelopeError::Unsigned);
        }
        let payload = decoded(&self.payload).ok_or(EnvelopeError::Base64("payload"))?;
        let signed = pae(&self.payload_type, &payload);
        let signatures = || self.signatures.iter().take(SIGNATURES);
        // One of somebody else that makes no sense says nothing of the others.
        let decodable: Vec<Vec<u8>> = signatures().filter_map(|signature| decoded(&signature.sig)).collect();
        if decodable.is_empty() {
            return Err(EnvelopeError::Base64("signature"));
        }
        for sig in decodable {
            if let Some(key) = keys.iter().find(|key| key.verifies(&signed, &sig)) {
                return Ok(Opened { payload, key });
            }
        }
        let known = signatures().flat_map(|signature| signature.keyid.clone()).collect();
        Err(EnvelopeError::Foreign { keys: keys.len(), known })
    }
}

/// Both alphabets are allowed.
fn decoded(text: &str) -> Option<Vec<u8>> {
    BASE64_STANDARD.decode(text).or_else(|_| BASE64_URL_SAFE.decode(text)).ok()
}

/// What is signed: type and payload, each behind its length, so that neither can be read as part of the other (DSSE's
/// pre-authentication encoding).
fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend(payload);
    bytes
}

#[cfg(test)]
mod tests {
    use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    use super::*;

    const TYPE: &str = "application/vnd.in-toto+json";

    /// The test vector of DSSE's protocol.md: what is signed, and its ECDSA signature.
    #[test]
    fn what_is_signed_is_what_the_specification_says() {
        let vector = r#"{"payload": "aGVsbG8gd29ybGQ=", "payloadType": "http://example.com/HelloWorld", "signatures": [
            {"sig": "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA=="}]}"#;
        let envelope = Envelope::parse(vector.as_bytes()).unwrap();
        let payload = decoded(&envelope.payload).unwrap();
        let signed = pae(&envelope.payload_type, &payload);
        assert_eq!(signed, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
        let point = "04\
                     67cd390f77aa359cb08c2235f652270493a9ed832b0abcc01f70954c0390d238\
                     0c782bd54e269125a44f4433aff1432ce94e12bca73aa67ac80cea12608ddf74";
        let point: Vec<u8> = (0..point.len() / 2)
            .map(|at| u8::from_str_radix(&point[2 * at..2 * at + 2], 16).unwrap())
            .collect();
        let signature = decoded(&envelope.signatures[0].sig).unwrap();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(&signed, &signature).unwrap();
        // It is of another type, and signed with a key of another kind.
        let keys = [SigningKey::generate().unwrap().public()];
        let refused = envelope.open(TYPE, &keys).unwrap_err().to_string();
        assert!(refused.contains("\"http://example.com/HelloWorld\""), "{refused}");
        let refused = envelope.open("http://example.com/HelloWorld", &keys).unwrap_err();
        assert!(refused.to_string().ends_with("none of the 1 public keys: it names no key"), "{refused}");
    }

    #[test]
    fn only_what_one_of_the_keys_has_signed_is_opened() {
        let (key, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let keys = [other.public(), key.public()];
        let envelope = Envelope::sign(&key, TYPE, b"{}");
        let text = serde_json::to_vec(&envelope).unwrap();
        assert_eq!(Envelope::parse(&text).unwrap(), envelope);
        let opened = envelope.open(TYPE, &keys).unwrap();
        assert_eq!((opened.payload.as_slice(), opened.key), (&b"{}"[..], &key.public()));
        assert!(envelope.names_one_of(&keys) && !envelope.names_one_of(&keys[..1]));

        let refused = |envelope: &Envelope| envelope.open(TYPE, &keys).unwrap_err().to_string();
        let foreign = envelope.open(TYPE, &keys[..1]).unwrap_err().to_string();
        assert!(foreign.contains(&key.public().id()), "{foreign}");
        // The id of a key is a hint and no proof.
        let mut lying = Envelope::sign(&SigningKey::generate().unwrap(), TYPE, b"{}");
        lying.signatures[0].keyid = Some(key.public().id());
        assert!(refused(&lying).starts_with("its signature is by none of the 2 public keys"));
        let changed = Envelope { payload: BASE64_STANDARD.encode(b"{} "), ..envelope.clone() };
        assert!(refused(&changed).starts_with("its signature is by none"));
        let unsigned = Envelope { signatures: Vec::new(), ..envelope.clone() };
        assert_eq!(refused(&unsigned), "nobody has signed it");
        let broken = Envelope { payload: "%".into(), ..envelope.clone() };
        assert!(refused(&broken).ends_with("its payload is not base64"));
        // Of several signatures one is enough, and its key's id need not be known.
        let mut several = envelope.clone();
        several.signatures.insert(0, lying.signatures[0].clone());
        several.signatures[1].keyid = None;
        assert_eq!(several.open(TYPE, &keys).unwrap().key, &key.public());
    }

    #[test]
    fn whatever_comes_in_is_an_envelope_or_an_error() {
        let key = SigningKey::generate().unwrap();
        let whole = serde_json::to_vec(&Envelope::sign(&key, TYPE, b"{\"subject\": []}")).unwrap();
        let (keys, mut random) = ([key.public()], crate::testing::Random::seeded(0xd55e));
        for _ in 0..2000 {
            let damaged = random.damaged(&whole);
            let opened = Envelope::parse(&damaged)
                .ok()
                .and_then(|envelope| Some(envelope.open(TYPE, &keys).ok()?.payload));
            assert!(opened.is_none_or(|payload| payload == b"{\"subject\": []}"));
        }
    }
}
