//! Nova v2.1 over HTTP, microversions up to Zed's 2.93: servers, flavors, key pairs, limits.

mod actions;
mod catalogue;
mod create;
mod lifecycle;
mod listing;
mod metadata;
mod server;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::{Value, json};

pub use server::{Nic, Server};

use super::core::Core;
use super::glance::page;
use super::identity::{Token, uuid};
use super::region::Region;
use super::setup::CloudSetup;
use crate::lock;
use crate::servers::http::{Request, Response};

const NEWEST: u32 = 93;

/// A flavor.
#[derive(Clone, Debug)]
pub struct Flavor {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Virtual CPUs.
    pub vcpus: u64,
    /// MiB.
    pub ram: u64,
    /// GiB.
    pub disk: u64,
    /// Extra specs.
    pub extra_specs: BTreeMap<String, String>,
}

/// An imported public key.
#[derive(Clone, Debug)]
pub struct KeyPair {
    /// Whose.
    pub user: String,
    /// Its name.
    pub name: String,
    /// `ssh-ed25519 AAAA...`
    pub public_key: String,
}

/// Nova's state in one region.
pub struct Compute {
    /// The servers, oldest first.
    pub servers: Vec<Server>,
    /// The flavors.
    pub flavors: Vec<Flavor>,
    /// The key pairs.
    pub keys: Vec<KeyPair>,
    /// What the next builds die of.
    pub failures: VecDeque<String>,
}

impl Compute {
    pub(super) fn new(setup: &CloudSetup) -> Self {
        let flavors = setup.flavors.iter().map(|flavor| Flavor {
            id: uuid(),
            name: flavor.name.clone(),
            vcpus: flavor.vcpus,
            ram: flavor.ram,
            disk: flavor.disk,
            extra_specs: flavor.extra_specs.iter().cloned().collect(),
        });
        Self { servers: Vec::new(), flavors: flavors.collect(), keys: Vec::new(), failures: VecDeque::new() }
    }

    /// Whether a server was made from that image.
    pub(super) fn uses_image(&self, id: &str) -> bool {
        self.servers.iter().any(|server| server.image == id)
    }

    /// Changes a server's record, when it is there.
    pub(super) fn with_server<T>(&mut self, id: &str, change: impl FnOnce(&mut Server) -> T) -> Option<T> {
        self.servers.iter_mut().find(|server| server.id == id).map(change)
    }
}

/// A refusal: status and message.
pub(super) struct Refusal {
    status: u16,
    message: String,
}

impl Refusal {
    fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    fn render(&self) -> Response {
        if self.status == 404 && self.message.is_empty() {
            return page(404, "The resource could not be found.");
        }
        let name = match self.status {
            400 => "badRequest",
            403 => "forbidden",
            404 => "itemNotFound",
            409 => "conflictingRequest",
            413 => "overLimit",
            501 => "notImplemented",
            _ => "computeFault",
        };
        let document = json!({name: {"code": self.status, "message": self.message}});
        Response::bytes(self.status, "application/json; charset=UTF-8", document.to_string())
    }
}

type Answer = Result<Response, Refusal>;

/// One request with all it needs.
struct Call<'a, 'b> {
    core: &'a Arc<Core>,
    region: &'a Arc<Region>,
    caller: Token,
    minor: u32,
    request: &'a mut Request<'b>,
}

/// Answers a request to a region's compute service.
pub(super) fn handle(core: &Arc<Core>, region: &Arc<Region>, request: &mut Request<'_>) -> Response {
    let id = format!("req-{}", uuid());
    answer(core, region, request).with("x-openstack-request-id", id.clone()).with("x-compute-request-id", id)
}

