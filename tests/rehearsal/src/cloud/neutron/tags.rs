//! Tags on networks, ports and security groups.

use serde_json::{Value, json};

use super::state::Networking;
use super::{Answer, Call, Refusal};
use crate::lock;
use crate::servers::http::Response;

/// Everything below `/v2.0/KIND/ID/tags`.
pub(super) fn route(call: Call<'_, '_>, kind: &str, id: &str, rest: &[&str]) -> Answer {
    let method = call.request.method.clone();
    let body = if method == "PUT" && rest.is_empty() { call.request.json() } else { None };
    let project = if call.caller.is_admin() { None } else { Some(call.caller.project_id()) };
    let mut networking = lock(&call.region.networking);
    let tags = tags_of(&mut networking, kind, id, project).ok_or_else(|| {
        Refusal::new(404, "TagResourceNotFound", format!("Resource {kind} {id} could not be found."))
    })?;
    let unknown = |tag: &str| Refusal::new(404, "TagNotFound", format!("Tag {tag} could not be found."));
    match (method.as_str(), rest) {
        ("GET", []) => Ok(Response::json(200, &json!({"tags": tags}))),
        ("PUT", []) => {
            let wanted = body.as_ref().and_then(|body| body["tags"].as_array());
            let wanted = wanted.ok_or_else(|| Refusal::bad("Invalid tags body."))?;
            *tags = wanted.iter().filter_map(Value::as_str).map(str::to_owned).collect();
            Ok(Response::json(200, &json!({"tags": tags})))
        }
        ("DELETE", []) => {
            tags.clear();
            Ok(Response::empty(204))
        }
        ("GET", [tag]) if tags.iter().any(|known| known == tag) => Ok(Response::empty(204)),
        ("GET", [tag]) => Err(unknown(tag)),
        ("PUT", [tag]) => {
            tags.retain(|known| known != tag);
            tags.push((*tag).to_owned());
            Ok(Response::json(201, &Value::Null))
        }
        ("DELETE", [tag]) if tags.iter().any(|known| known == tag) => {
            tags.retain(|known| known != tag);
            Ok(Response::empty(204))
        }
        ("DELETE", [tag]) => Err(unknown(tag)),
        _ => Err(Refusal::nowhere()),
    }
}

fn tags_of<'a>(
    networking: &'a mut Networking,
    kind: &str,
    id: &str,
    project: Option<&str>,
) -> Option<&'a mut Vec<String>> {
    let mine = |owner: &str| project.is_none_or(|project| project == owner);
    match kind {
        "networks" => networking.networks.iter_mut().find(|item| item.id == id).map(|item| &mut item.tags),
        "ports" => networking
            .ports
            .iter_mut()
            .find(|item| item.id == id && mine(&item.project))
            .map(|item| &mut item.tags),
        "security-groups" => networking
            .groups
            .iter_mut()
            .find(|item| item.id == id && mine(&item.project))
            .map(|item| &mut item.tags),
        _ => None,
    }
}
