//! Networks, subnets and ports, and what Nova asks of them.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::super::identity::{Token, uuid};
use super::super::nova::Nic;
use super::super::region::Region;
use super::super::time::Stamp;
use super::filter;
use super::groups;
use super::state::{Network, Port};
use super::{Answer, Call, Refusal};
use crate::lock;
use crate::servers::http::Response;

const NETWORK: [&str; 15] = [
    "id",
    "name",
    "tenant_id",
    "project_id",
    "admin_state_up",
    "status",
    "shared",
    "router:external",
    "description",
    "mtu",
    "subnets",
    "created_at",
    "updated_at",
    "revision_number",
    "is_default",
];
const SUBNET: [&str; 9] = [
    "id",
    "name",
    "tenant_id",
    "project_id",
    "network_id",
    "ip_version",
    "cidr",
    "enable_dhcp",
    "gateway_ip",
];
const PORT: [&str; 11] = [
    "id",
    "name",
    "tenant_id",
    "project_id",
    "network_id",
    "device_id",
    "device_owner",
    "status",
    "mac_address",
    "admin_state_up",
    "security_groups",
];

/// Everything below networks, subnets and ports.
pub(super) fn route(mut call: Call<'_, '_>, rest: &[&str]) -> Answer {
    let (networks, ports) = {
        let networking = lock(&call.region.networking);
        (networking.networks.clone(), networking.ports.clone())
    };
    let networks: Vec<Network> =
        networks.into_iter().filter(|network| network.is_visible_to(&call.caller)).collect();
    let mine = |port: &&Port| call.caller.is_admin() || port.project == call.caller.project_id();
    match (call.request.method.clone().as_str(), rest) {
        ("GET", ["networks"]) => {
            filter::answer(&call, "networks", networks.iter().map(Network::render).collect(), &NETWORK)
        }
        ("GET", ["subnets"]) => filter::answer(
            &call,
            "subnets",
            networks.iter().flat_map(Network::render_subnets).collect(),
            &SUBNET,
        ),
        ("GET", ["ports"]) => {
            filter::answer(&call, "ports", ports.iter().filter(mine).map(Port::render).collect(), &PORT)
        }
        ("GET", ["networks", id]) => {
            let found = networks.iter().find(|network| network.id == *id);
            let found = found.ok_or_else(|| not_found("NetworkNotFound", "Network", id))?;
            Ok(Response::json(200, &json!({"network": found.render()})))
        }
        ("GET", ["subnets", id]) => {
            let all = networks
                .iter()
                .flat_map(|network| network.subnets.iter().map(move |subnet| (network, subnet)));
            let mut found = all.filter(|(_, subnet)| subnet.id == *id);
            let (network, subnet) = found.next().ok_or_else(|| not_found("SubnetNotFound", "Subnet", id))?;
            Ok(Response::json(200, &json!({"subnet": network.render_subnet(subnet)})))
        }
        ("GET", ["ports", id]) => {
            let found = ports.iter().filter(mine).find(|port| port.id == *id);
            let found = found.ok_or_else(|| not_found("PortNotFound", "Port", id))?;
            Ok(Response::json(200, &json!({"port": found.render()})))
        }
        ("POST", ["ports"]) => {
            let wanted = call.body("port")?;
            create_port(&call, &wanted)
        }
        ("DELETE", ["ports", id]) => {
            ports
                .iter()
                .filter(mine)
                .find(|port| port.id == *id)
                .ok_or_else(|| not_found("PortNotFound", "Port", id))?;
            unplug(call.region, id);
            Ok(Response::empty(204))
        }
        ("POST", ["networks"]) => {
            let message = "(rule:create_network and rule:create_network:shared) is disallowed by policy";
            Err(Refusal::new(403, "PolicyNotAuthorized", message))
        }
        _ => Err(Refusal::nowhere()),
    }
}

fn not_found(kind: &'static str, what: &str, id: &str) -> Refusal {
    Refusal::new(404, kind, format!("{what} {id} could not be found."))
}

fn create_port(call: &Call<'_, '_>, wanted: &Value) -> Answer {
    let network = wanted["network_id"].as_str().unwrap_or_default();
    let network = lock(&call.region.networking).networks.iter().find(|known| known.id == network).cloned();
    let network = network.ok_or_else(|| {
        not_found("NetworkNotFound", "Network", wanted["network_id"].as_str().unwrap_or(""))
    })?;
    let mut chosen = Vec::new();
    for id in wanted["security_groups"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let group = groups::find(call, id)?;
        chosen.push((group.id, group.name));
    }
    let nic = plug(call.region, &network, call.caller.project_id(), "", &chosen);
    let networking = lock(&call.region.networking);
    let port = networking.ports.iter().find(|port| port.id == nic.port).map(Port::render);
    Ok(Response::json(201, &json!({"port": port})))
}

