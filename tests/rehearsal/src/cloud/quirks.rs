//! What clouds may do and most do not, by name: a test sets what it wants to see borne.

use std::io::Cursor;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value, json};

use super::glance::page;
use crate::lock;
use crate::servers::http::{Payload, Request, Response};

/// What is unusual about a cloud.
#[derive(Clone, Debug, Default)]
pub struct Quirks {
    /// How long a server is ACTIVE before Nova tells its addresses.
    pub address_delay: Duration,
    /// How long a server's port, and so the use of its security groups, outlives the server.
    pub port_lingers: Duration,
    /// The first request about anything new is answered by a replica that does not know it yet: 404.
    pub replicas_lag: bool,
    /// Fields that nobody has to fill are null, also where a text, a number or a list is usual.
    pub nulls: bool,
    /// An nginx in front of Glance refuses bodies that are longer than this.
    pub proxy_limit: Option<u64>,
    /// Glance keeps its users from setting the properties that say what an image is (`os_distro` and its like).
    pub protected_properties: bool,
}

/// Fields that are null with [`Quirks::nulls`].
const NULLED: [&str; 9] = [
    "OS-FLV-DISABLED:disabled",
    "os-flavor-access:is_public",
    "OS-EXT-IPS:type",
    "OS-EXT-IPS-MAC:mac_addr",
    "os_hidden",
    "min_disk",
    "min_ram",
    "port_security_enabled",
    "created",
];

/// Properties that are protected with [`Quirks::protected_properties`].
const PROTECTED: [&str; 4] = ["os_distro", "os_version", "os_type", "os_admin_user"];

/// What stands between the services of a region and their clients.
#[derive(Default)]
pub(super) struct Front {
    quirks: Quirks,
    /// Ids that have been given out and not been asked for yet.
    fresh: Mutex<Vec<String>>,
}

impl Front {
    pub fn new(quirks: &Quirks) -> Self {
        Self { quirks: quirks.clone(), fresh: Mutex::default() }
    }

    /// Has `service`, the one of this name, answer, unless something in front of it does.
    pub fn pass(
        &self,
        name: &str,
        request: &mut Request<'_>,
        service: &dyn Fn(&mut Request<'_>) -> Response,
    ) -> Response {
        let length = request.header("content-length").and_then(|length| length.parse().ok());
        if let (Some(limit), "glance") = (self.quirks.proxy_limit, name)
            && length.is_none_or(|length: u64| length > limit)
            && request.method == "PUT"
        {
            return too_large();
        }
        if !self.quirks.replicas_lag {
            return self.nulled(request.method == "GET", service(request));
        }
        if request.method == "PUT" {
            return if self.is_news(&request.path) { unknown() } else { service(request) };
        }
        let mut body = Vec::new();
        let mut whole = Request {
            method: request.method.clone(),
            target: request.target.clone(),
            path: request.path.clone(),
            query: request.query.clone(),
            headers: request.headers.clone(),
            body: &mut std::io::empty(),
        };
        if request.body.read_to_end(&mut body).is_err() {
            return Response::empty(400);
        }
        let names_news =
            request.path.ends_with("/security-group-rules") && self.is_news(&String::from_utf8_lossy(&body));
        if names_news || self.is_news(&request.path) {
            return unknown();
        }
        let mut body = Cursor::new(body);
        whole.body = &mut body;
        let response = service(&mut whole);
        if let ("POST", 201 | 202, Payload::Bytes(bytes)) =
            (request.method.as_str(), response.status, &response.payload)
        {
            lock(&self.fresh).extend(made(bytes));
        }
        self.nulled(request.method == "GET", response)
    }

    /// Whether Glance keeps its users from setting a property.
    pub fn protects(&self, key: &str) -> bool {
        self.quirks.protected_properties && PROTECTED.contains(&key)
    }

    /// Whether an id that nobody has asked for yet stands in `text`; from now on it is known.
    fn is_news(&self, text: &str) -> bool {
        let mut fresh = lock(&self.fresh);
        let before = fresh.len();
        fresh.retain(|id| !text.contains(id.as_str()));
        fresh.len() < before
    }

    fn nulled(&self, reads: bool, response: Response) -> Response {
        let Payload::Bytes(bytes) = &response.payload else { return response };
        if !(self.quirks.nulls && reads) {
            return response;
        }
        let Ok(mut document) = serde_json::from_slice(bytes) else { return response };
        forget(&mut document);
        Response { payload: Payload::Bytes(document.to_string().into_bytes()), ..response }
    }
}

/// The id of what an answer says that was made.
fn made(answer: &[u8]) -> Option<String> {
    let document: Value = serde_json::from_slice(answer).ok()?;
    let places = ["/server/id", "/security_group/id", "/image_id", "/id"];
    places.iter().find_map(|place| document.pointer(place)).and_then(Value::as_str).map(str::to_owned)
}

fn forget(document: &mut Value) {
    match document {
        Value::Object(fields) => {
            let is_subnet = fields.contains_key("cidr");
            for (key, value) in fields.iter_mut() {
                if NULLED.contains(&key.as_str()) || (is_subnet && key == "name") {
                    *value = Value::Null;
                } else {
                    forget(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(forget),
        _ => {}
    }
}

fn unknown() -> Response {
    page(404, "The resource could not be found.")
}

fn too_large() -> Response {
    let page = "<html>\r\n<head><title>413 Request Entity Too Large</title></head>\r\n<body>\r\n<center><h1>413 Request \
                Entity Too Large</h1></center>\r\n<hr><center>nginx/1.18.0 (Ubuntu)</center>\r\n</body>\r\n</html>\r\n";
    Response::bytes(413, "text/html", page)
}

/// A service of the catalog of which nothing is known.
pub(super) fn nameless() -> Value {
    json!({"id": null, "type": null, "name": null,
        "endpoints": [{"id": null, "interface": null, "region": null, "region_id": null, "url": null}]})
}
