//! Units: more, fewer, and what one says.

use rehearsal::juju::api::Request;
use serde_json::{Map, Value, json};

use crate::application::agreed;
use crate::arguments::{AddUnit, Remove, ShowUnit};
use crate::connection::Controller;
use crate::{Failure, failed, usage};

pub fn add(controller: &Controller, words: AddUnit) -> Result<(), Failure> {
    let application = words.application.ok_or_else(|| usage("no application specified"))?;
    if words.num_units == 0 {
        return Err(usage("--num-units must be a positive integer"));
    }
    controller.ask(&Request::AddUnit { application, units: words.num_units }).map(drop)
}

pub fn remove(controller: &Controller, words: Remove) -> Result<(), Failure> {
    if words.names.is_empty() {
        return Err(usage("no units specified"));
    }
    let status = controller.ask(&Request::Status)?;
    let mut plan = String::new();
    for name in &words.names {
        if !is_unit(name) {
            return Err(usage(format!("invalid unit name {name:?}")));
        }
        let app = name.split('/').next().unwrap_or_default();
        if status["applications"][app]["units"].get(name).is_none() {
            return Err(failed(format!("removing unit {name} failed: unit {name:?} does not exist")));
        }
        plan += &format!("will remove unit {name}\n");
    }
    if agreed(&plan, words.no_prompt, words.dry_run, "unit removal")? {
        controller.ask(&Request::RemoveUnit { units: words.names })?;
    }
    Ok(())
}

pub fn show(controller: &Controller, words: ShowUnit) -> Result<(), Failure> {
    if words.units.is_empty() {
        return Err(usage("an unit name must be supplied"));
    }
    if let Some(invalid) = words.units.iter().find(|unit| !is_unit(unit)) {
        return Err(usage(format!("unit name {invalid} not valid")));
    }
    let mut all = Map::new();
    for unit in &words.units {
        let mut shown = controller.ask(&Request::ShowUnit { unit: unit.clone() })?;
        if let Some(relations) = shown[unit]["relation-info"].as_array_mut() {
            relations.retain(|relation| {
                words.endpoint.as_ref().is_none_or(|wanted| relation["endpoint"] == **wanted)
            });
            relations.iter_mut().for_each(|relation| narrow(relation, &words));
        }
        all.extend(shown.as_object().cloned().unwrap_or_default());
    }
    words.format.write(&Value::Object(all), Value::to_string)
}

/// Leaves of a relation what was asked for.
fn narrow(relation: &mut Value, words: &ShowUnit) {
    let Some(relation) = relation.as_object_mut() else { return };
    if words.app {
        relation.remove("local-unit");
        relation.remove("related-units");
    }
    if let Some(wanted) = &words.related_unit {
        relation.remove("local-unit");
        if let Some(units) = relation.get_mut("related-units").and_then(Value::as_object_mut) {
            units.retain(|unit, _| unit == wanted);
        }
    }
    if relation.get("related-units") == Some(&json!({})) {
        relation.remove("related-units");
    }
}

fn is_unit(name: &str) -> bool {
    name.split_once('/').is_some_and(|(app, number)| !app.is_empty() && number.parse::<u32>().is_ok())
}
