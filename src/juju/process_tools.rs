//! The hook tools as the processes that Juju puts on a hook's `PATH`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Databag, HookToolError, HookTools, RelationId, SecretUri, Status, UnitName};
use crate::deadline::Deadline;
use crate::host::{Output, ProcessError, Program, Stdin};
use crate::secret::Secret;

/// How long a hook tool may take. The agent answers in milliseconds when it answers at all.
const TOOL_LIMIT: Duration = Duration::from_secs(60);

/// The kernel refuses one argument of more than 128 KiB; log lines are cut well before.
const LOG_ARGUMENT: usize = 64 << 10;

/// The real hook tools.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessTools;

impl ProcessTools {
    fn call(&self, tool: &'static str, args: &[&str], stdin: Stdin) -> Result<Vec<u8>, HookToolError> {
        let program = Program::new(tool).args(args).stdin(stdin);
        match program.run(Deadline::after(TOOL_LIMIT))? {
            Output { is_cut: true, .. } => Err(HookToolError::TooLong { tool }),
            Output { stdout, .. } => Ok(stdout),
        }
    }

    fn ask<T: DeserializeOwned>(&self, tool: &'static str, args: &[&str]) -> Result<T, HookToolError> {
        answer(tool, &self.call(tool, args, Stdin::Empty)?)
    }

    fn write(&self, args: &[&str], values: &Databag) -> Result<(), HookToolError> {
        let values = serde_json::to_vec(values)
            .map_err(|error| HookToolError::Answer { tool: "relation-set", problem: error.to_string() })?;
        self.call("relation-set", args, Stdin::Bytes(values)).map(drop)
    }

    fn tell(&self, tool: &'static str, args: &[&str]) -> Result<(), HookToolError> {
        self.call(tool, args, Stdin::Empty).map(drop)
    }
}

/// What `goal-state` answers; the other sides of relations are left out.
#[derive(Deserialize)]
struct GoalState {
    #[serde(default)]
    units: BTreeMap<String, UnitGoal>,
}

#[derive(Deserialize)]
struct UnitGoal {
    status: String,
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
    names: Vec<String>,
    parse: fn(&str) -> Option<T>,
) -> Result<Vec<T>, HookToolError> {
    names
        .into_iter()
        .map(|name| {
            parse(&name)
                .ok_or_else(|| HookToolError::Answer { tool, problem: format!("unexpected name {name:?}") })
        })
        .collect()
}

impl HookTools for ProcessTools {
    fn config_get(&self) -> Result<BTreeMap<String, Value>, HookToolError> {
        self.ask("config-get", &["--format=json"])
    }

    fn is_leader(&self) -> Result<bool, HookToolError> {
        self.ask("is-leader", &["--format=json"])
    }

    fn relation_ids(&self, endpoint: &str) -> Result<Vec<RelationId>, HookToolError> {
        names("relation-ids", self.ask("relation-ids", &["--format=json", endpoint])?, RelationId::parse)
    }

    fn relation_list(&self, relation: &RelationId) -> Result<Vec<UnitName>, HookToolError> {
        let args = ["--format=json", "-r", relation.as_str()];
        names("relation-list", self.ask("relation-list", &args)?, UnitName::parse)
    }

    fn relation_get(&self, relation: &RelationId, unit: &UnitName) -> Result<Databag, HookToolError> {
        // A unit without data answers `{}` or `null`.
        let data: Option<Databag> =
            self.ask("relation-get", &["--format=json", "-r", relation.as_str(), "-", unit.as_str()])?;
        Ok(data.unwrap_or_default())
    }

    fn relation_get_application(
        &self,
        relation: &RelationId,
        application: &str,
    ) -> Result<Databag, HookToolError> {
        let args = ["--format=json", "-r", relation.as_str(), "--app", "-", application];
        let data: Option<Databag> = self.ask("relation-get", &args)?;
        Ok(data.unwrap_or_default())
    }

    fn relation_set(&self, relation: &RelationId, values: &Databag) -> Result<(), HookToolError> {
        self.write(&["-r", relation.as_str(), "--file", "-"], values)
    }

    fn relation_set_application(&self, relation: &RelationId, values: &Databag) -> Result<(), HookToolError> {
        self.write(&["-r", relation.as_str(), "--app", "--file", "-"], values)
    }

    fn goal_state_units(&self) -> Result<BTreeMap<String, String>, HookToolError> {
        let state: GoalState = self.ask("goal-state", &["--format=json"])?;
        Ok(state.units.into_iter().map(|(unit, state)| (unit, state.status)).collect())
    }

