//! What hook tools answer, with `--format=json`, from bytes to types. Whatever they print is a value or an error that
//! names the tool, never a panic, and no error quotes what was printed: it may be a secret.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Databag, HookToolError, RelationId, UnitName};
use crate::secret::Secret;

/// `config-get`: the application's options.
pub fn config(stdout: &[u8]) -> Result<BTreeMap<String, Value>, HookToolError> {
    answer("config-get", stdout)
}

/// `is-leader`.
pub fn is_leader(stdout: &[u8]) -> Result<bool, HookToolError> {
    answer("is-leader", stdout)
}

/// `relation-ids`: an endpoint's relations.
pub fn relation_ids(stdout: &[u8]) -> Result<Vec<RelationId>, HookToolError> {
    names("relation-ids", stdout, RelationId::parse)
}

/// `relation-list`: the remote units of a relation.
pub fn relation_list(stdout: &[u8]) -> Result<Vec<UnitName>, HookToolError> {
    names("relation-list", stdout, UnitName::parse)
}

/// `relation-get -`: a whole databag. Who has said nothing yet has `{}` or `null`.
pub fn databag(stdout: &[u8]) -> Result<Databag, HookToolError> {
    answer::<Option<Databag>>("relation-get", stdout).map(Option::unwrap_or_default)
}

/// `goal-state`: the statuses that this application's units shall have; the other sides of relations are left out.
pub fn goal_state_units(stdout: &[u8]) -> Result<BTreeMap<String, String>, HookToolError> {
    #[derive(Deserialize)]
    struct GoalState {
        #[serde(default)]
        units: BTreeMap<String, UnitGoal>,
    }

    #[derive(Deserialize)]
    struct UnitGoal {
        status: String,
    }

    let state: GoalState = answer("goal-state", stdout)?;
    Ok(state.units.into_iter().map(|(unit, state)| (unit, state.status)).collect())
}

/// `secret-get`: a secret's content.
pub fn secret(stdout: &[u8]) -> Result<BTreeMap<String, Secret<String>>, HookToolError> {
    let content: BTreeMap<String, String> = answer("secret-get", stdout)?;
    Ok(content.into_iter().map(|(key, value)| (key, Secret::new(value))).collect())
}

/// `action-get`: an action's parameters; one without any has `{}` or `null`.
pub fn action_parameters(stdout: &[u8]) -> Result<BTreeMap<String, Value>, HookToolError> {
    answer::<Option<BTreeMap<String, Value>>>("action-get", stdout).map(Option::unwrap_or_default)
}

fn answer<T: DeserializeOwned>(tool: &'static str, stdout: &[u8]) -> Result<T, HookToolError> {
    // What serde says of a value may quote it, and the value may be a secret: only the place is told.
    serde_json::from_slice(stdout).map_err(|error| HookToolError::Answer {
        tool,
        problem: format!("line {} column {}: not the JSON that it documents", error.line(), error.column()),
    })
}

fn names<T>(
    tool: &'static str,
    stdout: &[u8],
    parse: fn(&str) -> Option<T>,
) -> Result<Vec<T>, HookToolError> {
    let unexpected = |name| HookToolError::Answer { tool, problem: format!("unexpected name {name:?}") };
    let names: Vec<String> = answer(tool, stdout)?;
    names.into_iter().map(|name| parse(&name).ok_or_else(|| unexpected(name))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::Random;

    #[test]
    fn an_answer_that_is_not_json_is_an_error_without_the_answer_in_it() {
        let error = secret(b"{\"password\": hunter2}").unwrap_err();
        assert!(error.to_string().starts_with("reading the answer of secret-get"), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }

    #[test]
    fn names_in_an_answer_are_checked() {
        assert!(relation_list(br#"["a/0", "--flag"]"#).is_err());
        assert_eq!(relation_list(br#"["a/0"]"#).unwrap()[0].as_str(), "a/0");
    }

    /// What each tool answers, damaged in many ways: a value, an error, never a panic, and no secret in the error.
    #[test]
    fn no_answer_makes_us_stumble_or_tell_what_is_in_it() {
        const PLANTED: &str = "hunter2-planted";
        let whole = [
            json!({"base-image": "noble", "build-interval": 6, "paused": false, "recipe": null}),
            json!({"password": PLANTED, "username": PLANTED}),
            json!(["image:1", "image:22"]),
            json!(["runners/0", "runners/10"]),
            json!({"units": {"image-builder/0": {"status": "active", "since": "2026-05-01 12:00:00Z"}}}),
            json!(true),
        ];
        let mut random = Random::seeded(0x70_01);
        for round in 0..3000 {
            let whole = &whole[round % whole.len()];
            let bytes = match round % 4 {
                0 => random.distorted(whole).to_string().into_bytes(),
                _ => random.damaged(whole.to_string().as_bytes()),
            };
            let secrets = secret(&bytes).err();
            assert!(!format!("{secrets:?}").contains(PLANTED), "{}", String::from_utf8_lossy(&bytes));
            let errors = [
                secrets,
                config(&bytes).err(),
                databag(&bytes).err(),
                goal_state_units(&bytes).err(),
                is_leader(&bytes).err(),
                relation_ids(&bytes).err(),
                relation_list(&bytes).err(),
                action_parameters(&bytes).err(),
            ];
            assert!(errors.iter().flatten().all(|error| !error.to_string().is_empty()));
        }
    }
}
