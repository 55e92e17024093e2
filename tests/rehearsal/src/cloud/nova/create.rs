//! Asking for a server: everything that is checked before Nova says 202.

use std::collections::BTreeMap;

use base64::Engine as _;
use serde_json::{Value, json};

use super::super::glance::Image;
use super::super::identity::{hex_id, uuid};
use super::super::neutron;
use super::super::time::Stamp;
use super::server::Server;
use super::{Answer, Call, Flavor, Refusal, invalid, lifecycle};
use crate::lock;
use crate::servers::http::Response;

const KNOWN: [&str; 21] = [
    "name",
    "flavorRef",
    "imageRef",
    "networks",
    "metadata",
    "security_groups",
    "key_name",
    "user_data",
    "config_drive",
    "min_count",
    "max_count",
    "availability_zone",
    "description",
    "tags",
    "adminPass",
    "OS-DCF:diskConfig",
    "accessIPv4",
    "accessIPv6",
    "block_device_mapping_v2",
    "hostname",
    "personality",
];

/// `POST /v2.1/servers`
pub(super) fn create(call: Call<'_, '_>) -> Answer {
    let body = call.request.json().ok_or_else(|| Refusal::new(400, "Malformed request body"))?;
    let wanted = &body["server"];
    let Some(fields) = wanted.as_object() else {
        return Err(Refusal::new(400, "'server' is a required property"));
    };
    if let Some(unknown) = fields.keys().find(|key| !KNOWN.contains(&key.as_str())) {
        let why = format!("Additional properties are not allowed ('{unknown}' was unexpected)");
        return Err(invalid("server", wanted, &why));
    }
    let mut required = vec!["flavorRef", "name"];
    if call.minor >= 37 {
        required.push("networks");
    }
    if let Some(missing) = required.iter().find(|key| !fields.contains_key(**key)) {
        return Err(invalid("server", wanted, &format!("'{missing}' is a required property")));
    }
    let metadata = texts(wanted, "metadata")?;
    let name = wanted["name"].as_str().filter(|name| !name.trim().is_empty());
    let name = name.ok_or_else(|| invalid("name", &wanted["name"], "is not a name"))?.trim().to_owned();
    let image = find_image(&call, wanted)?;
    let flavor = find_flavor(&call, wanted)?;
    fits(&image, &flavor)?;
    let user_data = user_data(wanted)?;
    let key_name = key_name(&call, wanted)?;
    let groups = neutron::resolve_groups(call.region, call.caller.project_id(), &wanted["security_groups"])
        .map_err(|message| Refusal::new(400, message))?;
    let network = neutron::resolve_network(call.region, &call.caller, &wanted["networks"])
        .map_err(|(status, message)| Refusal::new(status, message))?;
    let count = wanted["min_count"].as_u64().unwrap_or(1).max(1);
    within_quota(&call, &flavor, count)?;

    let group_names: Vec<String> = groups.iter().map(|(_, name)| name.clone()).collect();
    let mut last = String::new();
    for number in 1..=count {
        let id = uuid();
        let nic = neutron::plug(call.region, &network, call.caller.project_id(), &id, &groups);
        let now = Stamp::now();
        let server = Server {
            id: id.clone(),
            name: if count == 1 { name.clone() } else { format!("{name}-{number}") },
            project: call.caller.project_id().to_owned(),
            user: call.caller.clone(),
            image: image.id.clone(),
            flavor: flavor.clone(),
            metadata: metadata.clone(),
            vm_state: "building".into(),
            task: Some("scheduling".into()),
            fault: None,
            created: now,
            updated: now,
            launched: None,
            nic,
            config_drive: truth(&wanted["config_drive"]),
            key_name: key_name.clone(),
            groups: group_names.clone(),
            description: wanted["description"].as_str().map(str::to_owned),
            tags: Vec::new(),
            user_data: user_data.clone(),
            machine: None,
        };
        lock(&call.region.compute).servers.push(server);
        lifecycle::build(call.core, call.region, &id);
        last = id;
    }
    let nova = call.region.url("nova");
    let groups: Vec<Value> = group_names.iter().map(|name| json!({"name": name})).collect();
    let password: String = hex_id().chars().take(12).collect();
    let document = json!({"server": {"id": last, "links": super::server::links(&nova, "servers", &last),
        "OS-DCF:diskConfig": "MANUAL", "security_groups": groups, "adminPass": password}});
    Ok(Response::json(202, &document).with("Location", format!("{nova}/v2.1/servers/{last}")))
}

