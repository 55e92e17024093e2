//! The agent's socket: answers hook tools in their contexts, and queues what `juju-exec` brings.

use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Instant;

use super::error::AgentError;
use super::exec;
use super::record::{ExecResult, ToolCall};
use super::tools::Call;
use super::wire;
use super::world::{Job, Shared};

/// Serves until the model is closed.
pub(super) fn serve(shared: Arc<Shared>, listener: UnixListener) {
    for stream in listener.incoming() {
        if shared.lock().closed {
            return;
        }
        let Ok(stream) = stream else { continue };
        let shared = Arc::clone(&shared);
        // A tool that goes away in the middle is its own problem.
        thread::spawn(move || drop(answer(&shared, stream)));
    }
}

/// What a tool asks.
struct Request {
    tool: String,
    context: String,
    dir: PathBuf,
    machine: PathBuf,
    args: Vec<String>,
}

fn answer(shared: &Arc<Shared>, mut stream: UnixStream) -> io::Result<()> {
    let fields = wire::receive(&mut stream)?;
    let mut fields = fields.iter().map(|field| String::from_utf8_lossy(field).into_owned());
    let mut next = || fields.next().unwrap_or_default();
    let (tool, context, dir, machine) = (next(), next(), next().into(), next().into());
    let request = Request { tool, context, dir, machine, args: fields.collect() };
    let result = if request.tool == "juju-exec" {
        juju_exec(shared, &request)
    } else {
        hook_tool(shared, &request, &mut stream)?
    };
    wire::send(
        &mut stream,
        &[wire::ANSWER, &[result.code], result.stdout.as_bytes(), result.stderr.as_bytes()],
    )
}

fn refusal(code: u8, text: &str) -> ExecResult {
    ExecResult { code, stdout: String::new(), stderr: format!("ERROR {text}\n") }
}

fn hook_tool(shared: &Shared, request: &Request, stream: &mut UnixStream) -> io::Result<ExecResult> {
    let started = Instant::now();
    let delay = {
        let faults = &shared.lock().faults;
        faults.delay + faults.slow.get(&request.tool).copied().unwrap_or_default()
    };
    if !delay.is_zero() {
        thread::sleep(delay);
    }
    let mut stdin = None;
    loop {
        if let Some((mut call, result)) = answer_once(shared, request, stdin.as_deref()) {
            call.duration = started.elapsed();
            record(shared, request, call);
            return Ok(result);
        }
        wire::send(stream, &[wire::NEEDS_STDIN])?;
        stdin = wire::receive(stream)?.into_iter().next();
    }
}

/// One try; `None` when the tool wants its standard input first.
fn answer_once(shared: &Shared, request: &Request, stdin: Option<&[u8]>) -> Option<(ToolCall, ExecResult)> {
    let mut world = shared.lock();
    let world = &mut *world;
    let result = if let Some((code, text)) = world.faults.failing.get(&request.tool) {
        refusal(*code, text)
    } else if let Some(mut context) = world.contexts.remove(&request.context) {
        let mut call = Call {
            world,
            context: &mut context,
            tool: &request.tool,
            args: &request.args,
            dir: request.dir.clone(),
            stdin,
            stdout: String::new(),
            stderr: String::new(),
        };
        let code = call.answer();
        let (stdout, stderr) = (call.stdout, call.stderr);
        world.contexts.insert(request.context.clone(), context);
        ExecResult { code: code?, stdout, stderr }
    } else {
        refusal(1, &format!("bad request: there is no context id {:?}", request.context))
    };
    let call = ToolCall {
        tool: request.tool.clone(),
        argv: request.args.clone(),
        stdin_bytes: stdin.map_or(0, <[u8]>::len),
        exit_code: result.code,
        stderr: result.stderr.clone(),
        duration: Default::default(),
    };
    Some((call, result))
}

fn record(shared: &Shared, request: &Request, call: ToolCall) {
    if let Some(context) = shared.lock().contexts.get_mut(&request.context) {
        context.calls.push(call);
    }
    shared.announce();
}

fn juju_exec(shared: &Arc<Shared>, request: &Request) -> ExecResult {
    let (reply, outcome) = mpsc::channel();
    {
        let mut world = shared.lock();
        if world.stopped {
            return refusal(1, "connection is shut down");
        }
        let command =
            match exec::parse(&world, &shared.dir, &request.machine, &request.context, &request.args) {
                Ok(command) => command,
                Err(refused) => return refused,
            };
        if let Some(failed) = world.unit(&command.unit).ok().and_then(|unit| unit.failed.as_ref()) {
            let text =
                format!("unit {:?} is in error state: hook failed: {:?}", command.unit.name(), failed.hook);
            return refusal(1, &text);
        }
        let job = Job::Exec { commands: command.commands, relation: command.relation, reply };
        world.enqueue_job(&command.unit, job);
    }
    shared.announce();
    match outcome.recv() {
        Ok(Ok(result)) => result,
        Ok(Err(AgentError::Refused(text))) => refusal(1, &text),
        Ok(Err(error)) => refusal(1, &error.to_string()),
        Err(_) => refusal(1, "the agent has stopped"),
    }
}
