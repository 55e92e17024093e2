//! Glance v2 over HTTP: images, their bytes, their members.

mod data;
mod edit;
mod image;
mod list;
mod members;
mod schema;

use std::sync::Arc;

use serde_json::{Value, json};

pub(super) use data::{Stored, receive};
pub use image::{Image, Member};

use super::core::Core;
use super::identity::{Token, uuid};
use super::region::Region;
use super::setup::ImagesInUse;
use crate::lock;
use crate::servers::http::{Request, Response};

/// A refusal: status and the sentence in the page.
pub(super) struct Refusal(u16, String);

impl Refusal {
    fn new(status: u16, message: impl Into<String>) -> Self {
        Self(status, message.into())
    }
}

type Answer = Result<Response, Refusal>;

/// One request with all it needs.
struct Call<'a, 'b> {
    core: &'a Arc<Core>,
    region: &'a Arc<Region>,
    caller: Token,
    request: &'a mut Request<'b>,
}

/// Answers a request to a region's image service.
pub(super) fn handle(core: &Arc<Core>, region: &Arc<Region>, request: &mut Request<'_>) -> Response {
    let response = match request.path.as_str() {
        "/" | "" => versions(region, 300),
        "/versions" | "/versions/" => versions(region, 200),
        _ => match core.caller(request) {
            None => {
                let keystone = core.keystone_url.get().cloned().unwrap_or_default();
                page(401, UNAUTHORIZED).with("Www-Authenticate", format!("Keystone uri=\"{keystone}\""))
            }
            Some(caller) => {
                route(Call { core, region, caller, request }).unwrap_or_else(|Refusal(status, message)| {
                    let page = page(status, &message);
                    if status == 415 && message.is_empty() {
                        page.with("Accept-Patch", edit::ACCEPTED)
                    } else {
                        page
                    }
                })
            }
        },
    };
    response.with("X-Openstack-Request-Id", format!("req-{}", uuid()))
}

fn route(call: Call<'_, '_>) -> Answer {
    let segments = call.request.segments();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let method = call.request.method.clone();
    match (method.as_str(), segments.as_slice()) {
        ("GET", ["v2", "images"]) => list::list(&call),
        ("POST", ["v2", "images"]) => edit::create(call),
        ("GET", ["v2", "images", id]) => Ok(Response::json(200, &visible(&call, id)?.render())),
        ("PATCH", ["v2", "images", id]) => edit::patch(call, id),
        ("DELETE", ["v2", "images", id]) => delete(&call, id),
        (_, ["v2", "images", _]) => Ok(not_allowed("GET, PATCH, DELETE", &method)),
        (_, ["v2", "images"]) => Ok(not_allowed("GET, POST", &method)),
        ("PUT", ["v2", "images", id, "file"]) => data::upload(call, id),
        ("GET", ["v2", "images", id, "file"]) => data::download(&call, id),
        ("POST", ["v2", "images", id, "actions", action]) => activate(&call, id, action),
        ("PUT" | "DELETE", ["v2", "images", id, "tags", tag]) => edit::tag(&call, id, tag),
        (_, ["v2", "images", id, "members", rest @ ..]) => members::route(call, id, rest),
        ("GET", ["v2", "schemas", name]) => {
            schema::schema(name).map(|document| Response::json(200, &document)).ok_or_else(nowhere)
        }
        ("GET", ["v2", "info", "import"]) => {
            let methods = json!({"description": "Import methods available.", "type": "array", "value": []});
            Ok(Response::json(200, &json!({"import-methods": methods})))
        }
        ("GET", ["v2", "info", "stores"]) => {
            Err(Refusal::new(404, "Multi backend is not supported at this site."))
        }
        _ => Err(nowhere()),
    }
}

fn nowhere() -> Refusal {
    Refusal::new(404, "The resource could not be found.")
}

