//! An image's record, who sees it, and how it is shown.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::super::identity::{Token, uuid};
use super::super::time::Stamp;

/// Attributes that only the service sets.
pub(super) const READ_ONLY: [&str; 13] = [
    "status",
    "size",
    "virtual_size",
    "checksum",
    "created_at",
    "updated_at",
    "owner",
    "os_hash_algo",
    "os_hash_value",
    "self",
    "file",
    "schema",
    "direct_url",
];

/// The sharing of an image with one project.
#[derive(Clone, Debug)]
pub struct Member {
    /// The project.
    pub project: String,
    /// `pending`, `accepted` or `rejected`.
    pub status: String,
    /// When it was added.
    pub created: Stamp,
    /// When its status changed.
    pub updated: Stamp,
}

/// An image.
#[derive(Clone, Debug)]
pub struct Image {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: Option<String>,
    /// The owning project.
    pub owner: String,
    /// `queued`, `saving`, `active`, `deactivated`, `killed`.
    pub status: String,
    /// `private`, `shared`, `community` or `public`.
    pub visibility: String,
    /// qcow2, raw, ...
    pub disk_format: Option<String>,
    /// bare, ...
    pub container_format: Option<String>,
    /// Bytes stored.
    pub size: Option<u64>,
    /// Bytes of the disk.
    pub virtual_size: Option<u64>,
    /// MD5 of the bytes.
    pub checksum: Option<String>,
    /// SHA-512 of the bytes.
    pub hash: Option<String>,
    /// GiB.
    pub min_disk: u64,
    /// MiB.
    pub min_ram: u64,
    /// Whether it may not be deleted.
    pub protected: bool,
    /// Whether listings leave it out.
    pub hidden: bool,
    /// Tags.
    pub tags: Vec<String>,
    /// Everything else, as people and Nova set it.
    pub properties: BTreeMap<String, String>,
    /// Those it is shared with.
    pub members: Vec<Member>,
    /// When it was created.
    pub created: Stamp,
    /// When its record changed.
    pub updated: Stamp,
}

impl Image {
    /// A queued image of a project.
    pub(in super::super) fn new(owner: &str, name: Option<String>) -> Self {
        let now = Stamp::now();
        Self {
            id: uuid(),
            name,
            owner: owner.to_owned(),
            status: "queued".into(),
            visibility: "shared".into(),
            disk_format: None,
            container_format: None,
            size: None,
            virtual_size: None,
            checksum: None,
            hash: None,
            min_disk: 0,
            min_ram: 0,
            protected: false,
            hidden: false,
            tags: Vec::new(),
            properties: BTreeMap::new(),
            members: Vec::new(),
            created: now,
            updated: now,
        }
    }

    /// Whether a project may use it by id.
    pub(in super::super) fn visible_to(&self, caller: &Token) -> bool {
        let project = caller.project_id();
        caller.is_admin()
            || self.owner == project
            || matches!(self.visibility.as_str(), "public" | "community")
            || (self.visibility == "shared" && self.member(project).is_some())
    }

    /// Whether a project may change it.
    pub(super) fn editable_by(&self, caller: &Token) -> bool {
        caller.is_admin() || self.owner == caller.project_id()
    }

    /// The member record of a project.
    pub(super) fn member(&self, project: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.project == project)
    }

    /// The record as JSON.
    pub(in super::super) fn render(&self) -> Value {
        let mut document: Map<String, Value> =
            self.properties.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
        let Value::Object(known) = json!({
            "name": self.name, "disk_format": self.disk_format, "container_format": self.container_format,
            "visibility": self.visibility, "size": self.size, "virtual_size": self.virtual_size,
            "status": self.status, "checksum": self.checksum, "protected": self.protected,
            "min_ram": self.min_ram, "min_disk": self.min_disk, "owner": self.owner,
            "os_hidden": self.hidden, "os_hash_algo": self.hash.as_ref().map(|_| "sha512"),
            "os_hash_value": self.hash, "id": self.id, "created_at": self.created.iso(),
            "updated_at": self.updated.iso(), "tags": self.tags,
            "self": format!("/v2/images/{}", self.id), "file": format!("/v2/images/{}/file", self.id),
            "schema": "/v2/schemas/image",
        }) else {
            return Value::Null;
        };
        document.extend(known);
        Value::Object(document)
    }
}
