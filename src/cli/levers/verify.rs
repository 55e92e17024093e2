//! `dispatch verify`: whether an image has the bytes that a signed statement is about. Nothing but the files that are named is
//! believed or needed; `dispatch show-public-key` prints one of them.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::Sha512;

use crate::charm::why_no_key;
use crate::cli::CliError;
use crate::cli::arguments::{Format, Verify};
use crate::cli::terminal::show_progress;
use crate::dsse::{Envelope, PublicKey};
use crate::host::Host;
use crate::model::{Digesting, Metered, Timestamp};
use crate::record::{PAYLOAD_TYPE, PREDICATE_TYPE, STATEMENT_TYPE, SigningKeys};

/// What stands for standard input.
const STDIN: &str = "-";

/// A statement, as far as it is verified and told.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    #[serde(default)]
    subject: Vec<Subject>,
    predicate_type: String,
    #[serde(default)]
    predicate: Value,
}

/// What a statement is about.
#[derive(Deserialize)]
struct Subject {
    #[serde(default)]
    name: String,
    #[serde(default)]
    digest: BTreeMap<String, String>,
}

impl Subject {
    fn sha512(&self) -> Option<&str> {
        self.digest.get("sha512").map(String::as_str)
    }
}

/// What was verified.
#[derive(Debug, Serialize)]
struct Verified {
    /// The name of the image in the statement.
    subject: String,
    /// The SHA-512 of the image.
    sha512: String,
    /// The number of its bytes, where they were read.
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    /// The id of the key that has signed the statement.
    key_id: String,
    /// When the image was built, as the statement says.
    #[serde(skip_serializing_if = "Option::is_none")]
    built: Option<String>,
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, sha512, size, key_id, built } = self;
        writeln!(f, "verified: {subject}, sha512:{sha512}")?;
        match size {
            Some(size) => writeln!(f, "bytes: {size}, read and compared")?,
            None => writeln!(f, "bytes: not read; the digest was given")?,
        }
        built.iter().try_for_each(|built| writeln!(f, "built: {built}, by the statement"))?;
        write!(f, "signed by key {key_id}")
    }
}

/// Prints what was verified; fails with the reason where something does not belong together. The image, or the statement, is
/// read from `stdin` where that is named.
pub fn verify(host: &Host, words: &Verify, stdin: impl Read, say: &dyn Fn(&str)) -> Result<(), CliError> {
    let verified = show_progress(say, |_| verified(host, words, stdin))?;
    match words.output.format {
        Format::Text => say(&verified.to_string()),
        // Plain data always serialises.
        Format::Json => say(&serde_json::to_string_pretty(&verified).unwrap_or_default()),
    }
    Ok(())
}

fn verified(host: &Host, words: &Verify, mut stdin: impl Read) -> Result<Verified, CliError> {
    let Verify { image, sha512, statement, public_key, .. } = words;
    if is_stdin(statement) && image.as_deref().is_some_and(is_stdin) {
        return Err(CliError::Usage("only one of image and statement can be standard input".into()));
    }
    let keys = PublicKey::parse_all(&file(host, public_key)?).map_err(|error| about(public_key, error))?;
    let text = if is_stdin(statement) { whole(&mut stdin)? } else { file(host, statement)? };
    let (said, key) = opened(&text, &keys).map_err(|why| about(statement, why))?;
    let (digest, size) = match (image, sha512) {
        (Some(image), _) => {
            let read = if is_stdin(image) { digest(stdin, None) } else { digest_of(image) };
            let (digest, size) = read.map_err(|error| about(image, format!("reading the image: {error}")))?;
            (digest, Some(size))
        }
        (None, digest) => (digest.clone().unwrap_or_default(), None),
    };
    let is_it = |subject: &&Subject| subject.sha512() == Some(digest.as_str());
    let Some(subject) = said.subject.iter().find(is_it) else {
        let named: Vec<&str> = said.subject.iter().filter_map(Subject::sha512).collect();
        return Err(CliError::Failed(format!(
            "the image is not the one that the statement is about: its SHA-512 is {digest}, the statement names {}",
            named.join(", ")
        )));
    };
    let (subject, built) = (subject.name.clone(), built(&said.predicate));
    Ok(Verified { subject, sha512: digest, size, key_id: key.id(), built })
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == STDIN
}

/// What is wrong with a file.
fn about(path: &Path, what: impl fmt::Display) -> CliError {
    let name = if is_stdin(path) { "standard input".to_owned() } else { path.display().to_string() };
    CliError::Failed(format!("{name}: {what}"))
}

/// Prints what verifies the provenance of images.
pub fn show_public_key(host: &Host, say: &dyn Fn(&str)) -> Result<(), CliError> {
    let keys = SigningKeys::load(host).map_err(|error| CliError::Failed(error.to_string()))?;
    say(&keys.pem().ok_or_else(|| CliError::Failed(why_no_key(&keys).trim_end_matches('.').to_owned()))?);
    Ok(())
}

