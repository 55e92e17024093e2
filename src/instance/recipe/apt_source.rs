//! Apt archives beside the base image's own, and how the key that signs one gets into the image.

use serde::Serialize;

use super::entries::{Conditional, Only};
use super::lists::some;
use super::words::{ArchiveKey, ArchiveUrl, KeyUrl, Keyring, PackageArch, SourceName, Suite};

/// An apt archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(try_from = "AptSourceEntry", into = "AptSourceEntry")]
pub struct AptSource {
    /// What its files are named after.
    pub name: SourceName,
    /// Its root.
    pub url: ArchiveUrl,
    /// Its suites; the base's codename where none is named.
    pub suites: Vec<Suite>,
    /// Its components.
    pub components: Vec<Suite>,
    /// The architectures that come from it; all that the image has where none is named.
    pub architectures: Vec<PackageArch>,
    /// The key that signs it.
    pub key: SourceKey,
    /// For which images it is.
    pub only: Only,
}

/// The key that signs an apt archive: an archive without one is trusted in nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceKey {
    /// It stands in the recipe.
    Armoured(ArchiveKey),
    /// It is fetched when the image is made.
    Fetched(KeyUrl),
    /// A file that the base image has.
    Present(Keyring),
}

impl Conditional for AptSource {
    fn only(&self) -> &Only {
        &self.only
    }
}

/// An apt archive as it is written.
#[derive(Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct AptSourceEntry {
    name: SourceName,
    url: ArchiveUrl,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    suites: Vec<Suite>,
    #[serde(deserialize_with = "some")]
    components: Vec<Suite>,
    #[serde(default, deserialize_with = "some", skip_serializing_if = "Vec::is_empty")]
    architectures: Vec<PackageArch>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<ArchiveKey>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_url: Option<KeyUrl>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keyring: Option<Keyring>,
    #[serde(default, skip_serializing_if = "Only::is_everything")]
    only: Only,
}

impl TryFrom<AptSourceEntry> for AptSource {
    type Error = String;

    fn try_from(entry: AptSourceEntry) -> Result<Self, String> {
        let AptSourceEntry { name, url, suites, components, architectures, key, key_url, keyring, only } =
            entry;
        let key = match (key, key_url, keyring) {
            (Some(key), None, None) => SourceKey::Armoured(key),
            (None, Some(url), None) => SourceKey::Fetched(url),
            (None, None, Some(path)) => SourceKey::Present(path),
            _ => {
                return Err(format!(
                    "source {name} needs one key: in the recipe (key), at an https URL (key_url), or in the base image \
                     (keyring)"
                ));
            }
        };
        Ok(Self { name, url, suites, components, architectures, key, only })
    }
}

impl From<AptSource> for AptSourceEntry {
    fn from(source: AptSource) -> Self {
        let AptSource { name, url, suites, components, architectures, key, only } = source;
        let (key, key_url, keyring) = match key {
            SourceKey::Armoured(key) => (Some(key), None, None),
            SourceKey::Fetched(url) => (None, Some(url), None),
            SourceKey::Present(path) => (None, None, Some(path)),
        };
        Self { name, url, suites, components, architectures, key, key_url, keyring, only }
    }
}