fn texts(wanted: &Value, field: &str) -> Result<BTreeMap<String, String>, Refusal> {
    let Some(entries) = wanted.get(field) else { return Ok(BTreeMap::new()) };
    let entries = entries.as_object().ok_or_else(|| invalid(field, entries, "is not of type 'object'"))?;
    let mut texts = BTreeMap::new();
    for (key, value) in entries {
        let text =
            value.as_str().ok_or_else(|| invalid(key, value, &format!("{value} is not of type 'string'")))?;
        if key.len() > 255 || text.len() > 255 {
            return Err(invalid(key, value, "is too long"));
        }
        texts.insert(key.clone(), text.to_owned());
    }
    if texts.len() > 128 {
        return Err(Refusal::new(403, "Maximum number of metadata items exceeds 128"));
    }
    Ok(texts)
}

fn find_image(call: &Call<'_, '_>, wanted: &Value) -> Result<Image, Refusal> {
    let id = wanted["imageRef"].as_str().unwrap_or_default();
    if id.is_empty() {
        return Err(Refusal::new(400, "Missing imageRef attribute"));
    }
    let found = call.region.image(id).filter(|image| image.visible_to(&call.caller));
    let image = found.ok_or_else(|| Refusal::new(400, "Can not find requested image"))?;
    if image.status != "active" {
        return Err(Refusal::new(400, format!("Image {id} is not active.")));
    }
    Ok(image)
}

fn find_flavor(call: &Call<'_, '_>, wanted: &Value) -> Result<Flavor, Refusal> {
    let reference = wanted["flavorRef"].as_str().unwrap_or_default();
    let id = reference.rsplit('/').next().unwrap_or_default();
    let found = lock(&call.region.compute).flavors.iter().find(|flavor| flavor.id == id).cloned();
    found.ok_or_else(|| Refusal::new(400, format!("Flavor {id} could not be found.")))
}

fn fits(image: &Image, flavor: &Flavor) -> Result<(), Refusal> {
    if image.min_ram > flavor.ram {
        return Err(Refusal::new(400, "Flavor's memory is too small for requested image."));
    }
    let disk = flavor.disk << 30;
    let needed = (image.min_disk << 30).max(image.size.unwrap_or(0));
    if flavor.disk > 0 && image.size.unwrap_or(0) > disk {
        let message = format!(
            "Flavor's disk is too small for requested image. Flavor disk is {disk} bytes, image is {needed} bytes."
        );
        return Err(Refusal::new(400, message));
    }
    if flavor.disk > 0 && image.min_disk > flavor.disk {
        let message = format!(
            "Flavor's disk is smaller than the minimum size specified in image metadata. Flavor disk is {disk} \
             bytes, minimum size is {needed} bytes."
        );
        return Err(Refusal::new(400, message));
    }
    Ok(())
}

fn user_data(wanted: &Value) -> Result<Option<Vec<u8>>, Refusal> {
    let Some(text) = wanted["user_data"].as_str() else { return Ok(None) };
    if text.len() > 65_535 {
        return Err(Refusal::new(400, "Invalid input for field/attribute user_data. Value is too long"));
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(text);
    let what = "Invalid input for field/attribute user_data. The value is not a 'base64'";
    decoded.map(Some).map_err(|_| Refusal::new(400, what))
}

fn key_name(call: &Call<'_, '_>, wanted: &Value) -> Result<Option<String>, Refusal> {
    let Some(name) = wanted["key_name"].as_str() else { return Ok(None) };
    let known =
        lock(&call.region.compute).keys.iter().any(|key| key.name == name && key.user == call.caller.user.id);
    if known { Ok(Some(name.to_owned())) } else { Err(Refusal::new(400, "Invalid key_name provided.")) }
}

/// One limit: what is wanted and used of it.
struct Check {
    name: &'static str,
    wanted: u64,
    used: u64,
    limit: u64,
}

fn within_quota(call: &Call<'_, '_>, flavor: &Flavor, count: u64) -> Result<(), Refusal> {
    let quota = call.core.setup.quota;
    let used = super::catalogue::usage(call.region, call.caller.project_id());
    let check = |name, wanted, used, limit| Check { name, wanted, used, limit };
    let checks = [
        check("cores", flavor.vcpus * count, used.cores, quota.cores),
        check("instances", count, used.instances, quota.instances),
        check("ram", flavor.ram * count, used.ram, quota.ram),
    ];
    let over: Vec<&Check> = checks.iter().filter(|check| check.wanted + check.used > check.limit).collect();
    if over.is_empty() {
        return Ok(());
    }
    let join =
        |part: fn(&Check) -> String| over.iter().map(|check| part(check)).collect::<Vec<_>>().join(", ");
    let names = join(|check| check.name.to_owned());
    let message = format!(
        "Quota exceeded for {names}: Requested {}, but already used {} of {} {names}",
        join(|check| check.wanted.to_string()),
        join(|check| check.used.to_string()),
        join(|check| check.limit.to_string()),
    );
    Err(Refusal::new(403, message))
}

fn truth(value: &Value) -> bool {
    value.as_bool().unwrap_or_else(|| value.as_str().is_some_and(|text| text.eq_ignore_ascii_case("true")))
}
