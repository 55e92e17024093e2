//! What happens to servers after the answer: building, booting, stopping, snapshots, deletion. Each runs in a
//! thread of its own that looks the server up again after every pause, since it may be gone by then.

use std::fs;
use std::sync::Arc;
use std::thread;

use super::super::core::Core;
use super::super::glance::{self, Image};
use super::super::neutron;
use super::super::region::Region;
use super::super::time::Stamp;
use super::server::Server;
use super::{Answer, Call, listing};
use crate::instance::{Boot, Instance};
use crate::lock;
use crate::servers::http::Response;

/// Changes the server and its date, when it still exists and is not on its way out.
fn update<T>(region: &Region, id: &str, change: impl FnOnce(&mut Server) -> T) -> Option<T> {
    let mut compute = lock(&region.compute);
    let server = compute.servers.iter_mut().find(|server| server.id == id)?;
    if server.task.as_deref() == Some("deleting") {
        return None;
    }
    server.updated = Stamp::now();
    Some(change(server))
}

fn fail(region: &Region, id: &str, why: &str) {
    update(region, id, |server| {
        server.vm_state = "error".into();
        server.task = None;
        server.fault = Some((why.to_owned(), Stamp::now()));
    });
}

const NO_PORT_SECURITY: &str =
    "Network requires port_security_enabled and subnet associated in order to apply security groups.";

/// BUILD to ACTIVE or ERROR.
pub(super) fn build(core: &Arc<Core>, region: &Arc<Region>, id: &str) {
    let (core, region, id) = (Arc::clone(core), Arc::clone(region), id.to_owned());
    thread::spawn(move || {
        let step = core.setup.latencies.build / 2;
        thread::sleep(step);
        let unguarded = super::server(&region, &id).is_some_and(|server| {
            !server.nic.port_security && server.groups.iter().any(|group| group != "default")
        });
        let failure = match unguarded {
            true => Some(NO_PORT_SECURITY.to_owned()),
            false => lock(&region.compute).failures.pop_front(),
        };
        if let Some(why) = failure {
            fail(&region, &id, &why);
            return;
        }
        if update(&region, &id, |server| server.task = Some("spawning".into())).is_none() {
            return;
        }
        thread::sleep(step);
        if let Err(why) = spawn(&core, &region, &id) {
            fail(&region, &id, &why);
        }
    });
}

fn spawn(core: &Core, region: &Region, id: &str) -> Result<(), String> {
    let Some(server) = super::server(region, id) else { return Ok(()) };
    let gone = || format!("Image {} could not be found.", server.image);
    let image = region.image(&server.image).ok_or_else(gone)?;
    let address = core.hypervisor.reserve_address().map_err(|error| error.to_string())?;
    let keys = lock(&region.compute);
    let key = keys
        .keys
        .iter()
        .find(|key| Some(&key.name) == server.key_name.as_ref() && key.user == server.user.user.id);
    let key = key.map(|key| key.public_key.clone());
    drop(keys);
    let boot = Boot {
        id: server.id.clone(),
        address,
        hostname: server.hostname(),
        image_name: image.name.clone().unwrap_or_default(),
        image_properties: image.properties.clone(),
        disk: region.image_file(&image.id),
        user_data: server.user_data.clone(),
        public_keys: key.into_iter().collect(),
        boot_delay: core.setup.latencies.boot,
        cloud_init_delay: core.setup.latencies.cloud_init,
    };
    let machine = core.hypervisor.boot(boot).map_err(|error| error.to_string())?;
    neutron::activate(region, &server.nic.port, address);
    let delay = core.setup.quirks.address_delay;
    let taken = update(region, id, |server| {
        server.nic.address = Some(address).filter(|_| delay.is_zero());
        server.vm_state = "active".into();
        server.task = None;
        server.launched = Some(Stamp::now());
        server.machine = Some(Arc::clone(&machine));
    });
    if taken.is_none() {
        machine.destroy();
    } else if !delay.is_zero() {
        thread::sleep(delay);
        update(region, id, |server| server.nic.address = Some(address));
    }
    Ok(())
}

