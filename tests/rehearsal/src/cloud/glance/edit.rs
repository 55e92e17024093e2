//! Creating images and changing their records.

use serde_json::Value;

use super::super::time::Stamp;
use super::image::{Image, READ_ONLY};
use super::{Answer, Call, Refusal, editable, no_content, nowhere, off_schema};
use crate::lock;
use crate::servers::http::Response;

/// The media types that PATCH takes.
pub(super) const ACCEPTED: &str =
    "application/openstack-images-v2.0-json-patch, application/openstack-images-v2.1-json-patch";

const DISK_FORMATS: [&str; 11] =
    ["ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop"];
const CONTAINER_FORMATS: [&str; 7] = ["ami", "ari", "aki", "bare", "ovf", "ova", "docker"];
const VISIBILITIES: [&str; 4] = ["community", "public", "private", "shared"];

/// `POST /v2/images`
pub(super) fn create(call: Call<'_, '_>) -> Answer {
    let Some(Value::Object(document)) = call.request.json() else {
        return Err(Refusal::new(400, "Malformed JSON in request body."));
    };
    let mut image = Image::new(call.caller.project_id(), None);
    for (key, value) in &document {
        if key == "id" {
            image.id = valid_id(value)?;
        } else if key == "owner" && call.caller.is_admin() {
            image.owner = value.as_str().unwrap_or_default().to_owned();
        } else {
            assign(&mut image, key, value)?;
        }
    }
    may_publish(&call, &image)?;
    let mut images = lock(&call.region.images);
    if images.iter().any(|known| known.id == image.id) {
        return Err(Refusal::new(409, format!("Image ID {} already exists!", image.id)));
    }
    let location = format!("{}/v2/images/{}", call.region.url("glance"), image.id);
    let response = Response::json(201, &image.render()).with("Location", location);
    images.push(image);
    Ok(response)
}

/// `PATCH /v2/images/ID`: all operations or none.
pub(super) fn patch(call: Call<'_, '_>, id: &str) -> Answer {
    let media_type = call.request.header("content-type").unwrap_or_default().to_owned();
    if !ACCEPTED.split(", ").any(|accepted| media_type.starts_with(accepted)) {
        return Err(Refusal::new(415, ""));
    }
    let Some(Value::Array(operations)) = call.request.json() else {
        return Err(Refusal::new(400, "Request body must be a JSON array of operation objects."));
    };
    let mut image = editable(&call, id, "modify_image")?;
    let key =
        |operation: &Value| operation["path"].as_str().unwrap_or_default().trim_start_matches('/').to_owned();
    if let Some(key) = operations.iter().map(key).find(|key| call.region.front.protects(key)) {
        return Err(Refusal::new(403, format!("Property '{key}' is protected")));
    }
    for operation in &operations {
        apply(&mut image, operation)?;
    }
    may_publish(&call, &image)?;
    image.updated = Stamp::now();
    let document = image.render();
    call.region
        .with_image(id, |known| *known = image)
        .map(|()| Response::json(200, &document))
        .ok_or_else(|| Refusal::new(404, format!("No image found with ID {id}")))
}

/// `PUT` and `DELETE /v2/images/ID/tags/TAG`
pub(super) fn tag(call: &Call<'_, '_>, id: &str, tag: &str) -> Answer {
    let image = editable(call, id, "modify_image")?;
    let there = image.tags.iter().any(|known| known == tag);
    if call.request.method == "DELETE" && !there {
        return Err(nowhere());
    }
    call.region.with_image(id, |image| {
        image.tags.retain(|known| known != tag);
        if call.request.method == "PUT" {
            image.tags.push(tag.to_owned());
        }
    });
    Ok(no_content())
}

