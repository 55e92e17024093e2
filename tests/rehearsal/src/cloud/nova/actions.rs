//! `POST /v2.1/servers/ID/action`

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::glance::Image;
use super::server::Server;
use super::{Answer, Call, Refusal, invalid, lifecycle, listing};
use crate::instance::Instance;
use crate::servers::http::Response;

/// Does what the body asks for.
pub(super) fn act(call: Call<'_, '_>, id: &str) -> Answer {
    let body = call.request.json().ok_or_else(|| Refusal::new(400, "Malformed request body"))?;
    let Some((action, arguments)) =
        body.as_object().filter(|body| body.len() == 1).and_then(|body| body.iter().next())
    else {
        return Err(Refusal::new(400, "Malformed request body"));
    };
    let server = listing::find(&call, id)?;
    match action.as_str() {
        "os-stop" => {
            allowed(&server, "stop", &["active", "error"])?;
            lifecycle::power(&call, &server, "powering-off", "stopped", Instance::stop);
            Ok(accepted())
        }
        "os-start" => {
            allowed(&server, "start", &["stopped"])?;
            lifecycle::power(&call, &server, "powering-on", "active", Instance::start);
            Ok(accepted())
        }
        "reboot" => {
            let kind = arguments["type"].as_str().unwrap_or_default().to_uppercase();
            let task = match kind.as_str() {
                "SOFT" => "rebooting",
                "HARD" => "reboot_started_hard",
                _ => {
                    let why = "is not one of ['HARD', 'Hard', 'hard', 'SOFT', 'Soft', 'soft']";
                    return Err(invalid("type", &arguments["type"], why));
                }
            };
            allowed(
                &server,
                "reboot",
                if kind == "SOFT" { &["active"] } else { &["active", "stopped", "error"] },
            )?;
            lifecycle::power(&call, &server, task, "active", Instance::reboot);
            Ok(accepted())
        }
        "createImage" => create_image(&call, &server, arguments),
        "os-getConsoleOutput" => {
            let Some(machine) = &server.machine else {
                let message = format!("Instance {id} is not ready");
                return Err(Refusal::new(409, message));
            };
            let length = arguments["length"].as_u64().or_else(|| arguments["length"].as_str()?.parse().ok());
            Ok(Response::json(200, &json!({"output": machine.console(length)})))
        }
        other => Err(Refusal::new(400, format!("There is no such action: {other}"))),
    }
}

fn accepted() -> Response {
    Response::empty(202).with("Content-Type", "application/json")
}

/// Refuses what cannot be done in the server's state.
fn allowed(server: &Server, action: &str, states: &[&str]) -> Result<(), Refusal> {
    let refuse = |state: String| {
        let message = format!("Cannot '{action}' instance {} while it is in {state}", server.id);
        Err(Refusal::new(409, message))
    };
    if !states.contains(&server.vm_state.as_str()) {
        return refuse(format!("vm_state {}", server.vm_state));
    }
    match &server.task {
        Some(task) => refuse(format!("task_state {task}")),
        None => Ok(()),
    }
}

fn create_image(call: &Call<'_, '_>, server: &Server, arguments: &Value) -> Answer {
    let name = arguments["name"].as_str().filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| invalid("createImage", arguments, "'name' is a required property"))?;
    let metadata: BTreeMap<String, String> = match arguments.get("metadata") {
        None => BTreeMap::new(),
        Some(metadata) => serde_json::from_value(metadata.clone())
            .map_err(|_| invalid("metadata", metadata, "is not of type 'object' with texts"))?,
    };
    allowed(server, "createImage", &["active", "stopped"])?;
    let image = snapshot_image(call, server, name, metadata);
    let id = image.id.clone();
    lifecycle::snapshot(call, server, image);
    if call.minor >= 45 {
        return Ok(Response::json(202, &json!({"image_id": id})));
    }
    let location = format!("{}/images/{id}", call.region.url("glance"));
    Ok(Response::empty(202).with("Content-Type", "text/html; charset=UTF-8").with("Location", location))
}

/// The record of a snapshot: what Nova copies from the base image and what it notes itself.
fn snapshot_image(
    call: &Call<'_, '_>,
    server: &Server,
    name: &str,
    metadata: BTreeMap<String, String>,
) -> Image {
    let mut image = Image::new(&server.project, Some(name.to_owned()));
    image.visibility = "private".into();
    image.min_disk = server.flavor.disk;
    if let Some(base) = call.region.image(&server.image) {
        image.properties = base.properties;
        image.min_ram = base.min_ram;
        for left_out in ["signature_verified", "cinder_encryption_key_id"] {
            image.properties.remove(left_out);
        }
    }
    let project = call.caller.project.as_ref().map_or("", |project| &project.name);
    let notes = [
        ("base_image_ref", server.image.as_str()),
        ("owner_user_name", &call.caller.user.name),
        ("owner_project_name", project),
        ("boot_roles", &call.caller.user.roles.join(",")),
        ("hw_machine_type", "pc"),
        ("hw_cdrom_bus", "ide"),
        ("hw_disk_bus", "virtio"),
        ("hw_input_bus", "usb"),
        ("hw_pointer_model", "usbtablet"),
        ("hw_video_model", "virtio"),
        ("hw_vif_model", "virtio"),
        ("instance_uuid", &server.id),
        ("user_id", &server.user.user.id),
        ("image_type", "snapshot"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()));
    image.properties.extend(notes);
    image.properties.extend(metadata);
    image
}
