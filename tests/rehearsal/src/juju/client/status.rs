//! `juju status`, `juju show-status-log`, `juju version`.

use rehearsal::juju::api::Request;
use serde_json::{Map, Value, json};

use crate::arguments::{Status, StatusLog, Version};
use crate::connection::Controller;
use crate::output::print;
use crate::table::Table;
use crate::{Failure, usage};

/// How many bytes of a message a table shows.
const MESSAGE: usize = 120;
/// How many bytes of a workload's version a table shows.
const VERSION: usize = 15;
const ELLIPSIS: &str = "...";

/// Before each look of a watch: the cursor goes to the upper left corner of an empty terminal.
const CLEAR: &str = "\x1b[H\x1b[2J";

pub fn show(controller: &Controller, words: Status) -> Result<(), Failure> {
    let Some(period) = words.watch else { return look(controller, &words) };
    loop {
        print(CLEAR)?;
        look(controller, &words)?;
        std::thread::sleep(period);
    }
}

fn look(controller: &Controller, words: &Status) -> Result<(), Failure> {
    let mut status = controller.ask(&Request::Status)?;
    if !words.selectors.is_empty() {
        select(&mut status, &words.selectors);
    }
    let related = if words.relations { controller.ask(&Request::Relations)? } else { Value::Null };
    words.format.write(&status, |status| tables(status, &related))
}

pub fn log(controller: &Controller, words: StatusLog) -> Result<(), Failure> {
    let entity = words.entity.ok_or_else(|| usage("entity name is missing."))?;
    let mut entries = controller.ask(&Request::StatusLog { entity })?;
    if let Some(entries) = entries.as_array_mut() {
        let surplus = entries.len().saturating_sub(words.n);
        entries.drain(..surplus);
    }
    words.format.write(&entries, |entries| {
        let mut table = Table::new(&["Time", "Type", "Status", "Message"]);
        for entry in entries.as_array().into_iter().flatten() {
            table.row(&["since", "type", "status", "message"].map(|key| text(&entry[key])));
        }
        table.text()
    })
}

pub fn version(controller: &Controller, words: Version) -> Result<(), Failure> {
    let status = controller.ask(&Request::Status)?;
    let version = format!("{}-ubuntu-amd64", text(&status["model"]["version"]));
    let value = if words.all { json!({"version": version}) } else { json!(version) };
    words.format.write(&value, |_| format!("{version}\n"))
}

/// Leaves the applications that are named, by themselves or by a unit, and their machines.
fn select(status: &mut Value, selectors: &[String]) {
    let is_named = |name: &str| {
        selectors.iter().any(|selector| selector.split('/').next().is_some_and(|app| app == name))
    };
    let mut machines = Vec::new();
    if let Some(apps) = status["applications"].as_object_mut() {
        apps.retain(|name, _| is_named(name));
        for app in apps.values() {
            let units = app["units"].as_object().into_iter().flat_map(Map::values);
            machines.extend(units.map(|unit| text(&unit["machine"]).to_owned()));
        }
    }
    if let Some(all) = status["machines"].as_object_mut() {
        all.retain(|number, _| machines.contains(number));
    }
}

fn tables(status: &Value, related: &Value) -> String {
    let model = &status["model"];
    let mut first = Table::new(&["Model", "Controller", "Cloud/Region", "Version", "Timestamp"]);
    first.row(&[
        text(&model["name"]),
        text(&model["controller"]),
        text(&model["cloud"]),
        text(&model["version"]),
        text(&status["controller"]["timestamp"]),
    ]);
    let tables = [
        first,
        remote(status),
        applications(status),
        units(status),
        machines(status),
        offers(status),
        relations(related),
    ];
    let shown = tables.iter().filter(|table| !table.is_empty());
    shown.map(Table::text).collect::<Vec<_>>().join("\n")
}

fn remote(status: &Value) -> Table {
    let mut table = Table::new(&["SAAS", "Status", "Store", "URL"]);
    for (name, app) in entries(&status["application-endpoints"]) {
        let (store, url) = text(&app["url"]).split_once(':').unwrap_or_default();
        table.row(&[name, text(&app["application-status"]["current"]), store, url]);
    }
    table
}

fn applications(status: &Value) -> Table {
    let titles = ["App", "Version", "Status", "Scale", "Charm", "Channel", "Rev", "Exposed", "Message"];
    let mut table = Table::new(&titles).right(&[3, 6]);
    for (name, app) in entries(&status["applications"]) {
        let own = &app["application-status"];
        table.row(&[
            name,
            &cut(text(&app["version"]).lines().next().unwrap_or_default(), VERSION),
            text(&own["current"]),
            &scale(status, name, app),
            text(&app["charm-name"]),
            "",
            &app["charm-rev"].to_string(),
            "no",
            &cut(text(&own["message"]), MESSAGE),
        ]);
    }
    table
}

