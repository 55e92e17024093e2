//! The schemas that clients ask for before they show or change an image.

use serde_json::{Map, Value, json};

/// The schema of that name.
pub(super) fn schema(name: &str) -> Option<Value> {
    match name {
        "image" => Some(image()),
        "images" => Some(list("images", image())),
        "member" => Some(member()),
        "members" => Some(list("members", member())),
        _ => None,
    }
}

fn list(name: &str, item: Value) -> Value {
    let mut properties = Map::new();
    properties.insert(name.into(), json!({"type": "array", "items": item}));
    for link in ["first", "next", "schema"] {
        properties.insert(link.into(), json!({"type": "string"}));
    }
    json!({"name": name, "properties": properties,
        "links": [{"href": "{first}", "rel": "first"}, {"href": "{next}", "rel": "next"},
            {"href": "{schema}", "rel": "describedby"}]})
}

fn member() -> Value {
    let text = json!({"type": "string"});
    json!({"name": "member", "properties": {"member_id": text, "image_id": text, "status": text,
        "created_at": text, "updated_at": text, "schema": text}})
}

fn image() -> Value {
    let mut properties = Map::new();
    for (key, kind) in [
        ("id", "string"),
        ("name", "string"),
        ("visibility", "string"),
        ("protected", "boolean"),
        ("os_hidden", "boolean"),
        ("tags", "array"),
        ("disk_format", "string"),
        ("container_format", "string"),
        ("min_disk", "integer"),
        ("min_ram", "integer"),
        ("architecture", "string"),
        ("os_distro", "string"),
        ("os_version", "string"),
    ] {
        properties.insert(key.into(), json!({"type": kind}));
    }
    for (key, kind) in [
        ("status", "string"),
        ("owner", "string"),
        ("checksum", "string"),
        ("os_hash_algo", "string"),
        ("os_hash_value", "string"),
        ("size", "integer"),
        ("virtual_size", "integer"),
        ("created_at", "string"),
        ("updated_at", "string"),
        ("self", "string"),
        ("file", "string"),
        ("schema", "string"),
    ] {
        properties.insert(key.into(), json!({"type": kind, "readOnly": true}));
    }
    json!({"name": "image", "properties": properties, "additionalProperties": {"type": "string"},
        "links": [{"href": "{self}", "rel": "self"}, {"href": "{file}", "rel": "enclosure"},
            {"href": "{schema}", "rel": "describedby"}]})
}
