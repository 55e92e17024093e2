//! Operations, each an action or commands that a client asks for, and their tasks, one for each unit.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Map, Value, json};

use super::super::api::{Answer, Operation};
use super::facade::{Facade, Tell};
use super::{Refusal, refused};
use crate::agent::{ActionRun, ActionStatus, ExecResult, Result as AgentResult, StoppedSocket};
use crate::cloud::Stamp;

/// How long a task is waited for before the controller looks whether it is to end.
const STEP: Duration = Duration::from_millis(200);
/// What Juju calls commands where it lists actions.
const EXEC: &str = "juju-exec";

/// All operations and tasks of a model, by number.
#[derive(Default)]
pub(super) struct Tasks {
    tasks: Mutex<BTreeMap<String, Arc<Mutex<Task>>>>,
    operations: Mutex<BTreeMap<u64, Asked>>,
}

/// An operation that was asked for.
#[derive(Clone)]
struct Asked {
    summary: String,
    action: String,
    params: Map<String, Value>,
    tasks: Vec<String>,
    enqueued: SystemTime,
}

struct Task {
    id: String,
    unit: String,
    enqueued: SystemTime,
    state: State,
}

enum State {
    Action(Receiver<AgentResult<ActionRun>>),
    Exec(Receiver<AgentResult<ExecResult>>),
    Ended(Value),
}

impl Facade<'_, '_> {
    /// `juju run`
    pub(super) fn run(
        &self,
        units: &[String],
        action: &str,
        params: &Map<String, Value>,
        wait: Option<Duration>,
        tell: Tell<'_>,
    ) -> Result<Value, Refusal> {
        let start = |unit: &str| {
            let unit = self.unit(unit)?;
            let pending = unit.start_action(action, Value::Object(params.clone()))?;
            Ok((pending.id, unit.name(), State::Action(pending.outcome)))
        };
        self.operate(units, (action, params), start, wait, tell)
    }

    /// `juju exec`
    pub(super) fn exec(
        &self,
        units: &[String],
        commands: &str,
        wait: Option<Duration>,
        tell: Tell<'_>,
    ) -> Result<Value, Refusal> {
        let start = |unit: &str| {
            let unit = self.unit(unit)?;
            let pending = unit.start_exec(commands)?;
            Ok((pending.id, unit.name(), State::Exec(pending.outcome)))
        };
        let params = Map::from_iter([("command".to_owned(), json!(commands))]);
        self.operate(units, (EXEC, &params), start, wait, tell)
    }

    /// `juju exec --machine N -- systemctl restart jujud-machine-N`: all agents are away for a moment, since they share one
    /// process here.
    pub(super) fn restart_agent(&self, machine: u64) -> Result<Value, Refusal> {
        let model = &self.here.model;
        let view = model.view();
        if !view.applications.values().flat_map(|app| app.units.values()).any(|unit| unit.machine == machine)
        {
            return Err(refused(format!("machine {machine} not found")));
        }
        let _operation = model.begin_operation();
        let id = model.begin_operation();
        model.stop_agents(StoppedSocket::Missing)?;
        model.start_agents()?;
        let machine = machine.to_string();
        Ok(json!({"id": id, "machine": machine, "status": "completed", "results": {"return-code": 0}}))
    }

    /// `juju show-task`
    pub(super) fn show_task(&self, id: &str, wait: Duration) -> Result<Value, Refusal> {
        let task = self.task(id).ok_or_else(|| refused(format!("task {id:?} not found")))?;
        Ok(self.now(id, &task, wait))
    }

    /// `juju show-operation`
    pub(super) fn show_operation(&self, id: &str, wait: Duration) -> Result<Value, Refusal> {
        let all = crate::lock(&self.here.tasks.operations).clone();
        let asked = id.parse().ok().and_then(|number: u64| all.get(&number));
        let asked = asked.ok_or_else(|| refused(format!("operation {id:?} not found")))?;
        Ok(self.describe(asked, wait))
    }