/// The image of that id, if the caller may know of it.
fn visible(call: &Call<'_, '_>, id: &str) -> Result<Image, Refusal> {
    call.region
        .image(id)
        .filter(|image| image.visible_to(&call.caller))
        .ok_or_else(|| Refusal::new(404, format!("No image found with ID {id}")))
}

/// The image of that id, if the caller may change it.
fn editable(call: &Call<'_, '_>, id: &str, action: &str) -> Result<Image, Refusal> {
    let image = visible(call, id)?;
    if image.editable_by(&call.caller) {
        return Ok(image);
    }
    Err(Refusal::new(403, format!("You are not authorized to complete {action} action.")))
}

fn delete(call: &Call<'_, '_>, id: &str) -> Answer {
    let unknown = || Refusal::new(404, format!("Failed to find image {id} to delete"));
    let image = visible(call, id).map_err(|_| unknown())?;
    if !image.editable_by(&call.caller) {
        return Err(Refusal::new(403, "You are not authorized to complete delete_image action."));
    }
    if image.protected {
        return Err(Refusal::new(403, format!("Image {id} is protected and cannot be deleted.")));
    }
    if call.core.setup.images_in_use == ImagesInUse::AreKept && lock(&call.region.compute).uses_image(id) {
        let message = format!(
            "Image {id} could not be deleted because it is in use: The image cannot be deleted because it is \
             in use through the backend store outside of Glance."
        );
        return Err(Refusal::new(409, message));
    }
    lock(&call.region.images).retain(|image| image.id != id);
    drop(std::fs::remove_file(call.region.image_file(id)));
    Ok(no_content())
}

fn activate(call: &Call<'_, '_>, id: &str, action: &str) -> Answer {
    let image = editable(call, id, &format!("{action}_image"))?;
    let status = match (action, image.status.as_str()) {
        ("deactivate", "active" | "deactivated") => "deactivated",
        ("reactivate", "active" | "deactivated") => "active",
        ("deactivate" | "reactivate", status) => {
            return Err(Refusal::new(403, format!("Not allowed to {action} image in status '{status}'")));
        }
        _ => return Err(nowhere()),
    };
    call.region.with_image(id, |image| status.clone_into(&mut image.status));
    Ok(no_content())
}

fn no_content() -> Response {
    Response::empty(204).with("Content-Type", "text/html; charset=UTF-8")
}

fn not_allowed(allowed: &str, method: &str) -> Response {
    page(405, &format!("The method {method} is not allowed for this resource. ")).with("Allow", allowed)
}

fn versions(region: &Region, status: u16) -> Response {
    let link = format!("{}/v2/", region.url("glance"));
    let version = |minor: u32, status: &str| {
        let links = [json!({"rel": "self", "href": link})];
        json!({"id": format!("v2.{minor}"), "status": status, "links": links})
    };
    let mut versions = vec![version(15, "CURRENT")];
    versions.extend([9, 7, 6, 5, 4, 3, 2, 1, 0].map(|minor| version(minor, "SUPPORTED")));
    Response::json(status, &json!({"versions": versions}))
}

const UNAUTHORIZED: &str = "This server could not verify that you are authorized to access the document you \
requested. Either you supplied the wrong credentials (e.g., bad password), or your browser does not understand \
how to supply the credentials required.";

/// The little page in which the WSGI services wrap what they have to say.
pub(super) fn page(status: u16, message: &str) -> Response {
    let title = format!("{status} {}", crate::servers::http::reason(status));
    let escaped = message.replace('&', "&amp;").replace('<', "&lt;").replace('\'', "&#x27;");
    let text = format!(
        "<html>\n <head>\n  <title>{title}</title>\n </head>\n <body>\n  <h1>{title}</h1>\n  \
         {escaped}<br /><br />\n\n\n\n </body>\n</html>"
    );
    Response::bytes(status, "text/html; charset=UTF-8", text)
}

/// JSON that the schema does not allow.
fn off_schema(what: &str, value: &Value) -> Refusal {
    Refusal::new(400, format!("Provided object does not match schema 'image': {value} {what}"))
}
