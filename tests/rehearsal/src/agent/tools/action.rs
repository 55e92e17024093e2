//! The action tools: in an action's context only.

use serde_json::{Map, Value, json};

use super::super::context::ActionState;
use super::flags::{Flags, OUTPUT};
use super::output::Output;
use super::{Call, Fault, Outcome, failure, usage};

const RESERVED: [&str; 4] = ["stdout", "stdout-encoding", "stderr", "stderr-encoding"];

pub(super) fn get(call: &mut Call<'_>) -> Outcome {
    let flags = Flags::parse(call.args, &OUTPUT)?;
    let output = Output::smart(&flags)?;
    flags.at_most(1)?;
    let params = Value::Object(action(call)?.params.clone());
    let value = match flags.rest.first() {
        None => params,
        Some(path) => {
            path.split('.').try_fold(&params, |value, key| value.get(key)).cloned().unwrap_or(Value::Null)
        }
    };
    output.write(call, &value)
}

pub(super) fn set(call: &mut Call<'_>) -> Outcome {
    let flags = Flags::parse(call.args, &[])?;
    let mut pairs = Vec::new();
    for argument in &flags.rest {
        let Some((path, value)) = argument.split_once('=') else {
            return Err(usage(format!("argument {argument:?} must be of the form key...=value")));
        };
        let keys: Vec<&str> = path.split('.').collect();
        for key in &keys {
            check_key(key)?;
        }
        pairs.push((keys, value));
    }
    let results = &mut action(call)?.results;
    for (keys, value) in pairs {
        insert(results, &keys, value);
    }
    Ok(())
}

pub(super) fn fail(call: &mut Call<'_>) -> Outcome {
    let flags = Flags::parse(call.args, &[])?;
    flags.at_most(1)?;
    let unexplained = || "action failed without reason given, check action for errors".to_owned();
    let message = flags.rest.first().cloned().unwrap_or_else(unexplained);
    action(call)?.failure = Some(message);
    Ok(())
}

pub(super) fn log(call: &mut Call<'_>) -> Outcome {
    let flags = Flags::parse(call.args, &[])?;
    if flags.rest.is_empty() {
        return Err(usage("no message specified"));
    }
    action(call)?.log.push(flags.rest.join(" "));
    Ok(())
}

fn action<'a>(call: &'a mut Call<'_>) -> Result<&'a mut ActionState, Fault> {
    call.context.action.as_mut().ok_or_else(|| failure("not running an action"))
}

fn check_key(key: &str) -> Outcome {
    let valid = !key.is_empty()
        && !key.starts_with('-')
        && !key.ends_with('-')
        && key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if !valid {
        return Err(usage(format!(
            "key {key:?} must start and end with lowercase alphanumeric, and contain only lowercase alphanumeric, hyphens and periods"
        )));
    }
    if RESERVED.contains(&key) {
        return Err(usage(format!("cannot set reserved action key \"{key}\"")));
    }
    Ok(())
}

fn insert(results: &mut Map<String, Value>, keys: &[&str], value: &str) {
    match keys {
        [] => {}
        [last] => {
            results.insert((*last).to_owned(), json!(value));
        }
        [first, rest @ ..] => {
            let inner = results.entry((*first).to_owned()).or_insert_with(|| json!({}));
            if !inner.is_object() {
                *inner = json!({});
            }
            if let Value::Object(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}