    /// `juju operations`
    pub(super) fn operations(&self) -> Value {
        let all = crate::lock(&self.here.tasks.operations).clone();
        let described = all.iter().map(|(id, asked)| (id.to_string(), self.describe(asked, Duration::ZERO)));
        Value::Object(described.collect())
    }

    /// Begins an operation, tells the client of its tasks, and waits for their outcomes if that is wanted.
    fn operate(
        &self,
        units: &[String],
        (action, params): (&str, &Map<String, Value>),
        start: impl Fn(&str) -> Result<(String, String, State), Refusal>,
        wait: Option<Duration>,
        tell: Tell<'_>,
    ) -> Result<Value, Refusal> {
        let id = self.here.model.begin_operation();
        let enqueued = SystemTime::now();
        let (mut tasks, mut refusals, mut running) = (Vec::new(), Vec::new(), Vec::new());
        for unit in units {
            match start(unit) {
                Ok((id, unit, state)) => {
                    let task = Task { id: id.clone(), unit: unit.clone(), enqueued, state };
                    let task = Arc::new(Mutex::new(task));
                    crate::lock(&self.here.tasks.tasks).insert(id.clone(), Arc::clone(&task));
                    running.push((unit.clone(), task));
                    tasks.push((id, unit));
                }
                Err(refusal) => refusals.push(refusal.to_string()),
            }
        }
        let ids: Vec<String> = tasks.iter().map(|(id, _)| id.clone()).collect();
        let where_to: Vec<String> =
            tasks.iter().map(|(_, unit)| format!("unit-{}", unit.replace('/', "-"))).collect();
        let asked = Asked {
            summary: format!("{action} run on {}", where_to.join(",")),
            action: action.to_owned(),
            params: params.clone(),
            tasks: ids,
            enqueued,
        };
        crate::lock(&self.here.tasks.operations).insert(id.parse().unwrap_or_default(), asked);
        tell(Answer::Begun(Operation { id, tasks, refusals }));
        let Some(wait) = wait else { return Ok(Value::Null) };
        let until = Instant::now() + wait;
        let outcomes: Vec<(String, Option<Value>)> = running
            .into_iter()
            .map(|(unit, task)| (unit, self.outcome(&task, until.saturating_duration_since(Instant::now()))))
            .collect();
        let late: Vec<String> = outcomes
            .iter()
            .filter(|(_, outcome)| outcome.is_none())
            .map(|(unit, _)| format!("unit {unit}"))
            .collect();
        if !late.is_empty() {
            return Err(refused(format!("timed out waiting for results from: {}", late.join(", "))));
        }
        Ok(outcomes.into_iter().filter_map(|(_, outcome)| outcome).collect())
    }

    /// What is known of an operation.
    fn describe(&self, asked: &Asked, wait: Duration) -> Value {
        let until = Instant::now() + wait;
        let mut tasks = Map::new();
        let mut status = "completed".to_owned();
        let (mut started, mut completed) = (None, None);
        for id in &asked.tasks {
            let Some(task) = self.task(id) else { continue };
            let mut shown = self.now(id, &task, until.saturating_duration_since(Instant::now()));
            let Some(fields) = shown.as_object_mut() else { continue };
            fields.remove("id");
            fields.remove("unit");
            fields.insert("host".into(), json!(crate::lock(&task).unit));
            let is_worse = fields["status"] != "completed" && status == "completed";
            if let Some(worse) = fields["status"].as_str().filter(|_| is_worse) {
                worse.clone_into(&mut status);
            }
            let time = |key: &str| fields.get("timing").and_then(|timing| timing.get(key)).cloned();
            started = started.or_else(|| time("started"));
            completed = time("completed");
            tasks.insert(id.clone(), shown);
        }
        let mut timing = json!({"enqueued": written(asked.enqueued)});
        for (key, value) in [("started", started), ("completed", completed)] {
            if let Some(value) = value {
                timing[key] = value;
            }
        }
        json!({
            "summary": asked.summary,
            "status": status,
            "action": {"name": asked.action, "parameters": asked.params},
            "timing": timing,
            "tasks": tasks,
        })
    }

