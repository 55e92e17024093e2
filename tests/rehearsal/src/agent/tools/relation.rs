//! relation-ids, relation-list, relation-get, relation-set.

use serde_json::{Value, json};

use super::super::context::with_writes;
use super::super::relation::Databag;
use super::super::world::UnitId;
use super::flags::{Flag, Flags, OUTPUT, RELATION, invalid};
use super::local::{deprecated_format, key_values};
use super::output::Output;
use super::{Call, Fault, Outcome, failure, usage};

const APP: Flag = Flag::Switch(&["app"]);

pub(super) fn ids(call: &mut Call<'_>) -> Outcome {
    let flags = Flags::parse(call.args, &OUTPUT)?;
    let output = Output::smart(&flags)?;
    let here = call.context.relation.as_ref().and_then(|event| call.context.relations.get(&event.id));
    let endpoint = match (flags.rest.first(), here) {
        (Some(name), _) => name.clone(),
        (None, Some(view)) => view.state.endpoint.clone(),
        (None, None) => return Err(usage("no endpoint name specified")),
    };
    flags.at_most(1)?;
    let relations = call.context.relations.iter().filter(|(_, view)| view.state.endpoint == endpoint);
    let mut keys: Vec<String> = relations.map(|(id, view)| view.state.key(*id)).collect();
    keys.sort();
    output.write(call, &json!(keys))
}

pub(super) fn list(call: &mut Call<'_>) -> Outcome {
    let flags = Flags::parse(call.args, OUTPUT.iter().chain(&[RELATION, APP]))?;
    let id = relation_id(call, &flags)?;
    let output = Output::smart(&flags)?;
    flags.at_most(0)?;
    let view = call.context.relations.get(&id).ok_or_else(|| failure("relation not found"))?;
    let value = if flags.has("app") { json!(view.state.remote_app) } else { json!(view.members) };
    output.write(call, &value)
}

pub(super) fn model_get(call: &mut Call<'_>) -> Outcome {
    let flags = Flags::parse(call.args, OUTPUT.iter().chain(&[RELATION]))?;
    relation_id(call, &flags)?;
    let output = Output::smart(&flags)?;
    flags.at_most(0)?;
    let uuid = json!({"uuid": call.world.uuid});
    output.write(call, &uuid)
}

pub(super) fn get(call: &mut Call<'_>) -> Outcome {
    let flags = Flags::parse(call.args, OUTPUT.iter().chain(&[RELATION, APP]))?;
    let id = relation_id(call, &flags)?;
    let output = Output::smart(&flags)?;
    let key = flags.rest.first().filter(|key| *key != "-" && !key.is_empty());
    let whose = whose(call, &flags)?;
    flags.at_most(2)?;
    let data = read(call, id, &whose)?;
    let value = match key {
        None => json!(data),
        Some(key) => data.get(key).map_or(Value::Null, |value| json!(value)),
    };
    output.write(call, &value)
}

/// Whose data: a unit's or an application's.
enum Whose {
    Unit(String),
    App(String),
}

fn whose(call: &Call<'_>, flags: &Flags) -> Result<Whose, Fault> {
    let app_flag = flags.has("app");
    if let Some(name) = flags.rest.get(1) {
        return match (UnitId::parse(name).filter(|_| name.contains('/')), app_flag) {
            (Some(unit), true) => Ok(Whose::App(unit.app)),
            (Some(_), false) => Ok(Whose::Unit(name.clone())),
            (None, true) => Ok(Whose::App(name.clone())),
            (None, false) if is_application_name(name) => {
                Err(usage(format!("expected unit name, got application name {name:?}")))
            }
            (None, false) => Err(usage(format!("invalid unit name {name:?}"))),
        };
    }
    let nobody = || usage("no unit or application specified");
    let event = call.context.relation.as_ref().ok_or_else(nobody)?;
    match (event.remote_unit.as_str(), event.remote_app.as_str()) {
        ("", "") => Err(nobody()),
        (_, app) if app_flag && !app.is_empty() => Ok(Whose::App(app.to_owned())),
        ("", app) => Ok(Whose::App(app.to_owned())),
        (unit, _) => Ok(Whose::Unit(unit.to_owned())),
    }
}

fn is_application_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

fn read(call: &Call<'_>, id: u32, whose: &Whose) -> Result<Databag, Fault> {
    let denied = || failure("permission denied");
    let view = call.context.relations.get(&id).ok_or_else(|| failure("relation not found"))?;
    let relation = &view.state;
    let unit = call.unit_name();
    match whose {
        Whose::Unit(name) if *name == unit => {
            let data = relation.local_units.get(name).cloned().unwrap_or_default();
            Ok(with_writes(&data, &view.unit_writes))
        }
        Whose::Unit(name) if relation.peer => {
            let said = relation.local_units.get(name).or_else(|| relation.former_units.get(name));
            said.cloned().ok_or_else(denied)
        }
        Whose::Unit(name) => {
            relation.remote_units.get(name).map(|remote| remote.data.clone()).ok_or_else(denied)
        }
        Whose::App(name) if *name == relation.app => {
            if call.world.is_leader(&call.context.unit) || relation.peer {
                Ok(with_writes(&relation.local_app, &view.app_writes))
            } else {
                Err(denied())
            }
        }
        Whose::App(name) if *name == relation.remote_app => Ok(relation.remote_app_data.clone()),
        Whose::App(_) => Err(denied()),
    }
}

pub(super) fn set(call: &mut Call<'_>) -> Outcome {
    let known = [RELATION, APP, Flag::Value(&["file"]), Flag::Value(&["format"])];
    let flags = Flags::parse(call.args, &known)?;
    let id = relation_id(call, &flags)?;
    let pairs = key_values(call, &flags)?;
    deprecated_format(call, &flags);
    let leads = call.world.is_leader(&call.context.unit);
    let view = call.context.relations.get_mut(&id).ok_or_else(|| failure("relation not found"))?;
    if flags.has("app") && !leads {
        return Err(failure("cannot write relation settings"));
    }
    let writes = if flags.has("app") { &mut view.app_writes } else { &mut view.unit_writes };
    writes.extend(pairs);
    Ok(())
}

/// The relation of `-r`, or of the hook.
fn relation_id(call: &Call<'_>, flags: &Flags) -> Result<u32, Fault> {
    if let Some((written, value)) = flags.given("r") {
        let number = value.rsplit(':').next().unwrap_or_default();
        let id: u32 = number.parse().map_err(|_| invalid(written, value, "invalid relation id"))?;
        if !call.context.relations.contains_key(&id) {
            return Err(invalid(written, value, "relation not found"));
        }
        return Ok(id);
    }
    match &call.context.relation {
        Some(event) => Ok(event.id),
        None => Err(usage("no relation id specified")),
    }
}