/// The statement in an envelope that one of `keys` has signed, and that key; or what is wrong with it.
fn opened<'a>(text: &[u8], keys: &'a [PublicKey]) -> Result<(Statement, &'a PublicKey), String> {
    let envelope = Envelope::parse(text).map_err(|error| error.to_string())?;
    let opened = envelope.open(PAYLOAD_TYPE, keys).map_err(|error| error.to_string())?;
    let said: Statement = serde_json::from_slice(&opened.payload)
        .map_err(|error| format!("its payload is not an in-toto statement: {error}"))?;
    if said.kind != STATEMENT_TYPE || said.predicate_type != PREDICATE_TYPE {
        return Err(format!(
            "it is a statement of another kind: {:?}, {:?}; wanted are {STATEMENT_TYPE:?}, {PREDICATE_TYPE:?}",
            said.kind, said.predicate_type
        ));
    }
    if !said.subject.iter().any(|subject| subject.sha512().is_some()) {
        return Err("the statement names no SHA-512 of an image".to_owned());
    }
    Ok((said, opened.key))
}

/// When a statement says that its image was built.
fn built(predicate: &Value) -> Option<String> {
    let finished = predicate.pointer("/runDetails/metadata/finishedOn")?.as_str()?;
    Timestamp::of_rfc3339(finished).map(|at| at.to_string())
}

fn file(host: &Host, path: &Path) -> Result<Vec<u8>, CliError> {
    let read = host.read(path).map_err(|error| CliError::Failed(error.to_string()))?;
    read.ok_or_else(|| CliError::Failed(format!("{}: there is no such file", path.display())))
}

/// The longest statement that is read from standard input.
const LONGEST: u64 = 16 << 20;

fn whole(stdin: &mut impl Read) -> Result<Vec<u8>, CliError> {
    let mut text = Vec::new();
    let read = stdin.take(LONGEST).read_to_end(&mut text);
    read.map(|_| text).map_err(|error| CliError::Failed(format!("standard input: {error}")))
}

/// The SHA-512 and the number of the bytes of a file.
fn digest_of(path: &Path) -> io::Result<(String, u64)> {
    let image = File::open(path)?;
    let size = image.metadata()?.len();
    digest(image, Some(size))
}

