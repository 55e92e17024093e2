//! The hook tools as the processes that Juju puts on a hook's `PATH`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::{Databag, HookToolError, HookTools, RelationId, SecretUri, Status, UnitName, answers};
use crate::host::{Output, ProcessError, Program, Stdin};
use crate::model::{Deadline, Secret, printable_line, printable_lines};

/// How long a hook tool may take. The agent answers in milliseconds when it answers at all.
const TOOL_LIMIT: Duration = Duration::from_secs(60);

/// The kernel refuses one argument of more than 128 KiB; words to people are cut well before.
const ARGUMENT: usize = 64 << 10;
/// The same for a result of an action, which programs may read: whoever returns it sees to its length.
const RESULT: usize = 120 << 10;

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

    fn ask(&self, tool: &'static str, args: &[&str]) -> Result<Vec<u8>, HookToolError> {
        self.call(tool, args, Stdin::Empty)
    }

    fn write(&self, args: &[&str], values: &Databag) -> Result<(), HookToolError> {
        let values = serde_json::to_vec(values)
            .map_err(|error| HookToolError::Answer { tool: "relation-set", problem: error.to_string() })?;
        self.call("relation-set", args, Stdin::Bytes(values)).map(drop)
    }

    /// For words to people: they may quote what somebody has configured or what a cloud has said. The one place where words
    /// leave for Juju, so the one where they become printable. They stay well below what one argument can hold.
    fn tell(&self, tool: &'static str, args: &[&str]) -> Result<(), HookToolError> {
        self.tell_within(ARGUMENT, tool, args)
    }

    fn tell_within(&self, longest: usize, tool: &'static str, args: &[&str]) -> Result<(), HookToolError> {
        let args: Vec<String> = args.iter().map(|arg| argument(arg, longest)).collect();
        self.call(tool, &args.iter().map(String::as_str).collect::<Vec<_>>(), Stdin::Empty).map(drop)
    }
}

/// Words to people as an argument. Lines stay lines: those of results are ours, and what is to be one line is one already.
fn argument(words: &str, longest: usize) -> String {
    let mut words = printable_lines(&without_nul(words)).into_owned();
    words.truncate(words.floor_char_boundary(longest));
    words
}

/// Words that are to be one line.
fn line(words: &str) -> String {
    printable_line(&without_nul(words)).into_owned()
}

/// An argument can hold anything but a NUL. One byte takes its place, so that words stay as long as they are.
fn without_nul(words: &str) -> String {
    words.replace('\0', "?")
}

impl HookTools for ProcessTools {
    fn config_get(&self) -> Result<BTreeMap<String, Value>, HookToolError> {
        answers::config(&self.ask("config-get", &["--format=json"])?)
    }

    fn is_leader(&self) -> Result<bool, HookToolError> {
        answers::is_leader(&self.ask("is-leader", &["--format=json"])?)
    }

    fn relation_ids(&self, endpoint: &str) -> Result<Vec<RelationId>, HookToolError> {
        answers::relation_ids(&self.ask("relation-ids", &["--format=json", endpoint])?)
    }

    fn relation_list(&self, relation: &RelationId) -> Result<Vec<UnitName>, HookToolError> {
        answers::relation_list(&self.ask("relation-list", &["--format=json", "-r", relation.as_str()])?)
    }

    fn relation_get(&self, relation: &RelationId, unit: &UnitName) -> Result<Databag, HookToolError> {
        let args = ["--format=json", "-r", relation.as_str(), "-", unit.as_str()];
        answers::databag(&self.ask("relation-get", &args)?)
    }

    fn relation_get_application(
        &self,
        relation: &RelationId,
        application: &str,
    ) -> Result<Databag, HookToolError> {
        let args = ["--format=json", "-r", relation.as_str(), "--app", "-", application];
        answers::databag(&self.ask("relation-get", &args)?)
    }

    fn relation_set(&self, relation: &RelationId, values: &Databag) -> Result<(), HookToolError> {
        self.write(&["-r", relation.as_str(), "--file", "-"], values)
    }

    fn relation_set_application(&self, relation: &RelationId, values: &Databag) -> Result<(), HookToolError> {
        self.write(&["-r", relation.as_str(), "--app", "--file", "-"], values)
    }

    fn goal_state_units(&self) -> Result<BTreeMap<String, String>, HookToolError> {
        answers::goal_state_units(&self.ask("goal-state", &["--format=json"])?)
    }

    fn secret_get(&self, secret: &SecretUri) -> Result<BTreeMap<String, Secret<String>>, HookToolError> {
        match self.ask("secret-get", &[secret.as_str(), "--format=json", "--refresh"]) {
            Ok(stdout) => answers::secret(&stdout),
            Err(HookToolError::Process(ProcessError::Failed { program, status, stderr })) => {
                let refusal = answers::secret_refusal(secret, &stderr);
                Err(refusal.unwrap_or(ProcessError::Failed { program, status, stderr }.into()))
            }
            Err(error) => Err(error),
        }
    }

    fn secret_labelled(&self, label: &str) -> Result<Option<SecretUri>, HookToolError> {
        match self.ask("secret-info-get", &["--format=json", "--label", label]) {
            Ok(stdout) => answers::labelled_secret(&stdout).map(Some),
            Err(HookToolError::Process(ProcessError::Failed { stderr, .. }))
                if answers::is_unknown_label(label, &stderr) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn secret_add(&self, label: &str, description: &str, content: &Path) -> Result<SecretUri, HookToolError> {
        let file = content.display().to_string();
        let described = ["--owner", "application", "--label", label, "--description", description];
        answers::added_secret(&self.ask("secret-add", &[&described[..], &["--file", &file]].concat())?)
    }

    fn secret_set(&self, secret: &SecretUri, content: &Path) -> Result<(), HookToolError> {
        let file = content.display().to_string();
        self.ask("secret-set", &[secret.as_str(), "--file", &file]).map(drop)
    }

    fn status_set(&self, status: &Status) -> Result<(), HookToolError> {
        self.tell("status-set", &[status.name(), &line(status.message())])
    }

    fn application_version_set(&self, version: &str) -> Result<(), HookToolError> {
        self.tell("application-version-set", &[version])
    }

    fn action_get(&self) -> Result<BTreeMap<String, Value>, HookToolError> {
        answers::action_parameters(&self.ask("action-get", &["--format=json"])?)
    }

    fn action_set(&self, results: &[(&str, String)]) -> Result<(), HookToolError> {
        let pairs: Vec<String> = results.iter().map(|(key, value)| format!("{key}={value}")).collect();
        self.tell_within(RESULT, "action-set", &pairs.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn action_fail(&self, message: &str) -> Result<(), HookToolError> {
        self.tell("action-fail", &[&line(message)])
    }

    fn action_log(&self, message: &str) -> Result<(), HookToolError> {
        self.tell("action-log", &[&line(message)])
    }

    fn juju_log(&self, level: log::Level, message: &str) -> Result<(), HookToolError> {
        let level = match level {
            log::Level::Error => "ERROR",
            log::Level::Warn => "WARNING",
            log::Level::Info => "INFO",
            log::Level::Debug | log::Level::Trace => "DEBUG",
        };
        self.tell("juju-log", &["-l", level, "--", message])
    }
}
