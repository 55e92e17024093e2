//! Tasks: actions and commands that a client asks for, and may look at later.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Map, Value, json};

use super::super::api::Answer;
use super::requests::Tell;
use super::{Controller, Refusal, refused};
use crate::agent::{ActionRun, ActionStatus, ExecResult, Result as AgentResult, StoppedSocket};
use crate::cloud::Stamp;

/// How long a task is waited for before the controller looks whether it is to end.
const STEP: Duration = Duration::from_millis(200);

/// All tasks by number.
#[derive(Default)]
pub(super) struct Tasks(Mutex<BTreeMap<String, Arc<Mutex<Task>>>>);

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

impl Controller<'_> {
    /// `juju run`.
    pub(super) fn run(
        &self,
        unit: &str,
        action: &str,
        params: Map<String, Value>,
        wait: Option<Duration>,
        tell: Tell<'_>,
    ) -> Result<Value, Refusal> {
        let unit = self.unit(unit)?;
        let pending = unit.start_action(action, Value::Object(params))?;
        self.follow(pending.id, unit.name(), State::Action(pending.outcome), wait, tell)
    }

    /// `juju exec`.
    pub(super) fn exec(
        &self,
        unit: &str,
        commands: &str,
        wait: Option<Duration>,
        tell: Tell<'_>,
    ) -> Result<Value, Refusal> {
        let unit = self.unit(unit)?;
        let pending = unit.start_exec(commands)?;
        self.follow(pending.id, unit.name(), State::Exec(pending.outcome), wait, tell)
    }

    /// `juju exec --machine N -- systemctl restart jujud-machine-N`: all agents are away for a moment, since they share one
    /// process here.
    pub(super) fn restart_agent(&self, machine: u64) -> Result<Value, Refusal> {
        let view = self.fixture.model.view();
        if !view.applications.values().flat_map(|app| app.units.values()).any(|unit| unit.machine == machine)
        {
            return Err(refused(format!("machine {machine} not found")));
        }
        self.fixture.model.stop_agents(StoppedSocket::Missing)?;
        self.fixture.model.start_agents()?;
        let id = machine.to_string();
        Ok(json!({"id": id, "machine": id, "status": "completed", "results": {"return-code": 0}}))
    }

    /// `juju show-task`.
    pub(super) fn show_task(&self, id: &str, wait: Duration) -> Result<Value, Refusal> {
        let task = crate::lock(&self.tasks.0).get(id).cloned();
        let task = task.ok_or_else(|| refused(format!("task {id:?} not found")))?;
        Ok(self.outcome(&task, wait).unwrap_or_else(|| json!({"id": id, "status": "running"})))
    }

    fn follow(
        &self,
        id: String,
        unit: String,
        state: State,
        wait: Option<Duration>,
        tell: Tell<'_>,
    ) -> Result<Value, Refusal> {
        tell(Answer::Scheduled { task: id.clone(), unit: unit.clone() });
        let refusal = format!("timed out waiting for results from: unit {unit}");
        let task = Task { id: id.clone(), unit, enqueued: SystemTime::now(), state };
        let task = Arc::new(Mutex::new(task));
        crate::lock(&self.tasks.0).insert(id, Arc::clone(&task));
        let Some(wait) = wait else { return Ok(Value::Null) };
        self.outcome(&task, wait).ok_or_else(|| refused(refusal))
    }

    /// What became of a task, if that is known in time.
    fn outcome(&self, task: &Mutex<Task>, wait: Duration) -> Option<Value> {
        let until = Instant::now() + wait;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let outcome = crate::lock(task).look(left.min(STEP));
            if outcome.is_some() || left.is_zero() || self.is_ended.load(Ordering::SeqCst) {
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
        let at = shown(started + run.run.wall);
        task["log"] = run.log.iter().map(|line| json!(format!("{at} {line}"))).collect();
    }
    task
}

fn timing(enqueued: SystemTime, started: SystemTime, completed: SystemTime) -> Value {
    json!({"enqueued": shown(enqueued), "started": shown(started), "completed": shown(completed)})
}

/// `2026-11-22 01:36:54 +0000 UTC`
fn shown(at: SystemTime) -> String {
    format!("{} +0000 UTC", Stamp::from(at).iso().replace('T', " ").trim_end_matches('Z'))
}