fn apply(image: &mut Image, operation: &Value) -> Result<(), Refusal> {
    let bad = |what: &str| Refusal::new(400, what.to_owned());
    let op =
        operation["op"].as_str().ok_or_else(|| bad("Operation objects must contain an \"op\" member."))?;
    let path =
        operation["path"].as_str().ok_or_else(|| bad("Unable to find `path` in JSON Schema change"))?;
    let key = path
        .strip_prefix('/')
        .filter(|key| !key.is_empty() && !key.contains('/'))
        .ok_or_else(|| bad(&format!("Invalid JSON pointer for this resource: '{path}'")))?
        .replace("~1", "/")
        .replace("~0", "~");
    if READ_ONLY.contains(&key.as_str()) || key == "id" {
        return Err(Refusal::new(403, format!("Attribute '{key}' is read-only.")));
    }
    let base = is_base(&key);
    let known = base || image.properties.contains_key(&key);
    let missing = || Refusal::new(409, format!("Property {key} does not exist."));
    match op {
        "add" | "replace" => {
            if op == "replace" && !known {
                return Err(missing());
            }
            let value =
                operation.get("value").ok_or_else(|| bad("Operation objects must contain a \"value\""))?;
            assign(image, &key, value)
        }
        "remove" if base => Err(Refusal::new(403, format!("Property {key} may not be removed."))),
        "remove" => image.properties.remove(&key).map(drop).ok_or_else(missing),
        other => Err(bad(&format!(
            "Invalid operation: `{other}`. It must be one of the following: add, remove, replace."
        ))),
    }
}

fn is_base(key: &str) -> bool {
    matches!(
        key,
        "name"
            | "visibility"
            | "protected"
            | "os_hidden"
            | "tags"
            | "min_disk"
            | "min_ram"
            | "disk_format"
            | "container_format"
    )
}

fn assign(image: &mut Image, key: &str, value: &Value) -> Result<(), Refusal> {
    if READ_ONLY.contains(&key) {
        return Err(Refusal::new(403, format!("Attribute '{key}' is read-only.")));
    }
    match key {
        "name" => image.name = nullable(value)?,
        "visibility" => image.visibility = one_of(value, &VISIBILITIES)?.unwrap_or_else(|| "shared".into()),
        "disk_format" | "container_format" => {
            if image.status != "queued" {
                return Err(Refusal::new(
                    403,
                    format!("Attribute {key} can be replaced only for a queued image."),
                ));
            }
            if key == "disk_format" {
                image.disk_format = one_of(value, &DISK_FORMATS)?;
            } else {
                image.container_format = one_of(value, &CONTAINER_FORMATS)?;
            }
        }
        "min_disk" => image.min_disk = number(value)?,
        "min_ram" => image.min_ram = number(value)?,
        "protected" => image.protected = boolean(value)?,
        "os_hidden" => image.hidden = boolean(value)?,
        "tags" => {
            let tags = value.as_array().ok_or_else(|| off_schema("is not of type 'array'", value))?;
            image.tags = tags.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        }
        _ => {
            let text = value.as_str().ok_or_else(|| off_schema("is not of type 'string'", value))?;
            image.properties.insert(key.to_owned(), text.to_owned());
        }
    }
    Ok(())
}

fn may_publish(call: &Call<'_, '_>, image: &Image) -> Result<(), Refusal> {
    if image.visibility == "public" && !call.caller.is_admin() {
        return Err(Refusal::new(403, "You are not authorized to complete publicize_image action."));
    }
    Ok(())
}

fn valid_id(value: &Value) -> Result<String, Refusal> {
    let parsed = value.as_str().and_then(|text| uuid::Uuid::parse_str(text).ok());
    parsed.map(|id| id.to_string()).ok_or_else(|| off_schema("does not match the pattern of an id", value))
}

fn nullable(value: &Value) -> Result<Option<String>, Refusal> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        other => Err(off_schema("is not of type 'null', 'string'", other)),
    }
}

fn one_of(value: &Value, allowed: &[&str]) -> Result<Option<String>, Refusal> {
    match nullable(value)? {
        Some(text) if !allowed.contains(&text.as_str()) => {
            Err(off_schema("is not one of the allowed", value))
        }
        other => Ok(other),
    }
}

fn number(value: &Value) -> Result<u64, Refusal> {
    value.as_u64().ok_or_else(|| off_schema("is not of type 'integer'", value))
}

fn boolean(value: &Value) -> Result<bool, Refusal> {
    value.as_bool().ok_or_else(|| off_schema("is not of type 'boolean'", value))
}