fn answer(core: &Arc<Core>, region: &Arc<Region>, request: &mut Request<'_>) -> Response {
    let path = request.path.trim_end_matches('/').to_owned();
    if path.is_empty() {
        let current = version(region);
        let old = json!({"id": "v2.0", "status": "SUPPORTED", "version": "", "min_version": "",
            "updated": "2011-01-21T11:33:21Z",
            "links": [{"rel": "self", "href": format!("{}/v2/", region.url("nova"))}]});
        return Response::json(200, &json!({"versions": [old, current]}));
    }
    let minor = match microversion(request) {
        Ok(minor) => minor,
        Err(refusal) => return refusal.render(),
    };
    let versioned = |response: Response| {
        let response = response.with("OpenStack-API-Version", format!("compute 2.{minor}"));
        response.with("X-OpenStack-Nova-API-Version", format!("2.{minor}"))
    };
    if minor > NEWEST {
        let message = format!(
            "Version 2.{minor} is not supported by the API. Minimum is 2.1 and maximum is 2.{NEWEST}."
        );
        return versioned(Refusal::new(406, message).render());
    }
    if path == "/v2.1" || path == "/v2" {
        let mut document = version(region);
        document["links"] = json!([
            {"rel": "self", "href": format!("{}/v2.1/", region.url("nova"))},
            {"rel": "describedby", "type": "text/html", "href": "http://docs.openstack.org/"}]);
        document["media-types"] = json!([{"base": "application/json", "type": "application/vnd.openstack.compute+json;version=2.1"}]);
        return versioned(Response::json(200, &json!({"version": document})));
    }
    let Some(caller) = core.caller(request) else { return unauthorized(core) };
    let response = match route(Call { core, region, caller, minor, request }) {
        Ok(response) => response,
        Err(refusal) if refusal.status == 404 && refusal.message.is_empty() => return refusal.render(),
        Err(refusal) => refusal.render(),
    };
    versioned(response)
}

fn route(call: Call<'_, '_>) -> Answer {
    let segments = call.request.segments();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let method = call.request.method.clone();
    let Some(("v2.1" | "v2", rest)) = segments.split_first().map(|(first, rest)| (*first, rest)) else {
        return Err(Refusal::new(404, ""));
    };
    match (method.as_str(), rest) {
        ("GET", ["servers"]) => listing::servers(&call, listing::Depth::Brief),
        ("GET", ["servers", "detail"]) => listing::servers(&call, listing::Depth::Detail),
        ("POST", ["servers"]) => create::create(call),
        ("GET", ["servers", id]) => {
            let server = listing::find(&call, id)?;
            Ok(Response::json(200, &json!({"server": server.render(&call, server::View::Alone)})))
        }
        ("DELETE", ["servers", id]) => lifecycle::delete(&call, id),
        ("PUT", ["servers", id]) => metadata::rename(call, id),
        ("POST", ["servers", id, "action"]) => actions::act(call, id),
        (_, ["servers", id, "metadata", rest @ ..]) => metadata::route(call, id, rest),
        ("GET", ["servers", id, "os-interface"]) => listing::interfaces(&call, id),
        ("GET", ["servers", id, "os-security-groups"]) => listing::groups(&call, id),
        ("GET", ["servers", id, "os-volume_attachments"]) => {
            listing::find(&call, id)?;
            Ok(Response::json(200, &json!({"volumeAttachments": []})))
        }
        _ => catalogue::route(call, &method, rest),
    }
}

fn version(region: &Region) -> Value {
    json!({"id": "v2.1", "status": "CURRENT", "version": format!("2.{NEWEST}"), "min_version": "2.1",
        "updated": "2013-07-23T11:33:21Z",
        "links": [{"rel": "self", "href": format!("{}/v2.1/", region.url("nova"))}]})
}

fn microversion(request: &Request<'_>) -> Result<u32, Refusal> {
    let modern = request.header("openstack-api-version").and_then(|value| value.strip_prefix("compute "));
    let Some(wanted) = modern.or_else(|| request.header("x-openstack-nova-api-version")) else {
        return Ok(1);
    };
    let wanted = wanted.trim();
    if wanted == "latest" {
        return Ok(NEWEST);
    }
    let minor = wanted.strip_prefix("2.").and_then(|minor| minor.parse().ok());
    minor.ok_or_else(|| {
        let message =
            format!("API Version String {wanted} is of invalid format. Must be of format MajorNum.MinorNum.");
        Refusal::new(400, message)
    })
}

/// The answer of the token middleware that Nova and Neutron share.
pub(super) fn unauthorized(core: &Core) -> Response {
    let keystone = core.keystone_url.get().cloned().unwrap_or_default();
    let message = "The request you have made requires authentication.";
    Response::json(401, &json!({"error": {"code": 401, "title": "Unauthorized", "message": message}}))
        .with("Www-Authenticate", format!("Keystone uri=\"{keystone}\""))
}

/// A refusal of a body in the words of the schema check.
fn invalid(field: &str, value: &Value, why: &str) -> Refusal {
    Refusal::new(400, format!("Invalid input for field/attribute {field}. Value: {value}. {why}"))
}

/// A copy of the server of that id, whoever owns it.
pub(super) fn server(region: &Region, id: &str) -> Option<Server> {
    lock(&region.compute).servers.iter().find(|server| server.id == id).cloned()
}
