//! Where an image comes from: the statement about it, and the envelope in which it is signed.

use serde_json::Value;

use super::show_image::{ShowError, ShownImage};
use crate::dsse::Envelope;
use crate::host::Host;
use crate::record::{Provenance, SigningKeys, signed_provenance};

/// The statement about `shown`, whose bytes must have been read once. It says what this unit has on record, and proves
/// nothing by itself.
pub fn provenance(shown: &ShownImage) -> Result<Value, ShowError> {
    let ShownImage { build, target, built, job, manifest_sha256, manifest, .. } = shown;
    let (target, built, sha512) = (*target, *built, digest(shown)?);
    Ok(Provenance { build, target, built, job, sha512, manifest_sha256, manifest }.statement())
}

/// The same, signed.
pub fn envelope(host: &Host, shown: &ShownImage) -> Result<Envelope, ShowError> {
    let why = || match SigningKeys::load(host).map(|keys| keys.problem) {
        Ok(Some(problem)) => problem,
        _ => "the next job signs it, once there is a key (show-public-key)".to_owned(),
    };
    signed_provenance(host, digest(shown)?)?.ok_or_else(|| ShowError::Unsigned(shown.build.clone(), why()))
}

fn digest(shown: &ShownImage) -> Result<&str, ShowError> {
    shown.sha512.as_deref().ok_or_else(|| ShowError::Unread(shown.build.clone()))
}