/// The same of what is read, of which nothing is kept.
fn digest(image: impl Read, size: Option<u64>) -> io::Result<(String, u64)> {
    let mut image = Digesting::<_, Sha512>::new(Metered::new(image, "reading the image", size));
    let size = io::copy(&mut image, &mut io::sink())?;
    Ok((image.hex(), size))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use serde_json::json;
    use sha2::Digest;

    use super::*;
    use crate::cli::Output;
    use crate::dsse::SigningKey;
    use crate::model::hex;

    const IMAGE: &[u8] = b"QFI\xfb and all that follows";

    /// The files of somebody who verifies.
    struct Desk {
        dir: tempfile::TempDir,
        key: SigningKey,
    }

    impl Desk {
        fn new() -> Self {
            let desk = Self { dir: tempfile::tempdir().unwrap(), key: SigningKey::generate().unwrap() };
            desk.put("image.img", IMAGE);
            desk.put("keys.pem", desk.key.public().to_string().as_bytes());
            desk.sign(&statement(&sha512(IMAGE)));
            desk
        }

        fn put(&self, name: &str, content: &[u8]) {
            std::fs::write(self.dir.path().join(name), content).unwrap();
        }

        fn sign(&self, statement: &Value) {
            let payload = serde_json::to_vec(statement).unwrap();
            self.envelop(&Envelope::sign(&self.key, PAYLOAD_TYPE, &payload));
        }

        fn envelop(&self, envelope: &Envelope) {
            self.put("statement.json", &serde_json::to_vec(envelope).unwrap());
        }

        /// What comes of verifying: `image` is a file's name or `-`, or `sha512:...`.
        fn verify(&self, image: &str, stdin: &[u8]) -> Result<String, String> {
            self.verify_as(Format::Text, image, stdin)
        }

        fn verify_as(&self, format: Format, image: &str, stdin: &[u8]) -> Result<String, String> {
            let path = |name: &str| if name == STDIN { STDIN.into() } else { self.dir.path().join(name) };
            let digest = image.strip_prefix("sha512:").map(str::to_owned);
            let words = Verify {
                image: digest.is_none().then(|| path(image)),
                sha512: digest,
                statement: path("statement.json"),
                public_key: path("keys.pem"),
                output: Output { format },
            };
            let said = RefCell::new(String::new());
            let host = Host::below(self.dir.path());
            let verified = verify(&host, &words, stdin, &|text| said.borrow_mut().push_str(text));
            verified.map(|()| said.into_inner()).map_err(|error| error.to_string())
        }

        #[track_caller]
        fn assert_refused(&self, image: &str, stdin: &[u8], expected: &str) {
            let refused = self.verify(image, stdin).unwrap_err();
            assert!(refused.contains(expected), "{refused}");
        }
    }

    fn sha512(bytes: &[u8]) -> String {
        hex(&Sha512::digest(bytes))
    }

    fn statement(sha512: &str) -> Value {
        json!({
            "_type": STATEMENT_TYPE, "predicateType": PREDICATE_TYPE,
            "subject": [{"name": "runner-image-noble-x64", "digest": {"sha512": sha512}}],
            "predicate": {"runDetails": {"metadata": {"finishedOn": "2026-05-01T12:00:00Z"}}},
        })
    }

    #[test]
    fn an_image_is_verified_by_its_bytes_from_wherever_they_come_and_by_a_digest() {
        let desk = Desk::new();
        let said = desk.verify("image.img", b"").unwrap();
        let expected = format!(
            "verified: runner-image-noble-x64, sha512:{}\nbytes: {}, read and compared\nbuilt: 2026-05-01T12:00:00Z, by the \
             statement\nsigned by key {}",
            sha512(IMAGE),
            IMAGE.len(),
            desk.key.public().id()
        );
        assert_eq!(said, expected);
        assert_eq!(desk.verify("-", IMAGE).unwrap(), expected);
        let told = desk.verify_as(Format::Json, "-", IMAGE).unwrap();
        let told: BTreeMap<String, Value> = serde_json::from_str(&told).unwrap();
        let schema = include_str!("../../../docs/reference/verified.schema.json");
        let schema: Value = serde_json::from_str(schema).unwrap();
        let known = schema["properties"].as_object().unwrap();
        assert!(told.keys().eq(known.keys().collect::<std::collections::BTreeSet<_>>()), "{told:?}");
        assert_eq!((&told["size"], &told["sha512"]), (&json!(IMAGE.len()), &json!(sha512(IMAGE))));
        let by_digest = desk.verify(&format!("sha512:{}", sha512(IMAGE)), b"").unwrap();
        assert!(by_digest.contains("bytes: not read; the digest was given"), "{by_digest}");
    }

    #[test]
    fn one_changed_byte_is_refused_and_so_is_one_more_or_less() {
        let desk = Desk::new();
        let other = "the image is not the one that the statement is about: its SHA-512 is";
        for at in 0..IMAGE.len() {
            let mut changed = IMAGE.to_vec();
            changed[at] ^= 1;
            desk.assert_refused("-", &changed, other);
        }
        desk.assert_refused("-", &[IMAGE, b"\0"].concat(), other);
        desk.assert_refused("-", &IMAGE[1..], other);
        desk.assert_refused("-", b"", other);
        desk.assert_refused(&format!("sha512:{}", "a".repeat(128)), b"", other);
    }

    #[test]
    fn what_is_signed_must_be_a_statement_about_this_image_by_one_of_the_keys() {
        let desk = Desk::new();
        desk.sign(&statement(&sha512(b"another image")));
        desk.assert_refused("image.img", b"", &sha512(b"another image"));
        let foreign = SigningKey::generate().unwrap();
        let payload = serde_json::to_vec(&statement(&sha512(IMAGE))).unwrap();
        desk.envelop(&Envelope::sign(&foreign, PAYLOAD_TYPE, &payload));
        desk.assert_refused(
            "image.img",
            b"",
            &format!("none of the 1 public keys: it names key {}", foreign.public().id()),
        );
        // An earlier key, or a later one, may be listed beside it.
        desk.put("keys.pem", crate::dsse::pem(&[desk.key.public(), foreign.public()]).as_bytes());
        assert!(desk.verify("image.img", b"").unwrap().ends_with(&foreign.public().id()));
        desk.envelop(&Envelope::sign(&desk.key, "application/json", &payload));
        desk.assert_refused("image.img", b"", "its payload type is \"application/json\"");
        for (field, value, expected) in [
            ("subject", json!([{"name": "x", "digest": {"sha256": "a"}}]), "names no SHA-512 of an image"),
            ("subject", json!([{"name": "x"}]), "names no SHA-512 of an image"),
            ("subject", json!([]), "names no SHA-512 of an image"),
            ("subject", json!("x"), "is not an in-toto statement"),
            ("_type", json!("https://in-toto.io/Statement/v0.1"), "a statement of another kind"),
            (
                "predicateType",
                json!("https://slsa.dev/verification_summary/v1"),
                "a statement of another kind",
            ),
        ] {
            let mut other = statement(&sha512(IMAGE));
            other[field] = value;
            desk.sign(&other);
            desk.assert_refused("image.img", b"", expected);
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let desk = Desk::new();
        desk.assert_refused("absent.img", b"", "absent.img: reading the image");
        desk.put("statement.json", &serde_json::to_vec(&statement(&sha512(IMAGE))).unwrap());
        desk.assert_refused("image.img", b"", "statement.json: it is not a DSSE envelope");
        desk.put("keys.pem", b"ssh-ed25519 AAAA");
        desk.assert_refused(
            "image.img",
            b"",
            "keys.pem: reading the public key: there is no block PUBLIC KEY",
        );
        std::fs::remove_file(desk.dir.path().join("keys.pem")).unwrap();
        desk.assert_refused("image.img", b"", "keys.pem: there is no such file");
    }
}
