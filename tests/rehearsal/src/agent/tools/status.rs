//! status-set, status-get, application-version-set, goal-state.

use serde_json::{Map, Value, json};

use super::super::world::{UnitState, status};
use super::flags::{Flag, Flags, OUTPUT};
use super::output::Output;
use super::{Call, Outcome, failure, usage};

const STATES: [&str; 4] = ["maintenance", "blocked", "waiting", "active"];
const APPLICATION: Flag = Flag::Switch(&["application"]);

pub(super) fn set(call: &mut Call<'_>) -> Outcome {
    let flags = Flags::parse(call.args, &[APPLICATION])?;
    let Some(state) = flags.rest.first() else {
        return Err(usage("invalid args, require <status> [message]"));
    };
    if !STATES.contains(&state.as_str()) {
        return Err(usage(format!("invalid status {state:?}, expected one of [{}]", STATES.join(" "))));
    }
    flags.at_most(2)?;
    let message = flags.rest.get(1).map(String::as_str).unwrap_or_default();
    let unit = call.context.unit.clone();
    if flags.has("application") {
        if !call.world.is_leader(&unit) {
            return Err(failure("this unit is not the leader"));
        }
        let app = call.world.app_mut(&unit.app).map_err(|error| failure(error.to_string()))?;
        app.status.push(status(state, message));
    } else {
        let unit = call.world.unit_mut(&unit).map_err(|error| failure(error.to_string()))?;
        unit.set_status(state, message);
    }
    Ok(())
}

pub(super) fn get(call: &mut Call<'_>) -> Outcome {
    let known = [APPLICATION, Flag::Switch(&["include-data"])];
    let flags = Flags::parse(call.args, OUTPUT.iter().chain(&known))?;
    let output = Output::smart(&flags)?;
    flags.at_most(0)?;
    let details = |state: &str, message: &str| {
        if flags.has("include-data") {
            json!({"status": state, "message": message, "status-data": {}})
        } else {
            json!({"status": state})
        }
    };
    let plain = !flags.has("include-data") && output.is_smart();
    let id = call.context.unit.clone();
    let gone = |error: super::super::error::AgentError| failure(error.to_string());
    if !flags.has("application") {
        let status = call.world.unit(&id).map_err(gone)?.workload_status();
        let value = if plain { json!(status.state) } else { details(&status.state, &status.message) };
        return output.write(call, &value);
    }
    if !call.world.is_leader(&id) {
        return Err(failure("finding application status: this unit is not the leader"));
    }
    let app = call.world.app(&id.app).map_err(gone)?;
    let own = app.status.last().cloned().unwrap_or_else(|| status("unknown", ""));
    let value = if plain {
        json!(own.state)
    } else {
        let units: Map<String, Value> = app
            .units
            .values()
            .map(|unit| (unit.name.clone(), unit.workload_status()))
            .map(|(name, status)| (name, details(&status.state, &status.message)))
            .collect();
        let mut application = details(&own.state, &own.message);
        application["units"] = units.into();
        json!({"application-status": application})
    };
    output.write(call, &value)
}

pub(super) fn application_version_set(call: &mut Call<'_>) -> Outcome {
    let flags = Flags::parse(call.args, &[])?;
    let version = flags.rest.first().ok_or_else(|| usage("no version specified"))?;
    flags.at_most(1)?;
    let id = call.context.unit.clone();
    let unit = call.world.unit_mut(&id).map_err(|error| failure(error.to_string()))?;
    unit.workload_version.clone_from(version);
    Ok(())
}

pub(super) fn goal_state(call: &mut Call<'_>) -> Outcome {
    let flags = Flags::parse(call.args, &OUTPUT)?;
    let output = Output::yaml(&flags)?;
    flags.at_most(0)?;
    let app = call.world.app(&call.context.unit.app).map_err(|error| failure(error.to_string()))?;
    let state = |state: &str| json!({"status": state});
    let shown = |unit: &UnitState| if unit.dying { "dying".to_owned() } else { unit.workload_status().state };
    let units: Map<String, Value> =
        app.units.values().map(|unit| (unit.name.clone(), state(&shown(unit)))).collect();
    let mut relations = Map::new();
    for view in call.context.relations.values() {
        let members = relations.entry(view.state.endpoint.clone()).or_insert_with(|| json!({}));
        members[&view.state.remote_app] = state("joined");
        for member in view.state.remotes_of(&call.context.unit.name()) {
            members[&member] = state("active");
        }
    }
    output.write(call, &json!({"units": units, "relations": relations}))
}
