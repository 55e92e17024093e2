//! Actions, commands, and what became of them.

use std::fs;
use std::time::Duration;

use rehearsal::juju::api::Request;
use serde_json::{Map, Value, json};

use crate::arguments::{Exec, Run, ShowTask};
use crate::connection::Controller;
use crate::output::{Format, inform, yaml};
use crate::{Failure, failed, usage};

/// How long `juju run` waits unless it is told.
const RUN: Duration = Duration::from_secs(60);
/// The same for `juju exec`.
const EXEC: Duration = Duration::from_secs(300);
/// Of a result, what the process left and not the charm.
const OF_PROCESS: [&str; 3] = ["return-code", "stdout", "stderr"];

pub fn run(controller: &Controller, words: Run, quiet: bool) -> Result<(), Failure> {
    let (units, rest): (Vec<&String>, Vec<&String>) = {
        let first = words.words.iter().position(|word| !word.contains('/') || word.contains('='));
        let (units, rest) = words.words.split_at(first.unwrap_or(words.words.len()));
        (units.iter().collect(), rest.iter().collect())
    };
    let unit = match units.as_slice() {
        [] => return Err(usage("no unit specified")),
        [unit] => (*unit).clone(),
        _ => return Err(usage("the rehearsal runs an action on one unit at a time")),
    };
    let [action, params @ ..] = rest.as_slice() else { return Err(usage("no action specified")) };
    if words.background && words.wait.is_some() {
        return Err(usage("cannot specify both --wait and --background"));
    }
    let params = parameters(&words, params)?;
    let wait = (!words.background).then(|| words.wait.unwrap_or(RUN));
    let request = Request::Run { unit, action: (*action).clone(), params, wait };
    let mut number = String::new();
    let outcome = controller.follow(&request, |task, unit| {
        task.clone_into(&mut number);
        if words.background {
            inform(&format!("Scheduled operation {task} with task {task}"));
            inform(&format!("Check operation status with 'juju show-operation {task}'"));
            inform(&format!("Check task status with 'juju show-task {task}'"));
        } else if !quiet {
            let unit = unit.replace('/', "-");
            inform(&format!("Running operation {task} with 1 task\n  - task {task} on unit-{unit}\n"));
            inform(&format!("Waiting for task {task}...\n"));
        }
    })?;
    if words.background {
        return Ok(());
    }
    let log = outcome["log"].as_array().cloned().unwrap_or_default();
    for line in log.iter().filter_map(Value::as_str) {
        // The time alone: when it was said is today.
        let line = line.split_once(' ').map_or(line, |(_date, rest)| rest).replacen(" +0000 UTC", "", 1);
        inform(&line);
    }
    if !log.is_empty() {
        inform("\n");
    }
    end(&[outcome], words.format, plain)
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
    let wait = Some(words.wait.unwrap_or(EXEC));
    let ask = |unit: &String| {
        controller.ask(&Request::Exec { unit: unit.clone(), commands: commands.clone(), wait })
    };
    let outcomes = units.iter().map(ask).collect::<Result<Vec<_>, _>>()?;
    end(&outcomes, words.format, |outcomes| {
        let mut text = String::new();
        for (unit, outcome) in outcomes.as_object().into_iter().flatten() {
            let output =
                ["stdout", "stderr"].map(|stream| with_newline(&outcome["results"][stream])).concat();
            text += &if units.len() > 1 { format!("{unit}:\n{output}\n") } else { output };
        }
        text
    })
}

pub fn show(controller: &Controller, words: ShowTask) -> Result<(), Failure> {
    let task = words.task.ok_or_else(|| usage("no task ID specified"))?;
    let request = Request::ShowTask { task, wait: words.wait.unwrap_or_default() };
    let outcome = controller.ask(&request)?;
    words.format.write(&outcome, |outcome| plain(&json!({"task": outcome})))
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
    let failures: Vec<String> = outcomes
        .iter()
        .filter(|outcome| outcome["results"]["return-code"] != 0)
        .map(|outcome| {
            format!(" - id {} with return code {}", outcome["id"], outcome["results"]["return-code"])
        })
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

/// An action's failure, results and output, as the real client prints them.
fn plain(outcomes: &Value) -> String {
    let Some(outcome) = outcomes.as_object().and_then(|all| all.values().next()) else {
        return String::new();
    };
    let results = outcome["results"].as_object().cloned().unwrap_or_default();
    let own: Map<String, Value> = results
        .iter()
        .filter(|(key, _)| !OF_PROCESS.contains(&key.as_str()))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    let mut text = String::new();
    if outcome["status"] == "failed" || outcome["status"] == "error" {
        let message = outcome["message"].as_str().unwrap_or_default();
        text += &format!("Action id {} failed: {message}\n", outcome["id"].as_str().unwrap_or_default());
    } else if results.is_empty() {
        let word = |key: &str| outcome[key].as_str().unwrap_or_default();
        text += &format!("Task {} {}\n", word("id"), word("status"));
    }
    if !own.is_empty() {
        text += &yaml(&Value::Object(own)).unwrap_or_default();
    }
    text += "\n";
    for stream in ["stdout", "stderr"] {
        let output = results.get(stream).and_then(Value::as_str).unwrap_or_default().trim_matches('\n');
        if !output.is_empty() {
            text += &format!("{output}\n");
        }
    }
    text
}

/// The parameters in the file and on the command line, which count more.
fn parameters(words: &Run, given: &[&String]) -> Result<Map<String, Value>, Failure> {
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
