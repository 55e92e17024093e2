//! Actions, commands, and what became of them.

use std::fs;
use std::time::Duration;

use rehearsal::juju::api::{Operation, Request};
use serde_json::{Map, Value, json};

use crate::arguments::{Exec, Run};
use crate::connection::Controller;
use crate::output::{Format, inform, print, yaml};
use crate::{Failure, failed, usage};

/// How long `juju run` waits unless it is told.
const RUN: Duration = Duration::from_secs(60);
/// The same for `juju exec`.
const EXEC: Duration = Duration::from_secs(300);
/// Of a result, what the process left and not the charm.
const OF_PROCESS: [&str; 3] = ["return-code", "stdout", "stderr"];

pub fn run(controller: &Controller, words: Run, quiet: bool) -> Result<(), Failure> {
    let (units, rest) = units_and_rest(&words.words)?;
    let [action, params @ ..] = rest else { return Err(usage("no action specified")) };
    let params = parameters(&words, params)?;
    let (background, format) = (words.background, words.format);
    let wait = waits(background, words.wait, RUN)?;
    let request = Request::Run { units, action: action.clone(), params, wait };
    let mut begun = None;
    let outcomes = controller.follow(&request, |operation| {
        if !background && !quiet {
            show_progress(operation);
        }
        begun = Some(operation.clone());
    })?;
    let outcomes = outcomes.as_array().cloned().unwrap_or_default();
    if let [outcome] = outcomes.as_slice() {
        let log = outcome["log"].as_array().cloned().unwrap_or_default();
        for line in log.iter().filter_map(Value::as_str) {
            // The time alone: when it was said is today.
            let line = line.split_once(' ').map_or(line, |(_date, rest)| rest).replacen(" +0000 UTC", "", 1);
            inform(&line);
        }
        if !log.is_empty() {
            inform("\n");
        }
    }
    conclude(begun, background, outcomes, format, plain)
}

pub fn exec(controller: &Controller, words: Exec) -> Result<(), Failure> {
    let commands = match words.commands.as_slice() {
        [] => return Err(usage("no commands specified")),
        [one] => one.clone(),
        several => several.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" "),
    };
    if let Some(machine) = words.machine {
        let service = commands
            .strip_prefix("sudo ")
            .unwrap_or(&commands)
            .strip_prefix("systemctl restart jujud-machine-");
        return match service {
            Some(number) if number == "*" || number == machine.to_string() => {
                end(&[controller.ask(&Request::RestartAgent { machine })?], words.format, |_| String::new())
            }
            _ => Err(failed(
                "on a machine of the rehearsal, only systemctl restart jujud-machine-ID can be run",
            )),
        };
    }
    let mut units = words.unit.clone();
    let status = controller.ask(&Request::Status)?;
    for app in &words.application {
        let found = status["applications"]
            .get(app)
            .ok_or_else(|| failed(format!("application {app:?} not found")))?;
        units.extend(found["units"].as_object().into_iter().flat_map(Map::keys).cloned());
    }
    if units.is_empty() {
        return Err(usage(
            "You must specify a target, either through --all, --machine, --application or --unit",
        ));
    }
    let wait = waits(words.background, words.wait, EXEC)?;
    let several = units.len() > 1;
    let mut begun = None;
    let outcomes = controller
        .follow(&Request::Exec { units, commands, wait }, |operation| begun = Some(operation.clone()))?;
    let outcomes = outcomes.as_array().cloned().unwrap_or_default();
    conclude(begun, words.background, outcomes, words.format, |outcomes| {
        let mut text = String::new();
        for (unit, outcome) in outcomes.as_object().into_iter().flatten() {
            let output =
                ["stdout", "stderr"].map(|stream| with_newline(&outcome["results"][stream])).concat();
            text += &if several { format!("{unit}:\n{output}\n") } else { output };
        }
        text
    })
}

