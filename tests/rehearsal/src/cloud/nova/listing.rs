//! Finding servers: by id, by filters, in pages; and what hangs on them.

use regex_lite::Regex;
use serde_json::{Value, json};

use super::super::neutron;
use super::server::{Server, View};
use super::{Answer, Call, Refusal};
use crate::lock;
use crate::servers::http::{Response, encode};

const MAX_PAGE: usize = 1000;
/// What may stand in the query; from 2.75 on anything else is refused.
const KNOWN: [&str; 25] = [
    "limit",
    "marker",
    "sort_key",
    "sort_dir",
    "name",
    "status",
    "flavor",
    "image",
    "ip",
    "ip6",
    "all_tenants",
    "all_projects",
    "changes-since",
    "changes-before",
    "deleted",
    "tags",
    "tags-any",
    "not-tags",
    "not-tags-any",
    "availability_zone",
    "host",
    "project_id",
    "user_id",
    "uuid",
    "key_name",
];

/// How much of each server is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// Id, name, links.
    Brief,
    /// Everything.
    Detail,
}

/// The caller's server of that id.
pub(super) fn find(call: &Call<'_, '_>, id: &str) -> Result<Server, Refusal> {
    super::server(call.region, id)
        .filter(|server| server.project == call.caller.project_id() || call.caller.is_admin())
        .ok_or_else(|| Refusal::new(404, format!("Instance {id} could not be found.")))
}

/// `GET /v2.1/servers` and `/v2.1/servers/detail`
pub(super) fn servers(call: &Call<'_, '_>, depth: Depth) -> Answer {
    let query = &call.request.query;
    if call.minor >= 75
        && let Some((unknown, _)) = query.iter().find(|(key, _)| !KNOWN.contains(&key.as_str()))
    {
        return Err(Refusal::new(400, format!("'{unknown}' does not match any of the regexes: '^_'")));
    }
    let flagged = |key| call.request.param(key).is_some_and(|value| value != "0" && value != "False");
    let everybody = flagged("all_tenants") || flagged("all_projects");
    if everybody && !call.caller.is_admin() {
        let message = "Policy doesn't allow os_compute_api:servers:detail:get_all_tenants to be performed.";
        return Err(Refusal::new(403, message));
    }
    let mut found: Vec<Server> = lock(&call.region.compute).servers.clone();
    found.retain(|server| everybody || server.project == call.caller.project_id());
    for (key, value) in query {
        retain(&mut found, key, value)?;
    }
    found.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| b.id.cmp(&a.id)));
    if let Some(marker) = call.request.param("marker") {
        let at = found.iter().position(|server| server.id == marker);
        let at = at.ok_or_else(|| Refusal::new(400, format!("marker [{marker}] not found")))?;
        found.drain(..=at);
    }
    let (shown, more) = cut(&mut found, call.request.param("limit"))?;
    let nova = call.region.url("nova");
    let rendered: Vec<Value> = shown
        .iter()
        .map(|server| match depth {
            Depth::Brief => server.render_brief(&nova),
            Depth::Detail => server.render(call, View::Listed),
        })
        .collect();
    let mut document = json!({"servers": rendered});
    if let (true, Some(last)) = (more, shown.last()) {
        document["servers_links"] = next_link(call, &last.id);
    }
    Ok(Response::json(200, &document))
}

fn retain(found: &mut Vec<Server>, key: &str, value: &str) -> Result<(), Refusal> {
    match key {
        "name" => {
            let name = Regex::new(value).map_err(|error| Refusal::new(400, error.to_string()))?;
            found.retain(|server| name.is_match(&server.name));
        }
        "status" => found.retain(|server| server.status().eq_ignore_ascii_case(value)),
        "flavor" => found.retain(|server| server.flavor.id == value),
        "image" => found.retain(|server| server.image == value),
        "uuid" => found.retain(|server| server.id == value),
        "ip" => found.retain(|server| server.nic.address.is_some_and(|ip| ip.to_string().contains(value))),
        "changes-since" => found.retain(|server| server.updated.iso().as_str() >= value),
        "deleted" if value == "true" || value == "1" => found.clear(),
        _ => {}
    }
    Ok(())
}

/// The first page, and whether there is more.
pub(super) fn cut<T>(found: &mut Vec<T>, limit: Option<&str>) -> Result<(Vec<T>, bool), Refusal> {
    let limit = match limit {
        None => MAX_PAGE,
        Some(text) => {
            let why = format!("Invalid input for query parameters limit. Value: {text}.");
            text.parse::<usize>().map_err(|_| Refusal::new(400, why))?.min(MAX_PAGE)
        }
    };
    let more = limit > 0 && found.len() >= limit;
    let shown = found.drain(..found.len().min(if limit == 0 { MAX_PAGE } else { limit })).collect();
    Ok((shown, more))
}

/// The link to the page after `marker`.
pub(super) fn next_link(call: &Call<'_, '_>, marker: &str) -> Value {
    let kept = call.request.query.iter().filter(|(key, _)| key != "marker");
    let mut pairs: Vec<String> = kept.map(|(key, value)| format!("{key}={}", encode(value))).collect();
    pairs.push(format!("marker={marker}"));
    let href = format!("{}{}?{}", call.region.url("nova"), call.request.path, pairs.join("&"));
    json!([{"rel": "next", "href": href}])
}

/// `GET /v2.1/servers/ID/os-interface`
pub(super) fn interfaces(call: &Call<'_, '_>, id: &str) -> Answer {
    let nic = find(call, id)?.nic;
    let addresses = neutron::fixed_ips(&nic.subnets, nic.address);
    let mut attachment = json!({"net_id": nic.network, "port_id": nic.port, "mac_addr": nic.mac,
        "port_state": "ACTIVE", "fixed_ips": addresses});
    if call.minor >= 70 {
        attachment["tag"] = Value::Null;
    }
    Ok(Response::json(200, &json!({"interfaceAttachments": [attachment]})))
}

/// `GET /v2.1/servers/ID/os-security-groups`
pub(super) fn groups(call: &Call<'_, '_>, id: &str) -> Answer {
    let server = find(call, id)?;
    let groups: Vec<Value> = neutron::port_groups(call.region, &server.nic.port)
        .into_iter()
        .map(|(id, name, description)| {
            json!({"id": id, "name": name, "description": description, "tenant_id": server.project, "rules": []})
        })
        .collect();
    Ok(Response::json(200, &json!({"security_groups": groups})))
}
