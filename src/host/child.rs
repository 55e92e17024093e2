//! A process of ours: it leads a process group of its own, is killed with it, and ends with us.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, getpid, getppid, kill_process_group, pidfd_open, set_parent_process_death_signal,
};

/// Starts `command` as the leader of a process group of its own.
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    command.process_group(0).spawn()
}

/// The same for one that the kernel kills when the thread that starts it ends: in particular when this process is killed.
/// Only for a thread that stays until the child has ended.
pub fn spawn_tied(command: &mut Command) -> io::Result<Child> {
    tie(command);
    spawn(command)
}

#[allow(unsafe_code)]
fn tie(command: &mut Command) {
    let us = getpid();
    let tie = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // When we were killed before this call, nobody would tell the child.
        if getppid() == Some(us) { Ok(()) } else { Err(Errno::SRCH.into()) }
    };
    // SAFETY: what runs between fork and exec makes two system calls, and neither allocates nor takes a lock.
    unsafe { command.pre_exec(tie) };
}

/// What becomes readable when `child` has ended.
pub fn exit_of(child: &Child) -> io::Result<OwnedFd> {
    let pid = Pid::from_raw(child.id().cast_signed()).ok_or(Errno::SRCH)?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

/// Kills `child` with all of its group, and waits for its end.
pub fn kill_group(child: &mut Child) {
    if let Some(group) = Pid::from_raw(child.id().cast_signed())
        && matches!(child.try_wait(), Ok(None))
    {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.wait();
}
