//! Action parameters against the JSON schema in `actions.yaml`: the part of it that charms use.

use serde_json::{Map, Value};

use super::charm::ActionSpec;
use super::error::{AgentError, Result};

/// Checks what the operator gave and adds the defaults.
pub(super) fn complete(spec: &ActionSpec, given: Map<String, Value>) -> Result<Map<String, Value>> {
    let mut problems = Vec::new();
    for name in &spec.required {
        if !given.contains_key(name) {
            problems.push(format!(
                "(root) : {name:?} property is missing and required, given {}",
                Value::Object(given.clone())
            ));
        }
    }
    for (name, value) in &given {
        match spec.params.get(name) {
            Some(schema) => check(&format!("(root).{name}"), schema, value, &mut problems),
            None if spec.additional => {}
            None => problems.push(format!(
                "(root) : additional property {name:?} is not allowed, given {}",
                Value::Object(given.clone())
            )),
        }
    }
    if !problems.is_empty() {
        return Err(AgentError::refused(format!("validation failed: {}", problems.join("; "))));
    }
    let mut complete = given;
    for (name, schema) in &spec.params {
        if let Some(default) = schema.get("default") {
            complete.entry(name.clone()).or_insert_with(|| default.clone());
        }
    }
    Ok(complete)
}

fn check(at: &str, schema: &Value, value: &Value, problems: &mut Vec<String>) {
    if let Some(kinds) = schema.get("type") {
        let names: Vec<&str> = match kinds {
            Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
            one => one.as_str().into_iter().collect(),
        };
        if !names.iter().any(|name| has_type(name, value)) {
            problems.push(format!("{at} : must be of type {}, given {value}", names.join(" or ")));
            return;
        }
    }
    if let Some(choices) = schema.get("enum").and_then(Value::as_array)
        && !choices.contains(value)
    {
        problems.push(format!(
            "{at} : must match one of the enum values {}, given {value}",
            Value::Array(choices.clone())
        ));
    }
    let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
    if let Some(number) = value.as_f64() {
        if bound("minimum").is_some_and(|least| number < least) {
            problems.push(format!(
                "{at} : must be greater than or equal to {}, given {value}",
                schema["minimum"]
            ));
        }
        if bound("maximum").is_some_and(|most| number > most) {
            problems
                .push(format!("{at} : must be less than or equal to {}, given {value}", schema["maximum"]));
        }
    }
    if let Some(text) = value.as_str() {
        let length = text.chars().count() as f64;
        if bound("minLength").is_some_and(|least| length < least) {
            problems.push(format!(
                "{at} : string length must be greater than or equal to {}",
                schema["minLength"]
            ));
        }
        if bound("maxLength").is_some_and(|most| length > most) {
            problems
                .push(format!("{at} : string length must be less than or equal to {}", schema["maxLength"]));
        }
    }
    if let (Some(items), Some(values)) = (schema.get("items"), value.as_array()) {
        for (index, value) in values.iter().enumerate() {
            check(&format!("{at}.{index}"), items, value, problems);
        }
    }
    if let (Some(properties), Some(values)) =
        (schema.get("properties").and_then(Value::as_object), value.as_object())
    {
        for (name, value) in values {
            if let Some(schema) = properties.get(name) {
                check(&format!("{at}.{name}"), schema, value, problems);
            }
        }
    }
}

fn has_type(name: &str, value: &Value) -> bool {
    match name {
        "string" => value.is_string(),
        "integer" => {
            value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
        }
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        _ => false,
    }
}
