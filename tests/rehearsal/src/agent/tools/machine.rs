//! The tools about the machine: addresses, ports, storage, and what is refused (rebooting, the cloud's credentials).

use serde_json::json;

use super::super::context::PortChange;
use super::super::relation::network_keys;
use super::flags::{Flag, Flags, OUTPUT, RELATION, invalid};
use super::local::deprecated_format;
use super::output::Output;
use super::{Call, Fault, Outcome, failure, usage};

pub(super) fn unit_get(call: &mut Call<'_>) -> Outcome {
    let flags = Flags::parse(call.args, &OUTPUT)?;
    let output = Output::smart(&flags)?;
    match flags.rest.first().map(String::as_str) {
        None => return Err(usage("no setting specified")),
        Some("private-address" | "public-address") => flags.at_most(1)?,
        Some(other) => return Err(usage(format!("unknown setting {other:?}"))),
    }
    let address = address(call);
    output.write(call, &json!(address))
}

pub(super) fn network_get(call: &mut Call<'_>) -> Outcome {
    const KEYS: [&str; 3] = ["bind-address", "ingress-address", "egress-subnets"];
    let switches = [
        Flag::Switch(&["primary-address"]),
        Flag::Switch(&[KEYS[0]]),
        Flag::Switch(&[KEYS[1]]),
        Flag::Switch(&[KEYS[2]]),
        RELATION,
    ];
    let flags = Flags::parse(call.args, OUTPUT.iter().chain(&switches))?;
    let output = Output::smart(&flags)?;
    let Some(binding) = flags.rest.first() else { return Err(usage("no arguments specified")) };
    if binding.is_empty() {
        return Err(usage("no binding name specified"));
    }
    flags.at_most(1)?;
    let known =
        call.world.app(&call.context.unit.app).is_ok_and(|app| app.charm.endpoints.contains_key(binding));
    if !known && binding != "juju-info" {
        return Err(failure(format!("no network config found for binding {binding:?}")));
    }
    let address = address(call);
    let subnet = format!("{address}/32");
    let value_of = |key: &str| if key == KEYS[2] { json!([subnet]) } else { json!(address) };
    let asked: Vec<&str> = KEYS.into_iter().filter(|key| flags.has(key)).collect();
    let value = match asked.as_slice() {
        [_, ..] if flags.has("primary-address") => {
            return Err(failure("--primary-address must be the only flag specified"));
        }
        [] if flags.has("primary-address") => json!(address),
        [one] => value_of(one),
        [] => json!({
            "bind-addresses": [{
                "mac-address": "",
                "interface-name": "eth0",
                "addresses": [{"hostname": "", "value": address, "cidr": "10.0.0.0/24"}],
            }],
            "egress-subnets": [subnet],
            "ingress-addresses": [address],
        }),
        several => several
            .iter()
            .map(|key| ((*key).to_owned(), value_of(key)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    };
    output.write(call, &value)
}

fn address(call: &Call<'_>) -> String {
    let machine = call.world.unit(&call.context.unit).map_or(0, |unit| unit.machine);
    network_keys(machine).remove("private-address").unwrap_or_default()
}

pub(super) fn open_port(call: &mut Call<'_>) -> Outcome {
    change_port(call, PortChange::Open)
}

pub(super) fn close_port(call: &mut Call<'_>) -> Outcome {
    change_port(call, PortChange::Close)
}

fn change_port(call: &mut Call<'_>, change: PortChange) -> Outcome {
    let flags = Flags::parse(call.args, &[Flag::Value(&["format"]), Flag::Value(&["endpoints"])])?;
    let Some(text) = flags.rest.first() else { return Err(usage("no port or range specified")) };
    let range = port_range(&text.to_lowercase())?;
    flags.at_most(1)?;
    deprecated_format(call, &flags);
    call.context.ports.insert(range, change);
    Ok(())
}

fn port_range(text: &str) -> Result<String, Fault> {
    if text == "icmp" {
        return Ok(text.to_owned());
    }
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    if !matches!(protocol, "tcp" | "udp") {
        return Err(usage(format!("invalid protocol {protocol:?}, expected \"tcp\", \"udp\", or \"icmp\"")));
    }
    let number = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    let (from, to) = ports.split_once('-').unwrap_or((ports, ports));
    match (number(from), number(to)) {
        (Some(from), Some(to)) if from <= to => Ok(format!("{ports}/{protocol}")),
        _ => Err(usage(format!("invalid port range {ports:?}"))),
    }
}

pub(super) fn opened_ports(call: &mut Call<'_>) -> Outcome {
    let flags = Flags::parse(call.args, OUTPUT.iter().chain(&[Flag::Switch(&["endpoints"])]))?;
    let output = Output::smart(&flags)?;
    flags.at_most(0)?;
    let unit = call.world.unit(&call.context.unit).map_err(|error| failure(error.to_string()))?;
    let suffix = if flags.has("endpoints") { " (*)" } else { "" };
    let ports: Vec<String> = unit.opened_ports.iter().map(|port| format!("{port}{suffix}")).collect();
    output.write(call, &json!(ports))
}

pub(super) fn storage_list(call: &mut Call<'_>) -> Outcome {
    let flags = Flags::parse(call.args, &OUTPUT)?;
    let output = Output::smart(&flags)?;
    flags.at_most(1)?;
    output.write(call, &json!([]))
}

pub(super) fn storage_get(call: &mut Call<'_>) -> Outcome {
    let flags = Flags::parse(call.args, OUTPUT.iter().chain(&[Flag::Value(&["s"])]))?;
    match flags.given("s") {
        Some((written, value)) => Err(invalid(written, value, "storage not found")),
        None => Err(usage("no storage instance specified")),
    }
}

pub(super) fn storage_add(call: &mut Call<'_>) -> Outcome {
    let flags = Flags::parse(call.args, &[])?;
    match flags.rest.first() {
        None => Err(usage("storage add requires a storage directive")),
        Some(name) => Err(failure(format!("charm storage {name:?} not found"))),
    }
}

pub(super) fn juju_reboot(call: &mut Call<'_>) -> Outcome {
    let flags = Flags::parse(call.args, &[Flag::Switch(&["now"])])?;
    flags.at_most(0)?;
    if call.context.action.is_some() {
        return Err(failure("juju-reboot is not supported when running an action."));
    }
    Err(failure("the machine of a rehearsal does not reboot"))
}

pub(super) fn credential_get(call: &mut Call<'_>) -> Outcome {
    let flags = Flags::parse(call.args, &OUTPUT)?;
    Output::smart(&flags)?;
    flags.at_most(0)?;
    Err(failure("cannot access cloud credentials: permission denied"))
}
