//! Where images come from, said in a way that others can verify: a statement about the bytes of each kept build, signed with
//! the application's key, in a file of its own below `provenance/`, by the SHA-512 of the image. It is written by the
//! worker as soon as the bytes are known, and goes with the build.

mod keys;
pub mod purl;
mod statement;

use std::path::PathBuf;

pub use self::keys::SigningKeys;
pub use self::statement::{PAYLOAD_TYPE, PREDICATE_TYPE, Provenance, STATEMENT_TYPE};
use crate::dsse::{Envelope, SigningKey};
use crate::host::Host;
use crate::record::file::{RecordError, keep_named};
use crate::record::journal::Journal;
use crate::record::journal::evidence::Revision;
use crate::record::manifest::Manifest;

/// The folder of the state.
const FOLDER: &str = "provenance";
/// The longest envelope: a manifest of 2 MiB, in base64.
const LONGEST: usize = 4 << 20;

/// Signs where `build` comes from and keeps that. Returns whether it did: not while its bytes or its content are not known
/// here, nor where a key that is still told has signed it.
pub fn sign_provenance(host: &Host, build: &Revision, key: &SigningKey) -> Result<bool, RecordError> {
    let manifest_sha256 = build.contents.as_ref().and_then(|contents| contents.manifest.as_deref());
    let (Some(proof), Some(manifest_sha256)) = (&build.proof, manifest_sha256) else { return Ok(false) };
    let Some(manifest) = Manifest::load(host, manifest_sha256)? else { return Ok(false) };
    let mut known = SigningKeys::load(host)?.public_keys;
    known.push(key.public());
    if signed_provenance(host, &proof.sha512)?.is_some_and(|envelope| envelope.names_one_of(&known)) {
        return Ok(false);
    }
    let Revision { id, target, built, job, .. } = build;
    let (build, sha512) = (id, proof.sha512.as_str());
    let provenance = Provenance {
        build,
        target: *target,
        built: *built,
        job,
        sha512,
        manifest_sha256,
        manifest: &manifest,
    };
    // A value always serialises.
    let statement = serde_json::to_vec(&provenance.statement()).unwrap_or_default();
    let envelope = Envelope::sign(key, PAYLOAD_TYPE, &statement);
    host.private_dir(&host.state_dir().join(FOLDER))?;
    host.write(&path(host, sha512), &serde_json::to_vec(&envelope).unwrap_or_default(), 0o600)?;
    Ok(true)
}

/// The signed statement about the image with these bytes, if this unit has one.
pub fn signed_provenance(host: &Host, sha512: &str) -> Result<Option<Envelope>, RecordError> {
    if !is_digest(sha512) {
        return Ok(None);
    }
    let bytes = host.read(&path(host, sha512))?.filter(|bytes| bytes.len() <= LONGEST);
    Ok(bytes.and_then(|bytes| Envelope::parse(&bytes).ok()))
}

/// Removes the statements about builds that `journal` does not know.
pub fn prune_provenance(host: &Host, journal: &Journal) -> Result<(), RecordError> {
    let proofs = journal.revisions.iter().filter_map(|build| build.proof.as_ref());
    let named: Vec<PathBuf> = proofs.map(|proof| path(host, &proof.sha512)).collect();
    keep_named(host, FOLDER, &named)
}

fn path(host: &Host, sha512: &str) -> PathBuf {
    host.state_dir().join(FOLDER).join(format!("{sha512}.json"))
}

/// What becomes part of a path.
fn is_digest(text: &str) -> bool {
    text.len() == 128 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests;
