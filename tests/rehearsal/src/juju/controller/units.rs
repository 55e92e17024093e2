//! `juju show-unit`: a unit with all that it and its relations say.

use serde_json::{Map, Value, json};

use crate::agent::{ModelView, RelationView, UnitView};

/// All about the unit of this name, which an application of the model has or the rehearsal plays.
pub(super) fn describe(view: &ModelView, name: &str) -> Option<Value> {
    let (application, _) = name.split_once('/')?;
    let Some(app) = view.applications.get(application) else { return describe_played(view, name) };
    let unit = app.units.values().find(|unit| unit.name == name)?;
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
    Some(json!({name: info}))
}

/// A played unit: the other side of its relation, as it sees it.
fn describe_played(view: &ModelView, name: &str) -> Option<Value> {
    let mut played = view.relations.iter().filter(|(_, relation)| relation.is_played);
    let (id, relation) = played.find(|(_, relation)| relation.remote_units.contains_key(name))?;
    let others: Map<String, Value> = relation
        .local_units
        .iter()
        .map(|(unit, data)| (unit.clone(), json!({"in-scope": true, "data": data})))
        .collect();
    let info = json!({
        "relation-id": id,
        "endpoint": relation.remote_endpoint,
        "related-endpoint": relation.endpoint,
        "application-data": {},
        "local-unit": {"in-scope": true, "data": relation.remote_units[name]},
        "related-units": others,
    });
    let charm = format!("local:{}-0", relation.remote_application);
    Some(json!({name: {"opened-ports": [], "charm": charm, "leader": true, "relation-info": [info]}}))
}

fn describe_relation(id: u32, relation: &RelationView, unit: &UnitView) -> Value {
    let mut info = json!({
        "relation-id": id,
        "endpoint": relation.endpoint,
        "related-endpoint": relation.remote_endpoint,
        "application-data": relation.remote_application_data,
    });
    if relation.is_played || relation.elsewhere.is_some() {
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
