//! `juju status --format json`, and the other tables of the model.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::super::api::CONTROLLER;
use crate::agent::{ApplicationView, LogLine, ModelView, RelationView, Status, UnitView};
use crate::cloud::Stamp;

/// What Juju takes for the status of an application whose leader sets none: the worst of its units'.
const WORST_FIRST: [&str; 6] = ["error", "blocked", "waiting", "maintenance", "active", "unknown"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The whole model.
pub(super) fn model(name: &str, view: &ModelView) -> Value {
    let mut status = json!({
        "model": {
            "name": name,
            "type": "iaas",
            "controller": CONTROLLER,
            "cloud": "rehearsal",
            "version": view.version,
            "model-status": {"current": "available", "since": date(Stamp::now())},
        },
        "machines": machines(view),
        "applications": applications(view),
        "storage": {},
        "controller": {"timestamp": &date(Stamp::now())[12..]},
    });
    let remote = remote_applications(view);
    if !remote.is_empty() {
        status["application-endpoints"] = Value::Object(remote);
    }
    status
}

fn base() -> Value {
    json!({"name": "ubuntu", "channel": "24.04"})
}

fn machines(view: &ModelView) -> Map<String, Value> {
    let units = view.applications.values().flat_map(|app| app.units.values());
    let machines: BTreeMap<u64, &UnitView> =
        units.filter(|unit| unit.principal.is_none()).map(|unit| (unit.machine, unit)).collect();
    let machine = |(number, unit): (&u64, &&UnitView)| {
        let since = unit.history.first().map(since).unwrap_or_default();
        let machine = json!({
            "juju-status": {"current": "started", "since": since, "version": view.version},
            "hostname": format!("juju-rehearsal-{number}"),
            "dns-name": unit.address,
            "ip-addresses": [unit.address],
            "instance-id": format!("juju-rehearsal-{number}"),
            "machine-status": {"current": "running", "message": "ACTIVE", "since": since},
            "modification-status": {"current": "idle", "since": since},
            "base": base(),
            "constraints": "arch=amd64",
            "hardware": "arch=amd64 cores=2 mem=4096M availability-zone=nova",
        });
        (number.to_string(), machine)
    };
    machines.iter().map(machine).collect()
}

fn applications(view: &ModelView) -> Map<String, Value> {
    let each = |(name, app): (&String, &ApplicationView)| {
        let mut value = json!({
            "charm": format!("local:{}-{}", app.charm, app.revision),
            "base": base(),
            "charm-origin": "local",
            "charm-name": app.charm,
            "charm-rev": app.revision,
            "exposed": false,
            "application-status": shown(&application_status(app)),
            "relations": related(view, name),
            "endpoint-bindings": bindings(view, name),
        });
        if app.is_dying {
            value["life"] = json!("dying");
        }
        let version =
            app.units.values().map(|unit| unit.version.as_str()).find(|version| !version.is_empty());
        if let Some(version) = version {
            value["version"] = json!(version);
        }
        if app.is_subordinate {
            value["subordinate-to"] = principals(view, name).into();
        } else {
            let units: Map<String, Value> =
                app.units.values().map(|unit| (unit.name.clone(), unit_status(view, unit))).collect();
            value["units"] = Value::Object(units);
        }
        (name.clone(), value)
    };
    view.applications.iter().map(each).collect()
}

/// An application's status: what its leader has set, else the worst of its units'.
pub(super) fn application_status(app: &ApplicationView) -> Status {
    if app.status.state != "unknown" {
        return app.status.clone();
    }
    let rank = |status: &Status| WORST_FIRST.iter().position(|state| *state == status.state);
    let worst = app.units.values().map(|unit| &unit.workload).min_by_key(|status| rank(status));
    worst.cloned().unwrap_or_else(|| Status { message: String::new(), ..app.status.clone() })
}

fn unit_status(view: &ModelView, unit: &UnitView) -> Value {
    let mut agent = shown(&unit.agent);
    agent["version"] = json!(view.version);
    if unit.is_dying {
        agent["life"] = json!("dying");
    }
    let mut value = json!({
        "workload-status": shown(&unit.workload),
        "juju-status": agent,
        "public-address": unit.address,
    });
    if unit.principal.is_none() {
        value["machine"] = json!(unit.machine.to_string());
    }
    if unit.is_leader {
        value["leader"] = json!(true);
    }
    if !unit.ports.is_empty() {
        value["open-ports"] = json!(unit.ports);
    }
    let all = view.applications.values().flat_map(|app| app.units.values());
    let along = all.filter(|other| other.principal.as_ref() == Some(&unit.name));
    let subordinates: Map<String, Value> =
        along.map(|other| (other.name.clone(), unit_status(view, other))).collect();
    if !subordinates.is_empty() {
        value["subordinates"] = Value::Object(subordinates);
    }
    value
}

fn of<'v>(view: &'v ModelView, application: &str) -> impl Iterator<Item = &'v RelationView> {
    let is_shown = |relation: &RelationView| !is_of_consumer(relation);
    view.relations.values().filter(move |relation| relation.application == application && is_shown(relation))
}

