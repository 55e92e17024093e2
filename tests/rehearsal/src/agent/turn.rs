//! One turn of a unit: a context, a process in it, and what it wrote brought into the model.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::{Map, Value, json};

use super::context::{ActionState, Context, flush};
use super::env::{Turn, variables};
use super::error::{AgentError, Result};
use super::process::{self, Outcome, Pipes, Spec};
use super::record::{ActionRun, ActionStatus, Ending, ExecResult, HookRun, Level, RunKind};
use super::world::{Event, RelationEvent, Shared, UnitId, World};

/// What is run in a turn.
struct Plan<'a> {
    job: u64,
    kind: RunKind,
    name: &'a str,
    relation: Option<RelationEvent>,
    action: Option<(&'a str, Map<String, Value>)>,
    event: Option<&'a Event>,
}

/// Runs a hook; whether it succeeded. What it wrote counts only then.
pub(super) fn hook(shared: &Shared, unit: &UnitId, job: u64, event: &Event) -> bool {
    let relation = event.relation.clone();
    let plan =
        Plan { job, kind: RunKind::Hook, name: &event.hook, relation, action: None, event: Some(event) };
    let Ok((run, context)) = take(shared, unit, plan) else { return false };
    let mut world = shared.lock();
    let flushed = match run.succeeded() {
        true => flush(&mut world, &context),
        false => Err(format!("hook {:?} ended with {}", event.hook, run.ending)),
    };
    if let Err(text) = &flushed {
        world.note(&unit.name(), Level::Error, &event.hook, text);
    }
    world.runs.push(run);
    flushed.is_ok()
}

/// Runs an action. One that fails does not put the unit into error state.
pub(super) fn action(
    shared: &Shared,
    unit: &UnitId,
    job: u64,
    (id, name): (&str, &str),
    params: Map<String, Value>,
) -> Result<ActionRun> {
    let plan =
        Plan { job, kind: RunKind::Action, name, relation: None, action: Some((id, params)), event: None };
    let (run, context) = take(shared, unit, plan)?;
    let mut world = shared.lock();
    let flushed = if run.succeeded() { flush(&mut world, &context) } else { Ok(()) };
    let state = context.action.unwrap_or_default();
    let (mut status, mut message) = match state.failure {
        Some(message) => (ActionStatus::Failed, message),
        None => (ActionStatus::Completed, String::new()),
    };
    if !run.succeeded() {
        status = ActionStatus::Failed;
        message = run.ending.to_string();
    }
    if let Err(refusal) = flushed {
        (status, message) = (ActionStatus::Failed, refusal);
    }
    let mut results = state.results;
    if let Ending::Code(code) = run.ending {
        results.insert("return-code".to_owned(), json!(code));
    }
    for (key, text) in [("stdout", &run.stdout), ("stderr", &run.stderr)] {
        if !text.is_empty() {
            results.insert(key.to_owned(), json!(text));
        }
    }
    world.runs.push(run.clone());
    Ok(ActionRun { id: id.to_owned(), status, message, results, log: state.log, run })
}

/// Runs commands of `juju-exec`. Juju does not count their exit code as a failure: what they wrote counts anyway.
pub(super) fn exec(
    shared: &Shared,
    unit: &UnitId,
    job: u64,
    commands: &str,
    relation: Option<RelationEvent>,
) -> Result<ExecResult> {
    let plan = Plan { job, kind: RunKind::Exec, name: commands, relation, action: None, event: None };
    let (run, context) = take(shared, unit, plan)?;
    let mut world = shared.lock();
    let code = match run.ending {
        Ending::Code(code) => u8::try_from(code).unwrap_or(u8::MAX),
        _ => 1,
    };
    let flushed = if matches!(run.ending, Ending::Code(_)) { flush(&mut world, &context) } else { Ok(()) };
    let mut result = ExecResult { code, stdout: run.stdout.clone(), stderr: run.stderr.clone() };
    if let Err(refusal) = flushed {
        (result.code, result.stderr) = (1, format!("{}ERROR {refusal}\n", result.stderr));
    }
    if !matches!(run.ending, Ending::Code(_)) {
        result.stderr.push_str(&format!("ERROR {}\n", run.ending));
    }
    world.runs.push(run);
    Ok(result)
}

