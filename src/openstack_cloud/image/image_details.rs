//! What Glance says about an image.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use crate::openstack_cloud::ids::{ImageId, ProjectId};
use crate::openstack_cloud::outcome::or_default;

/// The fields of an image that are not properties of its owner, beside those that [`Image`] has.
const OTHER_FIELDS: [&str; 12] = [
    "checksum",
    "direct_url",
    "file",
    "locations",
    "members",
    "min_ram",
    "protected",
    "schema",
    "self",
    "tags",
    "updated_at",
    "virtual_size",
];

/// An image.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "RawImage")]
pub struct Image {
    /// Its id.
    pub id: ImageId,
    /// Its name, empty when it has none.
    pub name: String,
    /// Its state.
    pub status: ImageStatus,
    /// The size of its data in bytes, once it is known.
    pub size: Option<u64>,
    /// The smallest disk that it fits, in GB.
    pub min_disk: u64,
    /// The format of its data.
    pub disk_format: Option<String>,
    /// The algorithm of `hash`: `sha512` by default.
    pub hash_algorithm: Option<String>,
    /// The digest of its data in hexadecimal, once it is active (`os_hash_value`).
    pub hash: Option<String>,
    /// The project that owns it.
    pub owner: Option<ProjectId>,
    /// Who can see it.
    pub visibility: Visibility,
    /// When it was made, as `2026-05-01T12:00:00Z`: text order is order in time.
    pub created_at: String,
    /// Whether it is left out of ordinary lists.
    pub hidden: Hidden,
    /// All further properties.
    pub properties: BTreeMap<String, String>,
}

/// The state of an image.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum ImageStatus {
    /// Known, but without data.
    Queued,
    /// Its data is being uploaded.
    Saving,
    /// Its data is being imported.
    Importing,
    /// Usable.
    Active,
    /// Its upload failed.
    Killed,
    /// Deleted.
    Deleted,
    /// Deleted, but not gone yet.
    PendingDelete,
    /// Known and complete, but not for use.
    Deactivated,
    /// Something else.
    Other(String),
}

/// Who can see an image.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum Visibility {
    /// Its project.
    Private,
    /// Its project and those it is shared with.
    Shared,
    /// Everybody who knows its id.
    Community,
    /// Everybody.
    Public,
    /// Something else.
    Other(String),
}

/// Whether an image is left out of ordinary lists (`os_hidden`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hidden {
    /// Listed.
    #[default]
    No,
    /// Left out; found by its id, or by asking for hidden images.
    Yes,
}

/// An image as Glance writes it: owners' properties stand among its own fields.
#[derive(Deserialize)]
struct RawImage {
    id: ImageId,
    name: Option<String>,
    status: ImageStatus,
    size: Option<u64>,
    #[serde(default, deserialize_with = "or_default")]
    min_disk: u64,
    disk_format: Option<String>,
    // Not a property, so it must not land in `rest`.
    #[serde(rename = "container_format")]
    _container_format: Option<String>,
    os_hash_algo: Option<String>,
    os_hash_value: Option<String>,
    owner: Option<ProjectId>,
    visibility: Visibility,
    #[serde(default, deserialize_with = "or_default")]
    created_at: String,
    #[serde(default, deserialize_with = "or_default")]
    os_hidden: bool,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

impl From<RawImage> for Image {
    fn from(raw: RawImage) -> Self {
        let properties = raw
            .rest
            .into_iter()
            .filter(|(key, value)| !OTHER_FIELDS.contains(&key.as_str()) && !value.is_null())
            .map(|(key, value)| match value {
                Value::String(text) => (key, text),
                other => (key, other.to_string()),
            })
            .collect();
        Self {
            id: raw.id,
            name: raw.name.unwrap_or_default(),
            status: raw.status,
            size: raw.size,
            min_disk: raw.min_disk,
            disk_format: raw.disk_format,
            hash_algorithm: raw.os_hash_algo,
            hash: raw.os_hash_value,
            owner: raw.owner,
            visibility: raw.visibility,
            created_at: raw.created_at,
            hidden: if raw.os_hidden { Hidden::Yes } else { Hidden::No },
            properties,
        }
    }
}

impl From<String> for ImageStatus {
    fn from(text: String) -> Self {
        match text.as_str() {
            "queued" => Self::Queued,
            "saving" => Self::Saving,
            "importing" => Self::Importing,
            "active" => Self::Active,
            "killed" => Self::Killed,
            "deleted" => Self::Deleted,
            "pending_delete" => Self::PendingDelete,
            "deactivated" => Self::Deactivated,
            _ => Self::Other(text),
        }
    }
}

impl fmt::Display for ImageStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Queued => "queued",
            Self::Saving => "saving",
            Self::Importing => "importing",
            Self::Active => "active",
            Self::Killed => "killed",
            Self::Deleted => "deleted",
            Self::PendingDelete => "pending_delete",
            Self::Deactivated => "deactivated",
            Self::Other(text) => text,
        })
    }
}

impl From<String> for Visibility {
    fn from(text: String) -> Self {
        match text.as_str() {
            "private" => Self::Private,
            "shared" => Self::Shared,
            "community" => Self::Community,
            "public" => Self::Public,
            _ => Self::Other(text),
        }
    }
}
