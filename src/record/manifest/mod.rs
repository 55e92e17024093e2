//! What is inside of an image: its manifest, in a file of its own below `manifests/`, by its digest. The digest stands with the
//! build's record and as a property of the image; the same bytes lie in the image itself, so that a machine can tell, and a
//! unit that did not build it can be shown it.

mod difference;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use self::difference::{Change, Changes, Difference};
use crate::host::Host;
use crate::instance::Inventory;
use crate::model::{Target, Timestamp, hex};
use crate::record::file::{RecordError, keep_named};
use crate::record::journal::Journal;
use crate::record::journal::evidence::Revision;

/// The folder of the state.
const FOLDER: &str = "manifests";
/// The longest manifest: a thousand packages take about 100 KiB.
const LONGEST: usize = 2 << 20;
/// Where the manifest lies in the image itself.
pub const MANIFEST_PATH: &str = "/usr/share/runner-image/manifest.json";

/// What an image was made of, and what is installed in it. It names no time: the same content is the same manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The format of the version that wrote it.
    pub format: u32,
    /// What it was built for.
    pub target: Target,
    /// The digest of all that goes into the image.
    pub fingerprint: String,
    /// The base image.
    pub base_image: BaseImageOrigin,
    /// The runner application.
    pub runner: Component,
    /// The recipe's tools.
    #[serde(default)]
    pub tools: Vec<Component>,
    /// SHA-256 of the recipe, for this target, as JSON.
    pub recipe_sha256: String,
    /// SHA-256 of the external script, if there was one.
    #[serde(default)]
    pub script_sha256: Option<String>,
    /// What is installed, as the image itself said at the end of its build.
    #[serde(flatten)]
    pub inventory: Inventory,
}

/// The base image of a build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseImageOrigin {
    /// Its SHA-256, by the signed list.
    pub sha256: String,
    /// When that list was signed.
    pub signed: Timestamp,
}

/// Something that was downloaded and compared with its digest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Component {
    /// Where it lies in the image.
    pub path: String,
    /// Its version.
    pub version: String,
    /// Its SHA-256.
    pub sha256: String,
}

impl Manifest {
    /// The format that this version writes.
    pub const FORMAT: u32 = 1;

    /// As it is kept and as it lies in the image.
    pub fn text(&self) -> String {
        // Plain data always serialises.
        let mut text = serde_json::to_string(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// The SHA-256 of that, in hexadecimal, by which it is found.
    pub fn digest(&self) -> String {
        hex(&Sha256::digest(self.text()))
    }

    /// Keeps it, for its build to be noted next.
    pub fn save(&self, host: &Host) -> Result<(), RecordError> {
        host.private_dir(&host.state_dir().join(FOLDER))?;
        host.write(&path(host, &self.digest()), self.text().as_bytes(), 0o600)?;
        Ok(())
    }

    /// The manifest of this digest; none when this unit does not have it, or when the file has other bytes.
    pub fn load(host: &Host, digest: &str) -> Result<Option<Self>, RecordError> {
        if !is_digest(digest) {
            return Ok(None);
        }
        let bytes = host.read(&path(host, digest))?.filter(|bytes| bytes.len() <= LONGEST);
        let bytes = bytes.filter(|bytes| hex(&Sha256::digest(bytes)) == digest);
        let read = bytes.and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok());
        Ok(read.filter(|manifest| manifest.format == Self::FORMAT))
    }

    /// The manifest of a build, under the same conditions.
    pub fn of(host: &Host, build: &Revision) -> Result<Option<Self>, RecordError> {
        let digest = build.contents.as_ref().and_then(|contents| contents.manifest.as_deref());
        digest.map_or(Ok(None), |digest| Self::load(host, digest))
    }

    /// What has changed in `build` since the one of its target before; none when either manifest is not here.
    pub fn changes(
        host: &Host,
        journal: &Journal,
        build: &Revision,
    ) -> Result<Option<Difference>, RecordError> {
        let Some(before) = journal.build_before(build) else { return Ok(None) };
        let (before, now) = (Self::of(host, before)?, Self::of(host, build)?);
        Ok(before.zip(now).map(|(before, now)| Difference::between(&before, &now)))
    }

    /// Removes the manifests of builds that `journal` does not know, except those of builds that may still be kept.
    pub fn prune(host: &Host, journal: &Journal) -> Result<(), RecordError> {
        let contents = journal.revisions.iter().filter_map(|build| build.contents.as_ref());
        let named: Vec<PathBuf> = contents
            .filter_map(|contents| contents.manifest.as_deref())
            .map(|digest| path(host, digest))
            .collect();
        keep_named(host, FOLDER, &named)
    }
}

impl Journal {
    /// The newest build of the target that is older than `build`.
    pub fn build_before(&self, build: &Revision) -> Option<&Revision> {
        let is_before = |other: &&Revision| {
            other.target == build.target && other.id != build.id && other.built <= build.built
        };
        self.revisions.iter().filter(is_before).max_by_key(|other| other.built)
    }
}

fn path(host: &Host, digest: &str) -> PathBuf {
    host.state_dir().join(FOLDER).join(format!("{digest}.json"))
}

/// What becomes part of a path.
fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests;