    fn secret_get(&self, secret: &SecretUri) -> Result<BTreeMap<String, Secret<String>>, HookToolError> {
        match self
            .ask::<BTreeMap<String, String>>("secret-get", &[secret.as_str(), "--format=json", "--refresh"])
        {
            Ok(content) => Ok(content.into_iter().map(|(key, value)| (key, Secret::new(value))).collect()),
            Err(HookToolError::Process(ProcessError::Failed { stderr, .. }))
                if stderr.contains("not found") =>
            {
                Err(HookToolError::SecretNotFound(secret.to_string()))
            }
            Err(HookToolError::Process(ProcessError::Failed { stderr, .. }))
                if stderr.contains("permission denied") =>
            {
                Err(HookToolError::SecretNotGranted(secret.to_string()))
            }
            Err(error) => Err(error),
        }
    }

    fn status_set(&self, status: &Status) -> Result<(), HookToolError> {
        self.tell("status-set", &[status.name(), status.message()])
    }

    fn action_get(&self) -> Result<BTreeMap<String, Value>, HookToolError> {
        let parameters: Option<BTreeMap<String, Value>> = self.ask("action-get", &["--format=json"])?;
        Ok(parameters.unwrap_or_default())
    }

    fn action_set(&self, results: &[(&str, String)]) -> Result<(), HookToolError> {
        let pairs: Vec<String> = results.iter().map(|(key, value)| format!("{key}={value}")).collect();
        self.tell("action-set", &pairs.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn action_fail(&self, message: &str) -> Result<(), HookToolError> {
        self.tell("action-fail", &[message])
    }

    fn action_log(&self, message: &str) -> Result<(), HookToolError> {
        self.tell("action-log", &[message])
    }

    fn juju_log(&self, level: log::Level, message: &str) -> Result<(), HookToolError> {
        let level = match level {
            log::Level::Error => "ERROR",
            log::Level::Warn => "WARNING",
            log::Level::Info => "INFO",
            log::Level::Debug | log::Level::Trace => "DEBUG",
        };
        let end = message.floor_char_boundary(LOG_ARGUMENT);
        self.tell("juju-log", &["-l", level, "--", &message[..end]])
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::Random;

    #[test]
    fn an_answer_that_is_not_json_is_an_error_without_the_answer_in_it() {
        let error = answer::<BTreeMap<String, String>>("secret-get", b"{\"password\": hunter2}").unwrap_err();
        assert!(error.to_string().starts_with("reading the answer of secret-get"), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }

    /// What each tool answers, damaged in many ways: a value, an error, never a panic, and no secret in the error.
    #[test]
    fn no_answer_makes_us_stumble_or_tell_what_is_in_it() {
        const PLANTED: &str = "hunter2-planted";
        let answers = [
            json!({"base-image": "noble", "build-interval": 6, "paused": false, "recipe": null}),
            json!({"password": PLANTED, "username": PLANTED}),
            json!(["image:1", "image:22"]),
            json!(["runners/0", "runners/10"]),
            json!({"units": {"image-builder/0": {"status": "active", "since": "2026-05-01 12:00:00Z"}}}),
            json!(true),
        ];
        let mut random = Random::seeded(0x70_01);
        for round in 0..3000 {
            let whole = &answers[round % answers.len()];
            let bytes = match round % 4 {
                0 => random.distorted(whole).to_string().into_bytes(),
                _ => random.damaged(whole.to_string().as_bytes()),
            };
            let errors = [
                answer::<BTreeMap<String, Value>>("config-get", &bytes).err(),
                answer::<Option<Databag>>("relation-get", &bytes).err(),
                answer::<GoalState>("goal-state", &bytes).err(),
                answer::<bool>("is-leader", &bytes).err(),
                answer::<Vec<String>>("relation-ids", &bytes)
                    .and_then(|ids| names("relation-ids", ids, RelationId::parse))
                    .err(),
                answer::<Vec<String>>("relation-list", &bytes)
                    .and_then(|units| names("relation-list", units, UnitName::parse))
                    .err(),
            ];
            let secrets = answer::<BTreeMap<String, String>>("secret-get", &bytes).err();
            for error in errors.iter().chain([&secrets]).flatten() {
                assert!(!error.to_string().is_empty());
            }
            assert!(!format!("{secrets:?}").contains(PLANTED), "{}", String::from_utf8_lossy(&bytes));
        }
    }

    #[test]
    fn names_in_an_answer_are_checked() {
        assert!(names("relation-list", vec!["a/0".into(), "--flag".into()], UnitName::parse).is_err());
        assert_eq!(names("relation-list", vec!["a/0".into()], UnitName::parse).unwrap()[0].as_str(), "a/0");
    }
}
