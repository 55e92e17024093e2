//! A charm's own description: `metadata.yaml`, `config.yaml`, `actions.yaml`, read as strictly as Juju reads them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::error::{AgentError, Result};

/// What an endpoint is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Provides,
    Requires,
    Peer,
}

/// An endpoint of the charm.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    pub role: Role,
    pub interface: String,
    /// Whether it relates only units on one machine.
    pub container: bool,
    pub limit: Option<usize>,
}

/// A config option.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConfigOption {
    #[serde(rename = "type", default = "string_type")]
    pub kind: String,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub default: Value,
}

/// An action: the JSON schema of its parameters, and which it needs.
#[derive(Debug, Clone)]
pub(super) struct ActionSpec {
    pub params: Map<String, Value>,
    pub required: Vec<String>,
    pub additional: bool,
    /// Whether it runs beside the hooks and actions of the machine's other units.
    pub parallel: bool,
}

/// All that the agent knows about a charm.
#[derive(Debug, Clone)]
pub(super) struct Charm {
    pub name: String,
    /// Whether its units go with those of other applications.
    pub subordinate: bool,
    pub endpoints: BTreeMap<String, Endpoint>,
    pub options: BTreeMap<String, ConfigOption>,
    pub actions: BTreeMap<String, ActionSpec>,
}

fn string_type() -> String {
    "string".to_owned()
}

impl Charm {
    /// Reads an unpacked charm.
    pub fn read(dir: &Path) -> Result<Self> {
        let metadata = document(&dir.join("metadata.yaml"))?
            .ok_or_else(|| not_a_charm(dir, "there is no metadata.yaml"))?;
        let name = metadata.get("name").and_then(Value::as_str).map(str::to_owned);
        let name = name.ok_or_else(|| not_a_charm(&dir.join("metadata.yaml"), "it has no name"))?;
        let mut endpoints = BTreeMap::new();
        for (key, role) in [("provides", Role::Provides), ("requires", Role::Requires), ("peers", Role::Peer)]
        {
            for (endpoint_name, endpoint) in
                metadata.get(key).and_then(Value::as_object).into_iter().flatten()
            {
                let limit = endpoint.get("limit").and_then(Value::as_u64).map(|limit| limit as usize);
                let interface = endpoint.get("interface").and_then(Value::as_str).unwrap_or_default();
                let interface = interface.to_owned();
                let container = endpoint.get("scope").and_then(Value::as_str) == Some("container");
                endpoints.insert(endpoint_name.clone(), Endpoint { role, interface, container, limit });
            }
        }
        let subordinate = metadata.get("subordinate").and_then(Value::as_bool).unwrap_or_default();
        Ok(Self { name, subordinate, endpoints, options: options(dir)?, actions: actions(dir)? })
    }
}

fn options(dir: &Path) -> Result<BTreeMap<String, ConfigOption>> {
    let path = dir.join("config.yaml");
    let Some(mut config) = document(&path)? else { return Ok(BTreeMap::new()) };
    let Some(options) = config.get_mut("options").map(Value::take) else {
        return Err(not_a_charm(&path, "invalid config: empty configuration"));
    };
    let options: BTreeMap<String, ConfigOption> =
        serde_json::from_value(options).map_err(|error| not_a_charm(&path, &error.to_string()))?;
    for (name, option) in &options {
        option.check(name).map_err(|problem| not_a_charm(&path, &problem))?;
    }
    Ok(options)
}

impl ConfigOption {
    fn check(&self, name: &str) -> std::result::Result<(), String> {
        let fits = match (self.kind.as_str(), &self.default) {
            (_, Value::Null) => true,
            ("string" | "secret", default) => default.is_string(),
            ("int", default) => default.is_i64(),
            ("float", default) => default.is_number(),
            ("boolean", default) => default.is_boolean(),
            (kind, _) => return Err(format!("invalid config: option {name:?} has unknown type {kind:?}")),
        };
        if fits {
            return Ok(());
        }
        Err(format!("invalid config default: option {name:?} expected {}, got {}", self.kind, self.default))
    }

    /// Reads a value as the command line gives it.
    pub fn parse(&self, name: &str, text: &str) -> Result<Value> {
        let parsed = match self.kind.as_str() {
            "string" => Some(json!(text)),
            "int" => text.parse::<i64>().ok().map(|number| json!(number)),
            "float" => text.parse::<f64>().ok().map(|number| json!(number)),
            "boolean" => boolean(text).map(|flag| json!(flag)),
            _ => (text.is_empty() || text.starts_with("secret:")).then(|| json!(text)),
        };
        parsed.ok_or_else(|| {
            AgentError::refused(format!("option {name:?} expected {}, got {text:?}", self.kind))
        })
    }
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn actions(dir: &Path) -> Result<BTreeMap<String, ActionSpec>> {
    let path = dir.join("actions.yaml");
    let Some(actions) = document(&path)? else { return Ok(BTreeMap::new()) };
    let mut specs = BTreeMap::new();
    for (name, body) in actions.as_object().into_iter().flatten() {
        let valid = !name.starts_with('-')
            && !name.ends_with('-')
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        if !valid {
            return Err(not_a_charm(&path, &format!("bad action name {name}")));
        }
        if name == "juju" || name.starts_with("juju-") {
            return Err(not_a_charm(&path, &format!("cannot use action name {name}: it is reserved")));
        }
        let params = match body.get("params") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(params)) => params.clone(),
            Some(_) => return Err(not_a_charm(&path, "params failed to parse as a map")),
        };
        let required = body.get("required").and_then(Value::as_array).into_iter().flatten();
        let parallel = match body.get("parallel") {
            None => false,
            Some(Value::Bool(parallel)) => *parallel,
            Some(_) => {
                return Err(not_a_charm(&path, &format!("value for action {name:?} parallel is no boolean")));
            }
        };
        // Those of one group run one at a time; Juju takes the machine's lock for them, too.
        let is_grouped =
            body.get("execution-group").and_then(Value::as_str).is_some_and(|group| !group.is_empty());
        specs.insert(
            name.clone(),
            ActionSpec {
                params,
                parallel: parallel && !is_grouped,
                required: required.filter_map(Value::as_str).map(str::to_owned).collect(),
                additional: body.get("additionalProperties").and_then(Value::as_bool).unwrap_or_default(),
            },
        );
    }
    Ok(specs)
}

fn document(path: &Path) -> Result<Option<Value>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(not_a_charm(path, &error.to_string())),
    };
    serde_yaml::from_str(&text).map(Some).map_err(|error| not_a_charm(path, &error.to_string()))
}

fn not_a_charm(path: &Path, problem: &str) -> AgentError {
    AgentError::NotACharm { path: path.to_owned(), problem: problem.to_owned() }
}