/// The network that a server's `networks` asks for; otherwise why there is none, and with which status.
pub(in super::super) fn resolve_network(
    region: &Region,
    caller: &Token,
    wanted: &Value,
) -> Result<Network, (u16, String)> {
    let mut networks = lock(&region.networking).networks.clone();
    networks.retain(|network| network.is_visible_to(caller));
    let only = || match networks.iter().filter(|network| network.takes_servers_of(caller)).collect::<Vec<_>>()
        [..]
    {
        [] => Err((400, "No network found".to_owned())),
        [network] => Ok(network.clone()),
        _ => Err((400, "Multiple possible networks found, use a Network ID to be more specific.".to_owned())),
    };
    match wanted {
        Value::Null => only(),
        Value::String(auto) if auto == "auto" => only(),
        wanted => {
            let id = wanted[0]["uuid"].as_str().unwrap_or_default();
            let found = networks.iter().find(|network| network.id == id).cloned();
            let found = found.ok_or_else(|| (400, format!("Network {id} could not be found.")))?;
            let why = format!("It is not allowed to create an interface on external network {id}");
            if found.takes_servers_of(caller) { Ok(found) } else { Err((403, why)) }
        }
    }
}

/// Ids and names of the groups that a server's `security_groups` asks for.
pub(in super::super) fn resolve_groups(
    region: &Region,
    project: &str,
    wanted: &Value,
) -> Result<Vec<(String, String)>, String> {
    let mut networking = lock(&region.networking);
    networking.ensure_default_group(project);
    let mut names: Vec<&str> =
        wanted.as_array().into_iter().flatten().filter_map(|group| group["name"].as_str()).collect();
    if names.is_empty() {
        names.push("default");
    }
    let mut found = Vec::new();
    for name in names {
        let mine = networking.groups.iter().filter(|group| group.project == project);
        let matching: Vec<_> = mine.filter(|group| group.name == name || group.id == name).collect();
        match matching.as_slice() {
            [] => return Err(format!("Unable to find security_group with name or id '{name}'")),
            [group] => found.push((group.id.clone(), group.name.clone())),
            _ => {
                return Err(format!(
                    "Multiple security groups found matching '{name}'. Use an ID to be more specific."
                ));
            }
        }
    }
    Ok(found)
}

/// Makes a port for a server.
pub(in super::super) fn plug(
    region: &Region,
    network: &Network,
    project: &str,
    device: &str,
    groups: &[(String, String)],
) -> Nic {
    let id = uuid();
    let digits: Vec<&str> = [0, 2, 4].iter().filter_map(|at| id.get(*at..at + 2)).collect();
    let mac = format!("fa:16:3e:{}", digits.join(":"));
    let port = Port {
        id: id.clone(),
        name: String::new(),
        project: project.to_owned(),
        network: network.id.clone(),
        subnets: network.subnets.clone(),
        device: device.to_owned(),
        address: None,
        mac: mac.clone(),
        groups: groups.iter().filter(|_| network.port_security).map(|(id, _)| id.clone()).collect(),
        tags: Vec::new(),
        created: Stamp::now(),
    };
    lock(&region.networking).ports.push(port);
    Nic {
        network: network.id.clone(),
        network_name: network.name.clone(),
        subnets: network.subnets.clone(),
        port_security: network.port_security,
        port: id,
        address: None,
        mac,
    }
}

/// Gives a port its address.
pub(in super::super) fn activate(region: &Region, port: &str, address: Ipv4Addr) {
    let mut networking = lock(&region.networking);
    if let Some(port) = networking.ports.iter_mut().find(|known| known.id == port) {
        port.address = Some(address);
    }
}

/// Removes a port.
pub(in super::super) fn unplug(region: &Region, port: &str) {
    lock(&region.networking).ports.retain(|known| known.id != port);
}

/// Id, name and description of a port's groups.
pub(in super::super) fn port_groups(region: &Region, port: &str) -> Vec<(String, String, String)> {
    let networking = lock(&region.networking);
    let ids = networking.ports.iter().find(|known| known.id == port).map(|port| port.groups.clone());
    let ids = ids.unwrap_or_default();
    let groups = networking.groups.iter().filter(|group| ids.contains(&group.id));
    groups.map(|group| (group.id.clone(), group.name.clone(), group.description.clone())).collect()
}
