//! config-get, is-leader, juju-log and the unit's own state.

use serde_json::{Map, Value, json};

use super::super::record::Level;
use super::flags::{Flag, Flags, OUTPUT};
use super::output::Output;
use super::{Call, Fault, Outcome, failure, usage};

const LARGEST_STATE_KEY: usize = 256;
const LARGEST_STATE_VALUE: usize = 65_536;

pub(super) fn config_get(call: &mut Call<'_>) -> Outcome {
    let flags = Flags::parse(call.args, OUTPUT.iter().chain(&[Flag::Switch(&["all", "a"])]))?;
    let output = Output::smart(&flags)?;
    let key = flags.rest.first().filter(|key| !key.is_empty());
    if let Some(key) = key
        && flags.has("all")
    {
        return Err(usage(format!("cannot use argument --all together with key {key:?}")));
    }
    flags.at_most(1)?;
    let settings = call.context.settings.iter();
    let value = match key {
        Some(key) => call.context.settings.get(key).cloned().unwrap_or(Value::Null),
        None if flags.has("all") => {
            settings.map(|(k, v)| (k.clone(), v.clone())).collect::<Map<_, _>>().into()
        }
        None => settings
            .filter(|(_, v)| !v.is_null())
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect::<Map<_, _>>()
            .into(),
    };
    output.write(call, &value)
}

pub(super) fn is_leader(call: &mut Call<'_>) -> Outcome {
    let flags = Flags::parse(call.args, &OUTPUT)?;
    let output = Output::smart(&flags)?;
    flags.at_most(0)?;
    let leads = call.world.is_leader(&call.context.unit);
    output.write(call, &json!(leads))
}

pub(super) fn juju_log(call: &mut Call<'_>) -> Outcome {
    let known = [Flag::Switch(&["debug"]), Flag::Value(&["l", "log-level"]), Flag::Value(&["format"])];
    let flags = Flags::parse(call.args, &known)?;
    if flags.rest.is_empty() {
        return Err(usage("no message specified"));
    }
    deprecated_format(call, &flags);
    let unit = call.unit_name();
    let asked = flags.value("l").unwrap_or("INFO");
    let level = if flags.has("debug") { Some(Level::Debug) } else { Level::parse(asked) };
    if level.is_none() {
        let warning = format!("Specified log level of {asked:?} is not valid");
        call.world.note(&unit, Level::Warning, "juju-log", warning);
    }
    let relation =
        call.context.relation.as_ref().and_then(|event| {
            call.context.relations.get(&event.id).map(|view| view.state.key(event.id) + ": ")
        });
    let message = relation.unwrap_or_default() + &flags.rest.join(" ");
    call.world.note(&unit, level.unwrap_or(Level::Info), "juju-log", message);
    Ok(())
}

pub(super) fn state_get(call: &mut Call<'_>) -> Outcome {
    let flags = Flags::parse(call.args, OUTPUT.iter().chain(&[Flag::Switch(&["strict"])]))?;
    let output = Output::smart(&flags)?;
    flags.at_most(1)?;
    let key = flags.rest.first().filter(|key| *key != "-" && !key.is_empty());
    let state = &call.context.charm_state;
    let value = match key {
        None => json!(state),
        Some(key) => match state.get(key) {
            Some(value) => json!(value),
            None if flags.has("strict") => return Err(failure(format!("{key:?} not found"))),
            None => json!(""),
        },
    };
    output.write(call, &value)
}

pub(super) fn state_set(call: &mut Call<'_>) -> Outcome {
    let flags = Flags::parse(call.args, &[Flag::Value(&["file"])])?;
    for (key, value) in key_values(call, &flags)? {
        if key.len() > LARGEST_STATE_KEY {
            return Err(failure(format!("max allowed key length ({LARGEST_STATE_KEY}) exceeded")));
        }
        if value.len() > LARGEST_STATE_VALUE {
            return Err(failure(format!("max allowed value length ({LARGEST_STATE_VALUE}) exceeded")));
        }
        call.context.charm_state.insert(key, value);
    }
    Ok(())
}

pub(super) fn state_delete(call: &mut Call<'_>) -> Outcome {
    let flags = Flags::parse(call.args, &[])?;
    flags.at_most(1)?;
    if let Some(key) = flags.rest.first() {
        call.context.charm_state.remove(key);
    }
    Ok(())
}

/// `key=value` arguments over the pairs of `--file`.
pub(super) fn key_values(call: &Call<'_>, flags: &Flags) -> Result<Vec<(String, String)>, Fault> {
    let mut arguments: Vec<(String, String)> = Vec::new();
    for argument in &flags.rest {
        let Some((key, value)) = argument.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            return Err(usage(format!("expected \"key=value\", got {argument:?}")));
        };
        if arguments.iter().any(|(known, _)| known == key) {
            return Err(usage(format!("key {key:?} specified more than once")));
        }
        arguments.push((key.to_owned(), value.to_owned()));
    }
    let mut pairs = match flags.value("file") {
        None => Vec::new(),
        Some("-") => pairs(&call.input()?)?,
        Some(path) => {
            let text = std::fs::read_to_string(call.dir.join(path))
                .map_err(|e| failure(format!("open {path}: {e}")))?;
            pairs(&text)?
        }
    };
    pairs.retain(|(key, _)| !arguments.iter().any(|(over, _)| over == key));
    pairs.extend(arguments);
    Ok(pairs)
}

fn pairs(yaml: &str) -> Result<Vec<(String, String)>, Fault> {
    let parsed: Value = serde_yaml::from_str(yaml).map_err(|error| failure(format!("yaml: {error}")))?;
    let map = match parsed {
        Value::Null => return Ok(Vec::new()),
        Value::Object(map) => map,
        _ => return Err(failure("yaml: unmarshal errors: cannot unmarshal into map[string]string")),
    };
    map.into_iter()
        .map(|(key, value)| match value {
            Value::String(text) => Ok((key, text)),
            Value::Null => Ok((key, String::new())),
            Value::Bool(_) | Value::Number(_) => Ok((key, value.to_string())),
            Value::Array(_) => Err(failure("yaml: unmarshal errors: cannot unmarshal !!seq into string")),
            Value::Object(_) => Err(failure("yaml: unmarshal errors: cannot unmarshal !!map into string")),
        })
        .collect()
}

/// Some tools take `--format` for old charms' sake.
pub(super) fn deprecated_format(call: &mut Call<'_>, flags: &Flags) {
    if flags.value("format").is_some_and(|format| !format.is_empty()) {
        call.stderr.push_str(&format!("--format flag deprecated for command {:?}", call.tool));
    }
}