    fn task(&self, id: &str) -> Option<Arc<Mutex<Task>>> {
        crate::lock(&self.here.tasks.tasks).get(id).cloned()
    }

    /// A task as it is, at the latest when that time has passed.
    fn now(&self, id: &str, task: &Mutex<Task>, wait: Duration) -> Value {
        let outcome = self.outcome(task, wait);
        outcome.unwrap_or_else(|| {
            let task = crate::lock(task);
            let timing = json!({"enqueued": written(task.enqueued)});
            json!({"id": id, "unit": task.unit, "status": "running", "timing": timing})
        })
    }

    /// What became of a task, if that is known in time.
    fn outcome(&self, task: &Mutex<Task>, wait: Duration) -> Option<Value> {
        let until = Instant::now() + wait;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let outcome = crate::lock(task).look(left.min(STEP));
            let is_ended = self.controller.is_ended.load(Ordering::SeqCst);
            if outcome.is_some() || left.is_zero() || is_ended {
                return outcome;
            }
        }
    }
}

impl Task {
    /// Waits a little for its end.
    fn look(&mut self, patience: Duration) -> Option<Value> {
        let ended = match &self.state {
            State::Ended(value) => return Some(value.clone()),
            State::Action(outcome) => outcome.recv_timeout(patience).map(|outcome| match outcome {
                Ok(run) => action(&self.unit, self.enqueued, run),
                Err(error) => self.failed(&error.to_string()),
            }),
            State::Exec(outcome) => outcome.recv_timeout(patience).map(|outcome| match outcome {
                Ok(result) => self.commands(&result),
                Err(error) => self.failed(&error.to_string()),
            }),
        };
        let ended = match ended {
            Ok(ended) => ended,
            Err(RecvTimeoutError::Timeout) => return None,
            Err(RecvTimeoutError::Disconnected) => self.failed("the unit has gone"),
        };
        self.state = State::Ended(ended.clone());
        Some(ended)
    }

    fn commands(&self, result: &ExecResult) -> Value {
        let mut results = json!({"return-code": result.code});
        for (key, text) in [("stdout", &result.stdout), ("stderr", &result.stderr)] {
            if !text.is_empty() {
                results[key] = json!(text);
            }
        }
        let timing = timing(self.enqueued, self.enqueued, SystemTime::now());
        json!({
            "id": self.id, "unit": self.unit, "status": "completed", "results": results, "timing": timing,
        })
    }

    fn failed(&self, message: &str) -> Value {
        let results = json!({"return-code": 1});
        json!({"id": self.id, "unit": self.unit, "status": "error", "message": message, "results": results})
    }
}

fn action(unit: &str, enqueued: SystemTime, run: ActionRun) -> Value {
    let started = run.run.started;
    let mut task = json!({
        "id": run.id,
        "unit": unit,
        "status": match run.status {
            ActionStatus::Completed => "completed",
            ActionStatus::Failed => "failed",
        },
        "results": run.results,
        "timing": timing(enqueued, started, started + run.run.wall),
    });
    if !run.message.is_empty() {
        task["message"] = json!(run.message);
    }
    if !run.log.is_empty() {
        let at = written(started + run.run.wall);
        task["log"] = run.log.iter().map(|line| json!(format!("{at} {line}"))).collect();
    }
    task
}

fn timing(enqueued: SystemTime, started: SystemTime, completed: SystemTime) -> Value {
    json!({"enqueued": written(enqueued), "started": written(started), "completed": written(completed)})
}

/// `2026-11-22 01:36:54 +0000 UTC`
fn written(at: SystemTime) -> String {
    format!("{} +0000 UTC", Stamp::from(at).iso().replace('T', " ").trim_end_matches('Z'))
}
