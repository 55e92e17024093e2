//! `juju status`, `juju show-status-log`, `juju version`.

use rehearsal::juju::api::Request;
use serde_json::{Map, Value, json};

use crate::arguments::{Status, StatusLog, Version};
use crate::connection::Controller;
use crate::output::print;
use crate::table::Table;
use crate::{Failure, usage};

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
    let tables =
        [first, remote(status), applications(status), units(status), machines(status), relations(related)];
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
    let mut table = Table::new(&titles);
    for (name, app) in entries(&status["applications"]) {
        let own = &app["application-status"];
        let scale = entries(&app["units"]).count().to_string();
        table.row(&[
            name,
            text(&app["version"]).lines().next().unwrap_or_default(),
            text(&own["current"]),
            &scale,
            text(&app["charm-name"]),
            "",
            &app["charm-rev"].to_string(),
            "no",
            text(&own["message"]),
        ]);
    }
    table
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
    let message = text(&unit["workload-status"]["message"]);
    let message = doing.map_or_else(|| message.to_owned(), |doing| format!("({doing}) {message}"));
    let ports: Vec<&str> = unit["open-ports"].as_array().into_iter().flatten().map(text).collect();
    table.row(&[
        &format!("{name}{leads}"),
        text(&unit["workload-status"]["current"]),
        text(&agent["current"]),
        text(&unit["machine"]),
        text(&unit["public-address"]),
        &ports.join(","),
        &message,
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
            text(&machine["machine-status"]["message"]),
        ]);
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

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
