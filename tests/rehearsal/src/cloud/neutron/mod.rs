//! Neutron v2.0 over HTTP: networks, subnets, ports, security groups and their rules, tags, quotas.

mod filter;
mod groups;
mod ports;
mod rules;
mod state;
mod tags;

use std::sync::Arc;

use serde_json::{Value, json};

pub(super) use ports::{activate, plug, port_groups, resolve_groups, resolve_network, unplug};
pub(super) use state::fixed_ips;
pub use state::{Group, Network, Networking, Port, Rule, Subnet};

use super::core::Core;
use super::glance::page;
use super::identity::{Token, uuid};
use super::nova::unauthorized;
use super::region::Region;
use crate::lock;
use crate::servers::http::{Request, Response};

/// A refusal: status, the name of the error and its message.
struct Refusal {
    status: u16,
    kind: &'static str,
    message: String,
}

impl Refusal {
    fn new(status: u16, kind: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind, message: message.into() }
    }

    fn bad(message: impl Into<String>) -> Self {
        Self::new(400, "HTTPBadRequest", message)
    }

    fn nowhere() -> Self {
        Self::new(404, "HTTPNotFound", "The resource could not be found.")
    }

    fn render(&self) -> Response {
        let error = json!({"type": self.kind, "message": self.message, "detail": ""});
        Response::json(self.status, &json!({"NeutronError": error}))
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

impl Call<'_, '_> {
    /// The object under `kind` in the body.
    fn body(&mut self, kind: &str) -> Result<Value, Refusal> {
        let malformed = "Malformed request body: Cannot understand JSON.";
        let body = self.request.json().ok_or_else(|| Refusal::new(400, "MalformedRequestBody", malformed))?;
        match body.get(kind) {
            Some(wanted @ Value::Object(_)) => Ok(wanted.clone()),
            _ => Err(Refusal::bad("Resource body required")),
        }
    }
}

/// Answers a request to a region's networking service.
pub(super) fn handle(core: &Arc<Core>, region: &Arc<Region>, request: &mut Request<'_>) -> Response {
    let response = if request.path == "/" || request.path.is_empty() {
        let links = [json!({"rel": "self", "href": format!("{}/v2.0/", region.url("neutron"))})];
        Response::json(200, &json!({"versions": [{"id": "v2.0", "status": "CURRENT", "links": links}]}))
    } else {
        match core.caller(request) {
            None => unauthorized(core),
            Some(caller) => {
                lock(&region.networking).ensure_default_group(caller.project_id());
                route(Call { core, region, caller, request }).unwrap_or_else(|refusal| refusal.render())
            }
        }
    };
    response.with("X-Openstack-Request-Id", format!("req-{}", uuid()))
}

fn route(call: Call<'_, '_>) -> Answer {
    if call.request.path == "/v2.0/" {
        return Ok(resources(call.region));
    }
    let segments = call.request.segments();
    let segments: Vec<&str> = segments.iter().map(|segment| segment.trim_end_matches(".json")).collect();
    let method = call.request.method.clone();
    let Some(("v2.0", rest)) = segments.split_first().map(|(first, rest)| (*first, rest)) else {
        return Err(Refusal::nowhere());
    };
    match (method.as_str(), rest) {
        (_, [kind, id, "tags", rest @ ..]) => tags::route(call, kind, id, rest),
        (_, ["security-groups", rest @ ..]) => groups::route(call, rest),
        (_, ["security-group-rules", rest @ ..]) => rules::route(call, rest),
        (_, ["networks" | "subnets" | "ports", ..]) => ports::route(call, rest),
        ("GET", ["extensions", rest @ ..]) => extensions(rest),
        ("GET", ["quotas", project, rest @ ..]) => quotas(&call, project, rest),
        _ => Err(Refusal::nowhere()),
    }
}

fn resources(region: &Region) -> Response {
    let base = region.url("neutron");
    let resource = |name: &str| {
        json!({"name": name, "collection": format!("{name}s"),
            "links": [{"rel": "self", "href": format!("{base}/v2.0/{name}s")}]})
    };
    let resources = ["network", "subnet", "subnetpool", "port"].map(resource);
    Response::json(200, &json!({"resources": resources}))
}

const EXTENSIONS: [(&str, &str); 12] = [
    ("security-group", "security-group"),
    ("standard-attr-tag", "Tag support for resources with standard attribute: subnet, port, security_group"),
    ("standard-attr-timestamp", "Resource timestamps"),
    ("standard-attr-revisions", "Resource revision numbers"),
    ("standard-attr-description", "standard-attr-description"),
    ("stateful-security-group", "Stateful security group"),
    ("port-security", "Port Security"),
    ("project-id", "project_id field enabled"),
    ("pagination", "Pagination support"),
    ("sorting", "Sorting support"),
    ("filter-validation", "Filter parameters validation"),
    ("quotas", "Quota management support"),
];

fn extensions(rest: &[&str]) -> Answer {
    let render = |(alias, name): &(&str, &str)| {
        json!({"name": name, "alias": alias, "description": name, "updated": "2015-01-01T10:00:00-00:00",
            "links": []})
    };
    match rest {
        [] => {
            Ok(Response::json(200, &json!({"extensions": EXTENSIONS.iter().map(render).collect::<Vec<_>>()})))
        }
        [alias] => Ok(match EXTENSIONS.iter().find(|(known, _)| known == alias) {
            Some(extension) => Response::json(200, &json!({"extension": render(extension)})),
            None => page(404, &format!("Extension with alias {alias} does not exist")),
        }),
        _ => Err(Refusal::nowhere()),
    }
}

fn quotas(call: &Call<'_, '_>, project: &str, rest: &[&str]) -> Answer {
    if project != call.caller.project_id() && !call.caller.is_admin() {
        let message = "(rule:get_quota) is disallowed by policy";
        return Err(Refusal::new(403, "PolicyNotAuthorized", message));
    }
    let quota = call.core.setup.quota;
    let networking = lock(&call.region.networking);
    let groups = networking.groups.iter().filter(|group| group.project == project);
    let (groups, rules) =
        groups.fold((0, 0), |(groups, rules), group| (groups + 1, rules + group.rules.len()));
    let ports = networking.ports.iter().filter(|port| port.project == project).count();
    drop(networking);
    let table: [(&str, i64, usize); 7] = [
        ("network", 100, 0),
        ("subnet", 100, 0),
        ("subnetpool", -1, 0),
        ("port", 500, ports),
        ("rbac_policy", 10, 0),
        ("security_group", i64::try_from(quota.security_groups).unwrap_or(-1), groups),
        ("security_group_rule", i64::try_from(quota.security_group_rules).unwrap_or(-1), rules),
    ];
    let details = match rest {
        [] => false,
        ["details"] => true,
        _ => return Err(Refusal::nowhere()),
    };
    let mut document = json!({});
    for (name, limit, used) in table {
        document[name] =
            if details { json!({"limit": limit, "used": used, "reserved": 0}) } else { json!(limit) };
    }
    Ok(Response::json(200, &json!({"quota": document})))
}