/// Runs `work` on the machine after the power latency, then sets the state.
pub(super) fn power(
    call: &Call<'_, '_>,
    server: &Server,
    task: &str,
    end: &'static str,
    work: fn(&Instance) -> Result<(), crate::instance::Error>,
) {
    update(call.region, &server.id, |server| server.task = Some(task.to_owned()));
    let (region, pause) = (Arc::clone(call.region), call.core.setup.latencies.power);
    let (id, machine) = (server.id.clone(), server.machine.clone());
    thread::spawn(move || {
        thread::sleep(pause);
        let done = machine.map_or(Ok(()), |machine| work(&machine));
        match done {
            Ok(()) => {
                update(&region, &id, |server| {
                    server.task = None;
                    server.vm_state = end.into();
                });
            }
            Err(error) => fail(&region, &id, &error.to_string()),
        }
    });
}

/// The upload of a snapshot into the queued `image`.
pub(super) fn snapshot(call: &Call<'_, '_>, server: &Server, image: Image) {
    let (core, region) = (Arc::clone(call.core), Arc::clone(call.region));
    let server = server.clone();
    let id = image.id.clone();
    lock(&region.images).push(image);
    update(&region, &server.id, |server| server.task = Some("image_snapshot_pending".into()));
    thread::spawn(move || {
        let pause = core.setup.latencies.snapshot / 3;
        let mut there = true;
        for task in ["image_snapshot", "image_pending_upload", "image_uploading"] {
            thread::sleep(pause);
            there = there && update(&region, &server.id, |server| server.task = Some(task.into())).is_some();
        }
        region.with_image(&id, |image| {
            image.status = "saving".into();
            image.disk_format = Some("qcow2".into());
            image.container_format = Some("bare".into());
        });
        let stored = if there { upload(&region, &server, &id) } else { None };
        match stored {
            Some(stored) => {
                region.with_image(&id, |image| {
                    stored.complete(image);
                    image.virtual_size = Some(server.flavor.disk << 30);
                    let owner = image.owner.clone();
                    for (key, value) in [
                        ("owner_id", owner.as_str()),
                        ("image_state", "available"),
                        ("image_location", "snapshot"),
                    ] {
                        image.properties.insert(key.into(), value.into());
                    }
                });
            }
            // Nova takes the image of a failed snapshot away again.
            None => lock(&region.images).retain(|image| image.id != id),
        }
        update(&region, &server.id, |server| server.task = None);
    });
}

fn upload(region: &Region, server: &Server, id: &str) -> Option<glance::Stored> {
    let disk = region.store.join(format!("{id}.disk"));
    server.machine.as_ref()?.snapshot(&disk).ok()?;
    // The image may have been deleted meanwhile: then its bytes go too.
    let stored =
        fs::File::open(&disk).and_then(|mut file| glance::receive(&mut file, &region.image_file(id))).ok();
    drop(fs::remove_file(disk));
    if region.image(id).is_none() {
        drop(fs::remove_file(region.image_file(id)));
        return None;
    }
    stored
}

/// `DELETE /v2.1/servers/ID`
pub(super) fn delete(call: &Call<'_, '_>, id: &str) -> Answer {
    let server = listing::find(call, id)?;
    lock(&call.region.compute).with_server(id, |server| {
        server.task = Some("deleting".into());
        server.updated = Stamp::now();
    });
    let (core, region) = (Arc::clone(call.core), Arc::clone(call.region));
    thread::spawn(move || {
        thread::sleep(core.setup.latencies.delete);
        if let Some(machine) = super::server(&region, &server.id).and_then(|server| server.machine) {
            machine.destroy();
        }
        lock(&region.compute).servers.retain(|known| known.id != server.id);
        thread::sleep(core.setup.quirks.port_lingers);
        neutron::unplug(&region, &server.nic.port);
    });
    Ok(Response::empty(204).with("Content-Type", "application/json"))
}