fn related(view: &ModelView, application: &str) -> Value {
    let mut relations: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for relation in of(view, application) {
        relations.entry(&relation.endpoint).or_default().push(json!({
            "related-application": relation.remote_application,
            "interface": relation.interface,
            "scope": if relation.is_within_machines { "container" } else { "global" },
        }));
    }
    json!(relations)
}

fn bindings(view: &ModelView, application: &str) -> Value {
    let mut bindings = BTreeMap::from([("", "alpha")]);
    bindings.extend(of(view, application).map(|relation| (relation.endpoint.as_str(), "alpha")));
    json!(bindings)
}

fn principals(view: &ModelView, application: &str) -> Vec<String> {
    let within = of(view, application).filter(|relation| relation.is_within_machines);
    within.map(|relation| relation.remote_application.clone()).collect()
}

/// Whether another model's application consumes what is offered here: the status shows the offer alone.
fn is_of_consumer(relation: &RelationView) -> bool {
    relation.elsewhere.as_ref().is_some_and(|elsewhere| elsewhere.is_consumer)
}

/// The applications that the rehearsal plays stand in another model, as it seems from this one.
fn remote_applications(view: &ModelView) -> Map<String, Value> {
    let played = view.relations.values().filter(|relation| relation.is_played);
    let each = |relation: &RelationView| {
        let value = json!({
            "url": format!("{CONTROLLER}:admin/consumers.{}", relation.remote_application),
            "endpoints": {&relation.remote_endpoint: {"interface": relation.interface, "role": "requirer"}},
            "application-status": {"current": "active", "since": date(Stamp::now())},
            "relations": {&relation.remote_endpoint: [relation.application]},
        });
        (relation.remote_application.clone(), value)
    };
    played.map(each).collect()
}

/// All relations, each once, by provider and requirer.
pub(super) fn relations(view: &ModelView) -> Value {
    let once = view.relations.values().filter(|relation| {
        let is_of_this_model = relation.is_provider || relation.is_peer || relation.is_played;
        (is_of_this_model || relation.elsewhere.is_some()) && !is_of_consumer(relation)
    });
    let each = |relation: &RelationView| {
        let here = format!("{}:{}", relation.application, relation.endpoint);
        let there = format!("{}:{}", relation.remote_application, relation.remote_endpoint);
        let kind = match (relation.is_peer, relation.is_within_machines) {
            (true, _) => "peer",
            (false, true) => "subordinate",
            (false, false) => "regular",
        };
        let (provider, requirer) =
            if relation.is_provider || relation.is_peer { (here, there) } else { (there, here) };
        json!({"provider": provider, "requirer": requirer, "interface": relation.interface, "type": kind})
    };
    once.map(each).collect()
}

/// `juju secrets --format json`, with what `juju show-secret` shows besides.
pub(super) fn secrets(view: &ModelView) -> Value {
    let each = |(id, secret): (&String, &crate::agent::SecretView)| {
        let at =
            |time: Option<&std::time::SystemTime>| time.map(|at| Stamp::from(*at).iso()).unwrap_or_default();
        let revisions: Vec<Value> = secret
            .times
            .iter()
            .map(|(revision, time)| {
                let time = at(Some(time));
                json!({"revision": revision, "backend": "internal", "created": time, "updated": time})
            })
            .collect();
        let access: Vec<Value> = secret
            .grants
            .iter()
            .map(|app| json!({"target": format!("application-{app}"), "scope": "model-rehearsal", "role": "view"}))
            .collect();
        let value = json!({
            "revision": secret.times.keys().next_back(),
            "owner": "<model>",
            "name": secret.name,
            "description": secret.info,
            "created": at(secret.times.values().next()),
            "updated": at(secret.times.values().next_back()),
            "revisions": revisions,
            "access": access,
            "content": secret.content,
        });
        (id.clone(), value)
    };
    Value::Object(view.secrets.iter().map(each).collect())
}

/// A line of the debug log.
pub(super) fn log_line(line: &LogLine) -> Value {
    let at = Stamp::from(line.at).iso();
    json!({
        "entity": format!("unit-{}", line.unit.replace('/', "-")),
        "timestamp": at.get(11..19),
        "level": line.level.to_string(),
        "module": format!("unit.{}.{}", line.unit, line.module),
        "message": line.message,
    })
}

/// A status as it is shown.
pub(super) fn shown(status: &Status) -> Value {
    let mut value = json!({"current": status.state, "since": since(status)});
    if !status.message.is_empty() {
        value["message"] = json!(status.message);
    }
    value
}

/// When a status began.
pub(super) fn since(status: &Status) -> String {
    date(Stamp::from(status.since))
}

/// `22 Nov 2026 01:36:54Z`
fn date(at: Stamp) -> String {
    let iso = at.iso();
    let part = |range: std::ops::Range<usize>| iso.get(range).unwrap_or_default();
    let month = part(5..7).parse::<usize>().unwrap_or(1).saturating_sub(1) % 12;
    format!("{} {} {} {}", part(8..10), MONTHS[month], part(0..4), part(11..20))
}
