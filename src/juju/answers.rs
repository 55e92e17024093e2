//! What hook tools answer, with `--format=json`, from bytes to types. Whatever they print is a value or an error that
//! names the tool, never a panic, and no error quotes what was printed: it may be a secret.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Databag, HookToolError, RelationId, SecretUri, UnitName};
use crate::model::{Secret, redacted};

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

/// `secret-info-get --label`: the one secret that has the label.
pub fn labelled_secret(stdout: &[u8]) -> Result<SecretUri, HookToolError> {
    let tool = "secret-info-get";
    let known: BTreeMap<String, Value> = answer(tool, stdout)?;
    let id = known.keys().next().and_then(|id| SecretUri::parse(id));
    id.ok_or_else(|| HookToolError::Answer { tool, problem: "no secret's id".to_owned() })
}

/// Whether a failing `secret-info-get` says that no secret has `label`.
pub fn is_unknown_label(label: &str, stderr: &str) -> bool {
    stderr.trim_end().ends_with(&format!("secret {label:?} not found"))
}

/// `secret-add`: the new secret's URI.
pub fn added_secret(stdout: &[u8]) -> Result<SecretUri, HookToolError> {
    let uri = std::str::from_utf8(stdout).ok().and_then(|uri| SecretUri::parse(uri.trim()));
    let problem = || "no secret's URI".to_owned();
    uri.ok_or_else(|| HookToolError::Answer { tool: "secret-add", problem: problem() })
}

/// What a broken way to the controller, or to where it keeps secrets, is told by: it may be whole again in a moment.
const TRANSIENT: [&str; 10] = [
    "connection",
    "timeout",
    "timed out",
    "deadline exceeded",
    "context canceled",
    "broken pipe",
    "no such file or directory",
    "no route to host",
    "unreachable",
    "try again",
];
/// A reason is cut at this many bytes.
const REASON: usize = 300;

/// What a failing `secret-get` says on standard error when Juju refuses `secret`; `None` when the call itself did not work.
/// The words differ by Juju version.
pub fn secret_refusal(secret: &SecretUri, stderr: &str) -> Option<HookToolError> {
    let (_, said) = stderr.split_once("ERROR ")?;
    let mut reason = redacted(&said.split_whitespace().collect::<Vec<_>>().join(" "));
    reason.truncate(reason.floor_char_boundary(REASON));
    // What a secret backend says may end in the same words, and is about the backend.
    let is_of_juju = said.trim().lines().count() == 1 && !reason.contains("backend");
    let secret = secret.to_string();
    if is_of_juju && reason.ends_with("not found") {
        return Some(HookToolError::SecretNotFound(secret));
    }
    let is_not_granted =
        reason.ends_with("permission denied") || reason.ends_with("is not allowed to read this secret");
    if is_of_juju && is_not_granted {
        return Some(HookToolError::SecretNotGranted(secret));
    }
    let words = reason.to_lowercase();
    let is_transient = TRANSIENT.iter().any(|word| words.contains(word)) || words.ends_with("eof");
    (!is_transient).then_some(HookToolError::SecretRefused { secret, reason })
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

    #[test]
    fn a_secret_of_ones_own_is_known_by_what_tools_print_of_it() {
        let info = br#"{"cq9abc": {"revision": 2, "label": "signing-key", "owner": "application"}}"#;
        assert_eq!(labelled_secret(info).unwrap().as_str(), "secret:cq9abc");
        assert_eq!(added_secret(b"secret:cq9abc\n").unwrap().as_str(), "secret:cq9abc");
        for nonsense in [&b"{}"[..], b"[]", b"", b"\xff", b"{\"a b\": {}}"] {
            assert!(labelled_secret(nonsense).is_err() && added_secret(nonsense).is_err());
        }
        assert!(is_unknown_label("signing-key", "ERROR secret \"signing-key\" not found\n"));
        for other in ["ERROR connection is shut down\n", "ERROR secret \"other\" not found\n", ""] {
            assert!(!is_unknown_label("signing-key", other), "{other}");
        }
    }

    #[test]
    fn a_refused_secret_is_told_from_a_call_that_did_not_work_on_every_juju() {
        let uri = SecretUri::parse("secret:cq9abc").unwrap();
        let told = |stderr: &str| match secret_refusal(&uri, stderr) {
            None => "not refused".to_owned(),
            Some(HookToolError::SecretNotFound(_)) => "not found".to_owned(),
            Some(HookToolError::SecretNotGranted(_)) => "not granted".to_owned(),
            Some(error) => error.to_string(),
        };
        let refused = |reason: &str| format!("secret \"secret:cq9abc\" cannot be read: {reason}");
        for (stderr, expected) in [
            ("ERROR permission denied\n", "not granted".to_owned()),
            ("ERROR \"image-builder/0\" is not allowed to read this secret\n", "not granted".to_owned()),
            ("ERROR secret \"cq9abc\" not found\n", "not found".to_owned()),
            ("ERROR getting latest secret revision: secret not found\n", "not found".to_owned()),
            ("WARNING old\nERROR secret revision \"cq9abc/2\" not found\n", "not found".to_owned()),
            ("ERROR secret backend \"b\" not found", refused("secret backend \"b\" not found")),
            (
                "ERROR Code: 403. Errors:\n\n* permission denied",
                refused("Code: 403. Errors: * permission denied"),
            ),
            ("ERROR secret is eofgone", refused("secret is eofgone")),
            ("ERROR connection is shut down\n", "not refused".to_owned()),
            ("ERROR dial unix @/var/run.socket: connect: connection refused", "not refused".to_owned()),
            ("ERROR Post \"https://v\": EOF", "not refused".to_owned()),
            ("panic: runtime error", "not refused".to_owned()),
            ("", "not refused".to_owned()),
        ] {
            assert_eq!(told(stderr), expected, "{stderr}");
        }
        assert!(told(&format!("ERROR {}", "\u{1f980}".repeat(999))).len() < 400);
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