/// The units that come first, all of one application, and what follows.
fn units_and_rest(words: &[String]) -> Result<(Vec<String>, &[String]), Failure> {
    let is_unit = |word: &String| {
        word.split_once('/').is_some_and(|(app, number)| {
            is_name(app) && (number == "leader" || number.parse::<u32>().is_ok())
        })
    };
    let first = words.iter().position(|word| !is_unit(word)).unwrap_or(words.len());
    let (units, rest) = words.split_at(first);
    if let Some(invalid) = rest.first().filter(|word| !is_name(word)) {
        return Err(usage(format!("invalid unit or action name {invalid:?}")));
    }
    let mut apps = units.iter().filter_map(|unit| unit.split('/').next());
    match apps.next() {
        None => Err(usage("no unit specified")),
        Some(app) if apps.any(|other| other != app) => {
            Err(usage("all units must be of the same application"))
        }
        Some(_) => Ok((units.to_vec(), rest)),
    }
}

/// Whether it is a name of an application, an action or a parameter.
fn is_name(word: &str) -> bool {
    let is_edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    word.starts_with(is_edge) && word.ends_with(is_edge) && word.chars().all(|c| is_edge(c) || c == '-')
}

/// How long the outcome is waited for; nothing when it is not.
fn waits(background: bool, asked: Option<Duration>, usual: Duration) -> Result<Option<Duration>, Failure> {
    match (background, asked.filter(|asked| !asked.is_zero())) {
        (true, Some(_)) => Err(usage("cannot specify both --wait and --background")),
        (true, None) => Ok(None),
        (false, asked) => Ok(Some(asked.unwrap_or(usual))),
    }
}

fn show_progress(operation: &Operation) {
    if operation.tasks.is_empty() {
        return;
    }
    let count = operation.tasks.len();
    let plural = if count == 1 { "" } else { "s" };
    inform(&format!("Running operation {} with {count} task{plural}", operation.id));
    for (task, unit) in &operation.tasks {
        inform(&format!("  - task {task} on unit-{}", unit.replace('/', "-")));
    }
    inform("");
    for (task, _) in &operation.tasks {
        inform(&format!("Waiting for task {task}...\n"));
    }
}

/// Shows what could not be scheduled, and then what runs in the background or what became of it.
fn conclude(
    begun: Option<Operation>,
    background: bool,
    outcomes: Vec<Value>,
    format: Format,
    text: impl FnOnce(&Value) -> String,
) -> Result<(), Failure> {
    let Some(operation) = begun else { return Ok(()) };
    let refusals = operation.refusals.join("\n");
    let id = &operation.id;
    if operation.tasks.is_empty() {
        inform(&format!("Operation {id} failed to schedule any tasks:\n{refusals}"));
        return Ok(());
    }
    if !refusals.is_empty() {
        inform(&format!("Some actions could not be scheduled:\n{refusals}\n\n"));
    }
    if !background {
        return end(&outcomes, format, text);
    }
    let (shown, look_for) = match operation.tasks.as_slice() {
        [(task, _)] => (format!("task {task}"), task.as_str()),
        several => (format!("{} tasks", several.len()), "<id>"),
    };
    inform(&format!("Scheduled operation {id} with {shown}"));
    if let [_, _, ..] = operation.tasks.as_slice() {
        let tasks = operation.tasks.iter().map(|(task, unit)| (unit.clone(), json!({"id": task})));
        print(&yaml(&Value::Object(tasks.collect()))?)?;
    }
    inform(&format!("Check operation status with 'juju show-operation {id}'"));
    inform(&format!("Check task status with 'juju show-task {look_for}'"));
    Ok(())
}

/// Shows what became of tasks, and fails if one ended with another code than 0.
fn end(outcomes: &[Value], format: Format, text: impl FnOnce(&Value) -> String) -> Result<(), Failure> {
    let by_unit: Map<String, Value> = outcomes
        .iter()
        .map(|outcome| {
            let target = outcome["unit"].as_str().or_else(|| outcome["machine"].as_str()).unwrap_or_default();
            (target.to_owned(), outcome.clone())
        })
        .collect();
    format.write(&Value::Object(by_unit), text)?;
    let code = |outcome: &Value| outcome["results"]["return-code"].as_i64().unwrap_or(-1);
    let failures: Vec<String> = outcomes
        .iter()
        .filter(|outcome| code(outcome) > 0)
        .map(|outcome| format!(" - id {} with return code {}", outcome["id"], code(outcome)))
        .collect();
    let plural = match failures.len() {
        0 => return Ok(()),
        1 => "",
        _ => "s",
    };
    Err(failed(format!(
        "the following task{plural} failed:\n{}\n\nuse 'juju show-task' to inspect the failure{plural}\n",
        failures.join("\n")
    )))
}

