//! Runs a hook and measures it: the launcher is small and does nothing else, so what it measures is the hook's.
//!
//! - CPU time is the hook process's own, without its children (the hook tools): read from `/proc/PID/schedstat`
//!   (nanoseconds, main thread) and `/proc/PID/stat` (ticks, all threads) while the process is dead but not yet
//!   reaped; the larger counts.
//! - Peak memory is `ru_maxrss` of the launcher's children after reaping: the largest of the hook and of the
//!   processes that it waited for. A child begins with the peak of the process that started it, which is why the
//!   test process, large as it may be, must not start hooks itself.
//!
//! Unsafe code lives here only: two calls of the C library that the standard library does not offer.
#![allow(unsafe_code)]

use std::ffi::{OsString, c_int, c_long, c_uint};
use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

const TICKS_PER_SECOND: u64 = 100;
const BUSY_RETRIES: u32 = 500;

/// Runs `PROGRAM ARGS...` and writes how it went to `REPORT`, as lines of `name value`.
pub fn launch(arguments: &[OsString]) -> io::Result<()> {
    let [flag, report, program, rest @ ..] = arguments else {
        return Err(io::Error::other("usage: hook-tool --launch REPORT PROGRAM ARGS..."));
    };
    if flag != "--launch" {
        return Err(io::Error::other("hook-tool is called by the agent, or through a tool's name"));
    }
    let started = Instant::now();
    let mut child = match spawn(Command::new(program).args(rest)) {
        Ok(child) => child,
        Err(error) => return fs::write(report, format!("failure {error}\n")),
    };
    wait_without_reaping(child.id())?;
    let wall = started.elapsed();
    let cpu = cpu_time(child.id());
    let status = child.wait()?;
    let ending = match status.code() {
        Some(code) => format!("code {code}"),
        None => format!("signal {}", status.signal().unwrap_or_default()),
    };
    let text =
        format!("{ending}\nwall {}\ncpu {}\nrss {}\n", wall.as_nanos(), cpu.as_nanos(), peak_of_children()?);
    fs::write(report, text)
}

/// A just-copied file is busy for a moment if another thread forked while it was being written.
fn spawn(command: &mut Command) -> io::Result<Child> {
    let mut retries = BUSY_RETRIES;
    loop {
        match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && retries > 0 => {
                retries -= 1;
                sleep(Duration::from_millis(2));
            }
            other => return other,
        }
    }
}

fn cpu_time(pid: u32) -> Duration {
    let main_thread = fs::read_to_string(format!("/proc/{pid}/schedstat"))
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .map(Duration::from_nanos);
    let all_threads = fs::read_to_string(format!("/proc/{pid}/stat")).ok().and_then(|text| {
        let (_, after_name) = text.rsplit_once(')')?;
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
        Some(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
    });
    main_thread.unwrap_or_default().max(all_threads.unwrap_or_default())
}

fn wait_without_reaping(pid: u32) -> io::Result<()> {
    const P_PID: c_int = 1;
    const WEXITED: c_int = 4;
    const WNOWAIT: c_int = 0x0100_0000;
    let mut info = [0_u64; 16];
    loop {
        // SAFETY: siginfo_t has 128 bytes and is aligned to 8; the kernel fills it and keeps no reference.
        let result = unsafe { waitid(P_PID, pid, info.as_mut_ptr(), WEXITED | WNOWAIT) };
        match io::Error::last_os_error() {
            _ if result == 0 => return Ok(()),
            error if error.kind() == io::ErrorKind::Interrupted => {}
            error => return Err(error),
        }
    }
}

/// In KiB.
fn peak_of_children() -> io::Result<u64> {
    const RUSAGE_CHILDREN: c_int = -1;
    const MAXRSS: usize = 4;
    let mut usage = [0 as c_long; 36];
    // SAFETY: struct rusage is 18 longs on Linux; the buffer is twice that, and is only written to.
    let result = unsafe { getrusage(RUSAGE_CHILDREN, usage.as_mut_ptr()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(u64::try_from(usage[MAXRSS]).unwrap_or_default())
}

unsafe extern "C" {
    fn waitid(kind: c_int, id: c_uint, info: *mut u64, options: c_int) -> c_int;
    fn getrusage(who: c_int, usage: *mut c_long) -> c_int;
}
