//! What does not hang on a server: flavors, key pairs, limits, quotas, zones, and Nova's view of images.

use serde_json::{Value, json};

use super::super::region::Region;
use super::server::{bookmark, links};
use super::{Answer, Call, Flavor, KeyPair, Refusal, invalid, listing};
use crate::lock;
use crate::servers::http::Response;

/// Routes everything but servers.
pub(super) fn route(call: Call<'_, '_>, method: &str, rest: &[&str]) -> Answer {
    match (method, rest) {
        ("GET", ["flavors"]) => flavors(
            &call,
            |call, flavor| json!({"id": flavor.id, "name": flavor.name, "links": links(&call.region.url("nova"), "flavors", &flavor.id)}),
        ),
        ("GET", ["flavors", "detail"]) => flavors(&call, render_flavor),
        ("GET", ["flavors", id]) => {
            let flavor = flavor(&call, id)?;
            Ok(Response::json(200, &json!({"flavor": render_flavor(&call, &flavor)})))
        }
        ("GET", ["flavors", id, "os-extra_specs"]) => {
            Ok(Response::json(200, &json!({"extra_specs": flavor(&call, id)?.extra_specs})))
        }
        ("GET", ["os-keypairs"]) => Ok(list_keys(&call)),
        ("POST", ["os-keypairs"]) => import_key(call),
        ("GET", ["os-keypairs", name]) => show_key(&call, name),
        ("DELETE", ["os-keypairs", name]) => delete_key(&call, name),
        ("GET", ["limits"]) => Ok(limits(&call)),
        ("GET", ["os-quota-sets", project]) => Ok(quota(&call, project)),
        ("GET", ["os-availability-zone"]) => {
            let zone = json!({"zoneName": "nova", "zoneState": {"available": true}, "hosts": null});
            Ok(Response::json(200, &json!({"availabilityZoneInfo": [zone]})))
        }
        ("GET", ["extensions"]) => Ok(Response::json(200, &json!({"extensions": []}))),
        ("GET", ["os-hypervisors", ..]) => {
            Err(Refusal::new(403, "Policy doesn't allow os_compute_api:os-hypervisors:list to be performed."))
        }
        ("GET", ["images", id]) if call.minor < 36 => image(&call, id),
        _ => Err(Refusal::new(404, "")),
    }
}

fn flavor(call: &Call<'_, '_>, id: &str) -> Result<Flavor, Refusal> {
    let found = lock(&call.region.compute).flavors.iter().find(|flavor| flavor.id == id).cloned();
    found.ok_or_else(|| Refusal::new(404, format!("Flavor {id} could not be found.")))
}

fn flavors(call: &Call<'_, '_>, render: fn(&Call<'_, '_>, &Flavor) -> Value) -> Answer {
    let mut found = lock(&call.region.compute).flavors.clone();
    let at_least =
        |key: &str| call.request.param(key).and_then(|value| value.parse::<u64>().ok()).unwrap_or(0);
    found.retain(|flavor| flavor.disk >= at_least("minDisk") && flavor.ram >= at_least("minRam"));
    if let Some(marker) = call.request.param("marker") {
        let at = found.iter().position(|flavor| flavor.id == marker);
        let at = at.ok_or_else(|| Refusal::new(400, format!("Invalid marker: {marker}")))?;
        found.drain(..=at);
    }
    let (shown, more) = listing::cut(&mut found, call.request.param("limit"))?;
    let rendered: Vec<Value> = shown.iter().map(|flavor| render(call, flavor)).collect();
    let mut document = json!({"flavors": rendered});
    if let (true, Some(last)) = (more, shown.last()) {
        document["flavors_links"] = listing::next_link(call, &last.id);
    }
    Ok(Response::json(200, &document))
}

fn render_flavor(call: &Call<'_, '_>, flavor: &Flavor) -> Value {
    let mut document = json!({"id": flavor.id, "name": flavor.name, "ram": flavor.ram, "disk": flavor.disk,
        "swap": "", "OS-FLV-EXT-DATA:ephemeral": 0, "OS-FLV-DISABLED:disabled": false, "vcpus": flavor.vcpus,
        "os-flavor-access:is_public": true, "rxtx_factor": 1.0,
        "links": links(&call.region.url("nova"), "flavors", &flavor.id)});
    if call.minor >= 75 {
        document["swap"] = json!(0);
    }
    if call.minor >= 55 {
        document["description"] = Value::Null;
    }
    if call.minor >= 61 {
        document["extra_specs"] = json!(flavor.extra_specs);
    }
    document
}

fn render_key(key: &KeyPair, minor: u32) -> Value {
    let mut document = json!({"name": key.name, "public_key": key.public_key, "fingerprint": "00:00:00:00"});
    if minor >= 2 {
        document["type"] = json!("ssh");
    }
    document
}

fn list_keys(call: &Call<'_, '_>) -> Response {
    let compute = lock(&call.region.compute);
    let mine = compute.keys.iter().filter(|key| key.user == call.caller.user.id);
    let keys: Vec<Value> = mine.map(|key| json!({"keypair": render_key(key, call.minor)})).collect();
    Response::json(200, &json!({"keypairs": keys}))
}

