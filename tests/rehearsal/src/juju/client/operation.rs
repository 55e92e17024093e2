//! What became of operations and their tasks.

use std::time::Duration;

use clap::Args;
use rehearsal::juju::api::Request;
use serde_json::{Map, Value, json};

use crate::connection::Controller;
use crate::output::{Format, inform};
use crate::refusal::duration;
use crate::table::Table;
use crate::task::plain;
use crate::{Failure, usage};

/// As good as for ever.
const WATCHED: Duration = Duration::from_secs(86_400);
/// How many numbers of tasks a row shows.
const TASKS_SHOWN: usize = 5;

#[derive(Args)]
pub struct ShowTask {
    pub task: Option<String>,
    /// Maximum wait time for the task to complete.
    #[arg(long, value_parser = duration, conflicts_with = "watch")]
    pub wait: Option<Duration>,
    /// Wait indefinitely for results.
    #[arg(long)]
    pub watch: bool,
    #[arg(long, default_value = "plain", value_parser = Format::plain)]
    pub format: Format,
    /// Show times in UTC: it is so here.
    #[arg(long)]
    utc: bool,
}

#[derive(Args)]
pub struct ShowOperation {
    pub operation: Option<String>,
    /// Wait for results.
    #[arg(long, value_parser = duration, conflicts_with = "watch")]
    pub wait: Option<Duration>,
    /// Wait indefinitely for results.
    #[arg(long)]
    pub watch: bool,
    #[arg(long, default_value = "yaml", value_parser = Format::yaml_or_json)]
    pub format: Format,
    /// Show times in UTC: it is so here.
    #[arg(long)]
    utc: bool,
}

#[derive(Args)]
pub struct Operations {
    /// Names of actions to filter on; commands are juju-exec.
    #[arg(long, value_delimiter = ',')]
    pub actions: Vec<String>,
    /// Status values to filter on.
    #[arg(long, value_delimiter = ',')]
    pub status: Vec<String>,
    #[arg(long, default_value = "plain", value_parser = Format::plain)]
    pub format: Format,
    /// Show times in UTC: it is so here.
    #[arg(long)]
    utc: bool,
}

pub fn show_task(controller: &Controller, words: ShowTask) -> Result<(), Failure> {
    let task = words.task.ok_or_else(|| usage("no task ID specified"))?;
    let wait = if words.watch { WATCHED } else { words.wait.unwrap_or_default() };
    let outcome = controller.ask(&Request::ShowTask { task, wait })?;
    words.format.write(&outcome, |outcome| plain(&json!({"task": outcome})))
}

pub fn show(controller: &Controller, words: ShowOperation) -> Result<(), Failure> {
    let operation = words.operation.ok_or_else(|| usage("no operation ID specified"))?;
    let wait = if words.watch { WATCHED } else { words.wait.unwrap_or_default() };
    let operation = controller.ask(&Request::ShowOperation { operation, wait })?;
    words.format.write(&operation, Value::to_string)
}

pub fn list(controller: &Controller, words: Operations) -> Result<(), Failure> {
    let mut all = controller.ask(&Request::Operations)?;
    if let Some(all) = all.as_object_mut() {
        let is_among = |wanted: &[String], value: &Value| {
            wanted.is_empty() || wanted.iter().any(|wanted| value == wanted.as_str())
        };
        all.retain(|_, operation| {
            is_among(&words.actions, &operation["action"]["name"])
                && is_among(&words.status, &operation["status"])
        });
        if all.is_empty() {
            inform("no matching operations");
            return Ok(());
        }
    }
    words.format.write(&all, |all| {
        let titles = ["ID", "Status", "Started", "Finished", "Task IDs", "Summary"];
        let mut table = Table::new(&titles).right(&[0]);
        let mut operations: Vec<(&String, &Value)> = all.as_object().into_iter().flatten().collect();
        operations.sort_by_key(|(id, _)| id.parse::<u64>().unwrap_or_default());
        for (id, operation) in operations {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            // `2026-11-22T01:36:54` of `2026-11-22 01:36:54 +0000 UTC`
            let time = |key: &str| {
                text(&operation["timing"][key]).get(..19).unwrap_or_default().replacen(' ', "T", 1)
            };
            let mut tasks: Vec<&String> =
                operation["tasks"].as_object().into_iter().flat_map(Map::keys).collect();
            tasks.sort_by_key(|id| id.parse::<u64>().unwrap_or_default());
            let more = if tasks.len() > TASKS_SHOWN { "..." } else { "" };
            tasks.truncate(TASKS_SHOWN);
            let tasks = tasks.into_iter().map(String::as_str).collect::<Vec<_>>().join(",");
            table.row(&[
                id,
                &text(&operation["status"]),
                &time("started"),
                &time("completed"),
                &format!("{tasks}{more}"),
                &text(&operation["summary"]),
            ]);
        }
        table.text()
    })
}