fn take(shared: &Shared, unit: &UnitId, plan: Plan<'_>) -> Result<(HookRun, Context)> {
    let mut world = shared.lock();
    let gone = || AgentError::Gone(unit.name());
    if world.closed {
        return Err(gone());
    }
    let mut context = Context::new(&world, unit, plan.relation.clone()).ok_or_else(gone)?;
    // Unique beyond the model, since processes are found and killed by it.
    let number = world.next("context");
    let context_id = format!("{}-{}-{}{number}", unit.name(), plan.name_in_id(), world.uuid.replace('-', ""));
    let charm_dir = shared.charm_dir(world.unit(unit)?.machine, unit);
    let program = plan.program(&charm_dir);
    if let Some((_, params)) = &plan.action {
        context.action = Some(ActionState { params: params.clone(), ..ActionState::default() });
    }
    let turn = Turn {
        context_id: &context_id,
        hook: if plan.kind == RunKind::Hook { plan.name } else { "" },
        dispatch_path: plan.dispatch_path(),
        secret: plan.event.and_then(|event| event.secret.as_ref()),
        action: plan.action.as_ref().map(|(id, _)| (*id, plan.name)),
    };
    let env = variables(shared, &world, unit, &context, &turn);
    let spec = program.map(|program| Spec {
        program,
        stdin: (plan.kind == RunKind::Exec).then(|| plan.name.to_owned()),
        env,
        report: shared.dir.join(format!("report-{}", plan.job)),
        context_id: context_id.clone(),
        deadline: world.deadline,
        pipes: if plan.kind == RunKind::Exec { Pipes::Awaited } else { Pipes::Dropped },
        dir: charm_dir,
    });
    world.contexts.insert(context_id.clone(), context);
    let started = SystemTime::now();
    drop(world);
    let outcome = match &spec {
        Some(spec) => process::run(spec),
        None => nothing(&plan),
    };
    let mut world = shared.lock();
    let context = world.contexts.remove(&context_id).ok_or_else(gone)?;
    let run = HookRun {
        unit: unit.name(),
        kind: plan.kind,
        name: plan.name.to_owned(),
        started,
        wall: outcome.wall,
        cpu: outcome.cpu,
        max_rss_kib: outcome.max_rss_kib,
        ending: outcome.ending,
        calls: context.calls.clone(),
        stdout: String::from_utf8_lossy(&outcome.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&outcome.stderr).into_owned(),
        job: plan.job,
    };
    if plan.kind != RunKind::Exec {
        log_output(&mut world, &run);
    }
    Ok((run, context))
}

/// A charm without `dispatch` and without that hook has nothing to do; without that action it has failed.
fn nothing(plan: &Plan<'_>) -> Outcome {
    let ending = match plan.kind {
        RunKind::Action => Ending::NotStarted("action not implemented".to_owned()),
        _ => Ending::Code(0),
    };
    Outcome {
        ending,
        wall: std::time::Duration::ZERO,
        cpu: std::time::Duration::ZERO,
        max_rss_kib: 0,
        stdout: Vec::new(),
        stderr: Vec::new(),
    }
}

fn log_output(world: &mut World, run: &HookRun) {
    for (text, level) in [(&run.stdout, Level::Debug), (&run.stderr, Level::Warning)] {
        for line in text.lines() {
            world.note(&run.unit, level, &run.name, line);
        }
    }
}

impl Plan<'_> {
    fn name_in_id(&self) -> &str {
        if self.kind == RunKind::Exec { "run-commands" } else { self.name }
    }

    fn dispatch_path(&self) -> Option<String> {
        match self.kind {
            RunKind::Hook => Some(format!("hooks/{}", self.name)),
            RunKind::Action => Some(format!("actions/{}", self.name)),
            RunKind::Exec => None,
        }
    }

    fn program(&self, charm_dir: &Path) -> Option<Vec<OsString>> {
        let Some(path) = self.dispatch_path() else {
            let bash = Path::new("/bin/bash");
            let shell = if bash.exists() { bash } else { Path::new("/bin/sh") };
            return Some(vec![shell.into(), "-s".into()]);
        };
        let found: PathBuf =
            [charm_dir.join("dispatch"), charm_dir.join(path)].into_iter().find(|file| file.exists())?;
        Some(vec![found.into()])
    }
}