fn import_key(call: Call<'_, '_>) -> Answer {
    let body = call.request.json().ok_or_else(|| Refusal::new(400, "Malformed request body"))?;
    let wanted = &body["keypair"];
    let (Some(name), Some(public_key)) = (wanted["name"].as_str(), wanted["public_key"].as_str()) else {
        return Err(invalid("keypair", wanted, "'public_key' is a required property"));
    };
    let key = KeyPair { user: call.caller.user.id.clone(), name: name.into(), public_key: public_key.into() };
    let mut compute = lock(&call.region.compute);
    if compute.keys.iter().any(|known| known.user == key.user && known.name == key.name) {
        return Err(Refusal::new(409, format!("Key pair '{name}' already exists.")));
    }
    let mut document = render_key(&key, call.minor);
    document["user_id"] = json!(key.user);
    compute.keys.push(key);
    Ok(Response::json(if call.minor >= 2 { 201 } else { 200 }, &json!({"keypair": document})))
}

fn unknown_key(call: &Call<'_, '_>, name: &str) -> Refusal {
    Refusal::new(404, format!("Keypair {name} not found for user {}", call.caller.user.id))
}

fn show_key(call: &Call<'_, '_>, name: &str) -> Answer {
    let compute = lock(&call.region.compute);
    let key = compute.keys.iter().find(|key| key.name == name && key.user == call.caller.user.id);
    let key = key.ok_or_else(|| unknown_key(call, name))?;
    Ok(Response::json(200, &json!({"keypair": render_key(key, call.minor)})))
}

fn delete_key(call: &Call<'_, '_>, name: &str) -> Answer {
    let mut compute = lock(&call.region.compute);
    let at = compute.keys.iter().position(|key| key.name == name && key.user == call.caller.user.id);
    let at = at.ok_or_else(|| unknown_key(call, name))?;
    compute.keys.remove(at);
    Ok(Response::empty(if call.minor >= 2 { 204 } else { 202 }).with("Content-Type", "application/json"))
}

/// What a project's servers take.
#[derive(Default)]
pub(super) struct Usage {
    pub instances: u64,
    pub cores: u64,
    pub ram: u64,
}

/// What a project's servers take at the moment.
pub(super) fn usage(region: &Region, project: &str) -> Usage {
    let compute = lock(&region.compute);
    let mine = compute.servers.iter().filter(|server| server.project == project);
    mine.fold(Usage::default(), |used, server| Usage {
        instances: used.instances + 1,
        cores: used.cores + server.flavor.vcpus,
        ram: used.ram + server.flavor.ram,
    })
}

fn limits(call: &Call<'_, '_>) -> Response {
    let (quota, used) = (call.core.setup.quota, usage(call.region, call.caller.project_id()));
    let mut absolute = json!({
        "maxTotalInstances": quota.instances, "maxTotalCores": quota.cores, "maxTotalRAMSize": quota.ram,
        "maxServerMeta": 128, "maxTotalKeypairs": 100, "maxServerGroups": 10, "maxServerGroupMembers": 10,
        "totalRAMUsed": used.ram, "totalCoresUsed": used.cores, "totalInstancesUsed": used.instances,
        "totalServerGroupsUsed": 0,
    });
    if call.minor < 36 {
        for key in ["maxTotalFloatingIps", "maxSecurityGroups", "maxSecurityGroupRules"] {
            absolute[key] = json!(-1);
        }
        for key in ["totalFloatingIpsUsed", "totalSecurityGroupsUsed"] {
            absolute[key] = json!(0);
        }
    }
    if call.minor < 39 {
        absolute["maxImageMeta"] = json!(128);
    }
    if call.minor < 57 {
        absolute["maxPersonality"] = json!(5);
        absolute["maxPersonalitySize"] = json!(10_240);
    }
    Response::json(200, &json!({"limits": {"rate": [], "absolute": absolute}}))
}

fn quota(call: &Call<'_, '_>, project: &str) -> Response {
    let quota = call.core.setup.quota;
    let mut set = json!({"id": project, "cores": quota.cores, "instances": quota.instances, "ram": quota.ram,
        "key_pairs": 100, "metadata_items": 128, "server_group_members": 10, "server_groups": 10});
    if call.minor < 36 {
        for key in ["fixed_ips", "floating_ips", "security_group_rules", "security_groups"] {
            set[key] = json!(-1);
        }
    }
    if call.minor < 57 {
        for (key, value) in [
            ("injected_file_content_bytes", 10_240),
            ("injected_file_path_bytes", 255),
            ("injected_files", 5),
        ] {
            set[key] = json!(value);
        }
    }
    Response::json(200, &json!({"quota_set": set}))
}

fn image(call: &Call<'_, '_>, id: &str) -> Answer {
    let found = call.region.image(id).filter(|image| image.visible_to(&call.caller));
    let image = found.ok_or_else(|| Refusal::new(404, format!("Image {id} could not be found.")))?;
    let nova = call.region.url("nova");
    let status = match image.status.as_str() {
        "active" => "ACTIVE",
        _ => "SAVING",
    };
    let mut links = links(&nova, "images", id);
    if let Some(links) = links.as_array_mut() {
        let href = format!("{}/images/{id}", call.region.url("glance"));
        links.push(json!({"rel": "alternate", "type": "application/vnd.openstack.image", "href": href}));
    }
    let mut document = json!({"id": id, "name": image.name, "minRam": image.min_ram, "minDisk": image.min_disk,
        "metadata": image.properties, "created": image.created.iso(), "updated": image.updated.iso(),
        "status": status, "progress": if status == "ACTIVE" { 100 } else { 25 },
        "OS-EXT-IMG-SIZE:size": image.size, "links": links});
    if let Some(server) = image.properties.get("instance_uuid") {
        let own = format!("{nova}/v2.1/servers/{server}");
        document["server"] = json!({"id": server, "links": [{"rel": "self", "href": own}, bookmark(&nova, "servers", server)]});
    }
    Ok(Response::json(200, &json!({"image": document})))
}
