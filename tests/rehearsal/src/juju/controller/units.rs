//! `juju show-unit`: a unit with all that it and its relations say.

use serde_json::{Map, Value, json};

use crate::agent::{ModelView, RelationView, UnitView};

/// All about the unit of this name, which exists.
pub(super) fn describe(view: &ModelView, name: &str) -> Value {
    let (application, _) = name.split_once('/').unwrap_or_default();
    let Some(app) = view.applications.get(application) else { return Value::Null };
    let Some(unit) = app.units.values().find(|unit| unit.name == name) else { return Value::Null };
    let relations: Vec<Value> = view
        .relations
        .iter()
        .filter(|(_, relation)| relation.application == application)
        .map(|(id, relation)| describe_relation(*id, relation, unit))
        .collect();
    let mut info = json!({
        "machine": unit.machine.to_string(),
        "opened-ports": unit.ports,
        "public-address": unit.address,
        "charm": format!("local:{}-{}", app.charm, app.revision),
        "leader": unit.is_leader,
        "life": if unit.is_dying { "dying" } else { "alive" },
    });
    if !unit.version.is_empty() {
        info["workload-version"] = json!(unit.version);
    }
    if !relations.is_empty() {
        info["relation-info"] = relations.into();
    }
    json!({name: info})
}

fn describe_relation(id: u32, relation: &RelationView, unit: &UnitView) -> Value {
    let mut info = json!({
        "relation-id": id,
        "endpoint": relation.endpoint,
        "related-endpoint": relation.remote_endpoint,
        "application-data": relation.remote_application_data,
    });
    if relation.is_played {
        info["cross-model"] = json!(true);
    }
    if let Some(data) = relation.local_units.get(&unit.name) {
        info["local-unit"] = json!({"in-scope": true, "data": data});
    }
    let others = if relation.is_peer { &relation.local_units } else { &relation.remote_units };
    let others: Map<String, Value> = others
        .iter()
        .filter(|(name, _)| **name != unit.name)
        .map(|(name, data)| (name.clone(), json!({"in-scope": true, "data": data})))
        .collect();
    if !others.is_empty() {
        info["related-units"] = Value::Object(others);
    }
    info
}
