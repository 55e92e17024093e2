//! `hook-tool`: every hook tool, `juju-exec` and the launcher of hooks in one small executable.
//!
//! Called through a symlink it is the tool of that name: it hands its arguments to the agent and prints what
//! comes back. Called as `hook-tool --launch REPORT PROGRAM ARGS...` it runs a hook and writes to REPORT how it
//! ended and what it used. Only the standard library, since it starts dozens of times in a hook.

#[path = "../../agent/wire.rs"]
mod wire;

mod usage;

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = env::args_os();
    let called_as = PathBuf::from(arguments.next().unwrap_or_default());
    let name = called_as.file_name().unwrap_or_default().to_owned();
    let arguments: Vec<OsString> = arguments.collect();
    let result = match name.to_str() {
        Some("hook-tool") => usage::launch(&arguments).map(|()| 0),
        Some("juju-exec") => juju_exec(&called_as, &arguments),
        _ => hook_tool(&name, &arguments),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let _ = writeln!(io::stderr(), "ERROR {error}");
            ExitCode::FAILURE
        }
    }
}

fn hook_tool(name: &OsStr, arguments: &[OsString]) -> io::Result<u8> {
    let context = variable("JUJU_CONTEXT_ID")?;
    let socket = variable("JUJU_AGENT_SOCKET_ADDRESS")?;
    ask(Path::new(&socket), name, &context, OsStr::new(""), arguments)
}

/// Finds its machine by the directory that it was found in, since its callers have no hook environment.
fn juju_exec(called_as: &Path, arguments: &[OsString]) -> io::Result<u8> {
    let context = env::var_os("JUJU_CONTEXT_ID").unwrap_or_default();
    let here = if called_as.components().count() > 1 {
        called_as.to_owned()
    } else {
        let path = env::var_os("PATH").unwrap_or_default();
        env::split_paths(&path)
            .map(|dir| dir.join(called_as))
            .find(|candidate| candidate.is_file())
            .ok_or_else(|| io::Error::other("juju-exec is not on PATH"))?
    };
    let machine =
        std::path::absolute(&here)?.parent().and_then(Path::parent).map(Path::to_owned).unwrap_or_default();
    ask(&machine.join("agent"), OsStr::new("juju-exec"), &context, machine.as_os_str(), arguments)
}

fn ask(
    socket: &Path,
    tool: &OsStr,
    context: &OsStr,
    machine: &OsStr,
    arguments: &[OsString],
) -> io::Result<u8> {
    let dir = env::current_dir()?;
    let mut stream = UnixStream::connect(socket)
        .map_err(|e| io::Error::other(format!("dial unix {}: connect: {e}", socket.display())))?;
    let mut fields =
        vec![tool.as_bytes(), context.as_bytes(), dir.as_os_str().as_bytes(), machine.as_bytes()];
    fields.extend(arguments.iter().map(|argument| argument.as_bytes()));
    wire::send(&mut stream, &fields)?;
    let mut answer = wire::receive(&mut stream)?;
    if answer.first().map(Vec::as_slice) == Some(wire::NEEDS_STDIN) {
        let mut input = Vec::new();
        io::stdin().read_to_end(&mut input)?;
        wire::send(&mut stream, &[&input])?;
        answer = wire::receive(&mut stream)?;
    }
    match answer.as_slice() {
        [kind, code, out, err] if kind == wire::ANSWER => {
            io::stdout().write_all(out)?;
            io::stdout().flush()?;
            io::stderr().write_all(err)?;
            Ok(code.first().copied().unwrap_or(1))
        }
        _ => Err(io::Error::other("the agent's answer makes no sense")),
    }
}

fn variable(name: &str) -> io::Result<OsString> {
    match env::var_os(name) {
        Some(value) if !value.is_empty() => Ok(value),
        _ => Err(io::Error::other(format!("{name} not set"))),
    }
}
