//! Rules of security groups.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::{Value, json};

use super::super::identity::uuid;
use super::super::time::Stamp;
use super::filter;
use super::groups::{self, text};
use super::state::Rule;
use super::{Answer, Call, Refusal};
use crate::lock;
use crate::servers::http::Response;

const ATTRIBUTES: [&str; 13] = [
    "id",
    "security_group_id",
    "direction",
    "ethertype",
    "protocol",
    "port_range_min",
    "port_range_max",
    "remote_ip_prefix",
    "remote_group_id",
    "tenant_id",
    "project_id",
    "description",
    "revision_number",
];

/// Everything below `/v2.0/security-group-rules`.
pub(super) fn route(call: Call<'_, '_>, rest: &[&str]) -> Answer {
    match (call.request.method.clone().as_str(), rest) {
        ("GET", []) => {
            let all = all(&call).into_iter().map(|(_, document)| document).collect();
            filter::answer(&call, "security_group_rules", all, &ATTRIBUTES)
        }
        ("POST", []) => create(call),
        ("GET", [id]) => {
            let found = all(&call).into_iter().find(|(known, _)| known == id);
            let (_, document) = found.ok_or_else(|| unknown(id))?;
            Ok(Response::json(200, &json!({"security_group_rule": document})))
        }
        ("DELETE", [id]) => {
            all(&call).into_iter().find(|(known, _)| known == id).ok_or_else(|| unknown(id))?;
            for group in &mut lock(&call.region.networking).groups {
                group.rules.retain(|rule| rule.id != *id);
            }
            Ok(Response::empty(204))
        }
        _ => Err(Refusal::nowhere()),
    }
}

fn unknown(id: &str) -> Refusal {
    Refusal::new(404, "SecurityGroupRuleNotFound", format!("Security group rule {id} does not exist"))
}

fn all(call: &Call<'_, '_>) -> Vec<(String, Value)> {
    let networking = lock(&call.region.networking);
    let mine = networking
        .groups
        .iter()
        .filter(|group| call.caller.is_admin() || group.project == call.caller.project_id());
    mine.flat_map(|group| group.rules.iter().map(|rule| (rule.id.clone(), rule.render(group)))).collect()
}

fn create(mut call: Call<'_, '_>) -> Answer {
    let wanted = call.body("security_group_rule")?;
    let mut known = ATTRIBUTES.to_vec();
    known.retain(|key| !["id", "revision_number"].contains(key));
    known.push("remote_address_group_id");
    groups::attributes(&wanted, &known)?;
    let required = |key: &'static str| {
        let missing = format!("Failed to parse request. Required attribute '{key}' not specified");
        text(&wanted, key)?.ok_or_else(|| Refusal::bad(missing))
    };
    let group_id = required("security_group_id")?;
    let rule = Rule {
        id: uuid(),
        direction: one_of(required("direction")?, "direction", &["ingress", "egress"])?,
        ethertype: one_of(
            text(&wanted, "ethertype")?.unwrap_or_else(|| "IPv4".into()),
            "ethertype",
            &["IPv4", "IPv6"],
        )?,
        protocol: text(&wanted, "protocol")?.map(|protocol| protocol.to_lowercase()),
        port_min: port(&wanted["port_range_min"])?,
        port_max: port(&wanted["port_range_max"])?,
        remote_prefix: text(&wanted, "remote_ip_prefix")?,
        remote_group: text(&wanted, "remote_group_id")?,
        description: Some(text(&wanted, "description")?.unwrap_or_default()),
        created: Stamp::now(),
    };
    check(&rule)?;
    groups::find(&call, &group_id)?;
    let quota = call.core.setup.quota.security_group_rules;
    let project = call.caller.project_id().to_owned();
    let mut networking = lock(&call.region.networking);
    let mine = networking.groups.iter().filter(|group| group.project == project);
    if mine.map(|group| group.rules.len() as u64).sum::<u64>() >= quota {
        return Err(Refusal::new(409, "OverQuota", "Quota exceeded for resources: ['security_group_rule']."));
    }
    let group = networking.groups.iter_mut().find(|group| group.id == group_id);
    let group = group.ok_or_else(|| groups::unknown(&group_id))?;
    let same = |known: &Rule| {
        let known = Rule {
            id: rule.id.clone(),
            created: rule.created,
            description: rule.description.clone(),
            ..known.clone()
        };
        known == rule
    };
    if let Some(twin) = group.rules.iter().find(|known| same(known)) {
        let message = format!("Security group rule already exists. Rule id is {}.", twin.id);
        return Err(Refusal::new(409, "SecurityGroupRuleExists", message));
    }
    let document = json!({"security_group_rule": rule.render(group)});
    group.rules.push(rule);
    group.touch();
    Ok(Response::json(201, &document))
}

fn one_of(text: String, key: &str, known: &[&str]) -> Result<String, Refusal> {
    if known.contains(&text.as_str()) {
        return Ok(text);
    }
    Err(Refusal::bad(format!("Invalid input for {key}. Reason: {text} is not in valid_values.")))
}

fn port(value: &Value) -> Result<Option<u64>, Refusal> {
    let parsed = match value {
        Value::Null => return Ok(None),
        Value::String(text) => text.parse().ok(),
        other => other.as_u64(),
    };
    match parsed {
        Some(port) if port <= 65_535 => Ok(Some(port)),
        _ => {
            Err(Refusal::new(400, "SecurityGroupInvalidPortValue", format!("Invalid value for port {value}")))
        }
    }
}

fn check(rule: &Rule) -> Result<(), Refusal> {
    if rule.protocol.is_none() && (rule.port_min.is_some() || rule.port_max.is_some()) {
        let message = "Must also specify protocol if port range is given.";
        return Err(Refusal::new(400, "SecurityGroupProtocolRequiredWithPorts", message));
    }
    if rule.port_min > rule.port_max {
        let message = "For TCP/UDP protocols, port_range_min must be <= port_range_max";
        return Err(Refusal::new(400, "SecurityGroupInvalidPortRange", message));
    }
    let Some(prefix) = &rule.remote_prefix else { return Ok(()) };
    if rule.remote_group.is_some() {
        let message = "Only remote_ip_prefix or remote_group_id may be provided.";
        return Err(Refusal::new(400, "SecurityGroupMultipleRemoteEntites", message));
    }
    let (address, _) = prefix.split_once('/').unwrap_or((prefix, ""));
    match (address.parse::<Ipv4Addr>().is_ok(), address.parse::<Ipv6Addr>().is_ok()) {
        (false, false) => {
            Err(Refusal::new(400, "InvalidCIDR", format!("Invalid CIDR {prefix} given as IP prefix.")))
        }
        (true, _) if rule.ethertype == "IPv4" => Ok(()),
        (_, true) if rule.ethertype == "IPv6" => Ok(()),
        _ => {
            let message = format!("Conflicting value ethertype {} for CIDR {prefix}", rule.ethertype);
            Err(Refusal::new(400, "SecurityGroupRuleParameterConflict", message))
        }
    }
}