/// An action's failure, results and output, as the real client prints them; of several actions, what each has left.
pub fn plain(outcomes: &Value) -> String {
    let all: Vec<(&String, &Value)> = outcomes.as_object().into_iter().flatten().collect();
    let outcome = match all.as_slice() {
        [] => return String::new(),
        [(_, outcome)] => *outcome,
        several => {
            let each = |(unit, outcome): &(&String, &Value)| {
                let mut shown =
                    json!({"id": outcome["id"], "output": output(outcome), "status": outcome["status"]});
                if !outcome["message"].is_null() {
                    shown["message"] = outcome["message"].clone();
                }
                ((*unit).clone(), shown)
            };
            return yaml(&Value::Object(several.iter().map(each).collect())).unwrap_or_default();
        }
    };
    let results = outcome["results"].as_object().cloned().unwrap_or_default();
    let mut text = String::new();
    if outcome["status"] == "failed" {
        let message = outcome["message"].as_str().unwrap_or_default();
        text += &format!("Action id {} failed: {message}\n", outcome["id"].as_str().unwrap_or_default());
    }
    text += &output(outcome);
    text += "\n";
    for stream in ["stdout", "stderr"] {
        let output = results.get(stream).and_then(Value::as_str).unwrap_or_default().trim_matches('\n');
        if !output.is_empty() {
            text += &format!("{output}\n");
        }
    }
    text
}

/// What an action has set as yaml, or that there is nothing.
fn output(outcome: &Value) -> String {
    let Some(results) = outcome["results"].as_object().filter(|results| !results.is_empty()) else {
        let word = |key: &str| outcome[key].as_str().unwrap_or_default();
        return format!("Task {} {}\n", word("id"), word("status"));
    };
    let own: Map<String, Value> = results
        .iter()
        .filter(|(key, _)| !OF_PROCESS.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    if own.is_empty() { String::new() } else { yaml(&Value::Object(own)).unwrap_or_default() }
}

/// The parameters in the file and on the command line, which count more.
fn parameters(words: &Run, given: &[String]) -> Result<Map<String, Value>, Failure> {
    let mut params = Map::new();
    if let Some(file) = &words.params {
        let text = fs::read_to_string(file)?;
        let document: Value =
            serde_yaml::from_str(&text).map_err(|error| failed(format!("cannot parse yaml: {error}")))?;
        match document {
            Value::Object(map) => params = map,
            Value::Null => {}
            _ => return Err(failed("params must contain a YAML map with string keys")),
        }
    }
    for word in given {
        let form = || usage(format!("argument {word:?} must be of the form key.key.key...=value"));
        let (key, text) = word.split_once('=').ok_or_else(form)?;
        let value = if words.string_args {
            json!(text)
        } else {
            serde_yaml::from_str(text).map_err(|error| failed(error.to_string()))?
        };
        let mut keys: Vec<&str> = key.split('.').collect();
        if let Some(key) = keys.iter().find(|key| !is_name(key)) {
            return Err(usage(format!(
                "key {key:?} must start and end with lowercase alphanumeric, and contain only lowercase alphanumeric and \
                 hyphens"
            )));
        }
        let last = keys.pop().unwrap_or_default();
        let mut at = &mut params;
        for key in keys {
            let next = at.entry(key).or_insert_with(|| json!({}));
            if !next.is_object() {
                *next = json!({});
            }
            let Some(map) = next.as_object_mut() else { return Err(form()) };
            at = map;
        }
        at.insert(last.to_owned(), value);
    }
    Ok(params)
}

fn with_newline(text: &Value) -> String {
    let text = text.as_str().unwrap_or_default();
    if text.is_empty() || text.ends_with('\n') { text.to_owned() } else { format!("{text}\n") }
}

fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./-_".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\"'\"'"))
}