/// How many units there are and, where some of them have no agent at work, of how many.
fn scale(status: &Value, name: &str, app: &Value) -> String {
    let beside = entries(&status["applications"]).into_iter().flat_map(|(_, other)| entries(&other["units"]));
    let along = beside.flat_map(|(_, unit)| entries(&unit["subordinates"]));
    let along = along.filter(|(unit, _)| unit.split('/').next() == Some(name)).collect();
    let units = if app["subordinate-to"].is_null() { entries(&app["units"]) } else { along };
    let works = |unit: &Value| ["executing", "idle"].contains(&text(&unit["juju-status"]["current"]));
    match (units.iter().filter(|(_, unit)| works(unit)).count(), units.len()) {
        (working, all) if working == all => all.to_string(),
        (working, all) => format!("{working}/{all}"),
    }
}

fn units(status: &Value) -> Table {
    let titles = ["Unit", "Workload", "Agent", "Machine", "Public address", "Ports", "Message"];
    let mut table = Table::new(&titles);
    for (_, app) in entries(&status["applications"]) {
        for (name, unit) in entries(&app["units"]) {
            unit_row(&mut table, name, unit);
            for (name, unit) in entries(&unit["subordinates"]) {
                unit_row(&mut table, &format!("  {name}"), unit);
            }
        }
    }
    table
}

fn unit_row(table: &mut Table, name: &str, unit: &Value) {
    let leads = if unit["leader"] == true { "*" } else { "" };
    let agent = &unit["juju-status"];
    let doing = text(&agent["message"]).strip_prefix("running ").filter(|_| agent["current"] == "executing");
    let doing = doing.map(|doing| doing.trim_start_matches("action ").trim_end_matches(" hook"));
    let message = match text(&unit["workload-status"]["message"]) {
        "" if agent["current"] == "allocating" => text(&agent["message"]),
        message => message,
    };
    let message = doing.map_or_else(|| message.to_owned(), |doing| format!("({doing}) {message}"));
    let ports: Vec<&str> = unit["open-ports"].as_array().into_iter().flatten().map(text).collect();
    table.row(&[
        &format!("{name}{leads}"),
        text(&unit["workload-status"]["current"]),
        text(&agent["current"]),
        text(&unit["machine"]),
        text(&unit["public-address"]),
        &ports.join(","),
        &cut(&message, MESSAGE),
    ]);
}

fn machines(status: &Value) -> Table {
    let mut table = Table::new(&["Machine", "State", "Address", "Inst id", "Base", "AZ", "Message"]);
    for (number, machine) in entries(&status["machines"]) {
        let base = format!("{}@{}", text(&machine["base"]["name"]), text(&machine["base"]["channel"]));
        table.row(&[
            number,
            text(&machine["juju-status"]["current"]),
            text(&machine["dns-name"]),
            text(&machine["instance-id"]),
            &base,
            "nova",
            &cut(text(&machine["machine-status"]["message"]), MESSAGE),
        ]);
    }
    table
}

fn offers(status: &Value) -> Table {
    let titles = ["Offer", "Application", "Charm", "Rev", "Connected", "Endpoint", "Interface", "Role"];
    let mut table = Table::new(&titles);
    for (name, offer) in entries(&status["offers"]) {
        let charm = text(&offer["charm"]).trim_start_matches("local:");
        let (charm, revision) = charm.rsplit_once('-').unwrap_or((charm, ""));
        let count = |key: &str| offer[key].as_u64().unwrap_or_default();
        let connected = format!("{}/{}", count("active-connected-count"), count("total-connected-count"));
        for (index, (endpoint, of)) in entries(&offer["endpoints"]).into_iter().enumerate() {
            let mut row = [name.as_str(), text(&offer["application"]), charm, revision, &connected];
            if index > 0 {
                row = [""; 5];
            }
            let of = [endpoint.as_str(), text(&of["interface"]), text(&of["role"])];
            table.row(&row.into_iter().chain(of).collect::<Vec<_>>());
        }
    }
    table
}

fn relations(relations: &Value) -> Table {
    let mut table = Table::new(&["Integration provider", "Requirer", "Interface", "Type", "Message"]);
    for relation in relations.as_array().into_iter().flatten() {
        let [provider, requirer, interface, kind] =
            ["provider", "requirer", "interface", "type"].map(|key| text(&relation[key]));
        table.row(&[provider, requirer, interface, kind, ""]);
    }
    table
}

/// The entries of an object as people sort them: `unit/2` before `unit/10`.
fn entries(value: &Value) -> Vec<(&String, &Value)> {
    let mut all: Vec<(&String, &Value)> = value.as_object().into_iter().flatten().collect();
    all.sort_by(|(one, _), (other, _)| natural(one).cmp(&natural(other)));
    all
}

fn natural(name: &str) -> (&str, u64) {
    let text = name.trim_end_matches(|c: char| c.is_ascii_digit());
    (text, name[text.len()..].parse().unwrap_or_default())
}

/// At most so many bytes of a text, with an ellipsis where there are more.
fn cut(text: &str, longest: usize) -> String {
    if text.len() <= longest {
        return text.to_owned();
    }
    let mut end = longest - ELLIPSIS.len();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{ELLIPSIS}", &text[..end])
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(cut(&"x".repeat(MESSAGE), MESSAGE), "x".repeat(MESSAGE));
        assert_eq!(cut(&"x".repeat(MESSAGE + 1), MESSAGE), format!("{}...", "x".repeat(MESSAGE - 3)));
        assert_eq!(cut(&"é".repeat(MESSAGE), MESSAGE), format!("{}...", "é".repeat(58)));
    }
}
