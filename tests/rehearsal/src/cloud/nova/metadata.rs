//! A server's metadata and name.

use serde_json::{Value, json};

use super::super::time::Stamp;
use super::server::View;
use super::{Answer, Call, Refusal, invalid, listing};
use crate::lock;
use crate::servers::http::Response;

/// Everything below `/v2.1/servers/ID/metadata`.
pub(super) fn route(call: Call<'_, '_>, id: &str, rest: &[&str]) -> Answer {
    let server = listing::find(&call, id)?;
    let missing = || Refusal::new(404, "Metadata item was not found");
    match (call.request.method.clone().as_str(), rest) {
        ("GET", []) => Ok(Response::json(200, &json!({"metadata": server.metadata}))),
        ("GET", [key]) => {
            let value = server.metadata.get(*key).ok_or_else(missing)?;
            Ok(Response::json(200, &json!({"meta": {*key: value}})))
        }
        ("DELETE", [key]) => {
            server.metadata.get(*key).ok_or_else(missing)?;
            lock(&call.region.compute).with_server(id, |server| server.metadata.remove(*key));
            Ok(Response::empty(204).with("Content-Type", "application/json"))
        }
        (method @ ("PUT" | "POST"), []) => {
            let body = call.request.json().ok_or_else(|| Refusal::new(400, "Malformed request body"))?;
            let Some(entries) = body["metadata"].as_object() else {
                return Err(invalid("metadata", &body["metadata"], "'metadata' is a required property"));
            };
            let replace = method == "PUT";
            let mut texts = if replace { Default::default() } else { server.metadata.clone() };
            for (key, value) in entries {
                let text = value.as_str().ok_or_else(|| invalid(key, value, "is not of type 'string'"))?;
                texts.insert(key.clone(), text.to_owned());
            }
            lock(&call.region.compute).with_server(id, |server| {
                server.metadata.clone_from(&texts);
                server.updated = Stamp::now();
            });
            Ok(Response::json(200, &json!({"metadata": texts})))
        }
        ("PUT", [key]) => {
            let body = call.request.json().ok_or_else(|| Refusal::new(400, "Malformed request body"))?;
            let value = body["meta"][*key].as_str().map(str::to_owned);
            let value =
                value.ok_or_else(|| invalid("meta", &body["meta"], "Request body and URI mismatch"))?;
            lock(&call.region.compute)
                .with_server(id, |server| server.metadata.insert((*key).to_owned(), value.clone()));
            Ok(Response::json(200, &json!({"meta": {*key: value}})))
        }
        _ => Err(Refusal::new(404, "")),
    }
}

/// `PUT /v2.1/servers/ID`
pub(super) fn rename(call: Call<'_, '_>, id: &str) -> Answer {
    let body = call.request.json().ok_or_else(|| Refusal::new(400, "Malformed request body"))?;
    listing::find(&call, id)?;
    let name = match &body["server"]["name"] {
        Value::String(name) if !name.trim().is_empty() => name.clone(),
        other => return Err(invalid("name", other, "is not a name")),
    };
    lock(&call.region.compute).with_server(id, |server| server.name.clone_from(&name));
    let server = listing::find(&call, id)?;
    Ok(Response::json(200, &json!({"server": server.render(&call, View::Alone)})))
}
