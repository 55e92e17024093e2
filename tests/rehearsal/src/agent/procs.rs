//! Looks at the processes of this host through `/proc`, without root: only those that this user may look at count.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// A process that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its command line, words separated by blanks.
    pub command: String,
}

impl Process {
    /// Kills it at once, as a crash does.
    pub fn kill(&self) {
        if let Some(pid) = Pid::from_raw(self.pid.cast_signed()) {
            // It may have ended since.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// The processes that have to do with `root`: by their executable, working directory, command line or environment.
/// The calling process is never one of them.
pub fn processes_below(root: &Path) -> Vec<Process> {
    let needle = root.as_os_str().as_bytes();
    filter(|dir| {
        let below = |link: &str| fs::read_link(dir.join(link)).is_ok_and(|target| target.starts_with(root));
        let mentions = |file: &str| fs::read(dir.join(file)).is_ok_and(|text| contains(&text, needle));
        below("exe") || below("cwd") || mentions("cmdline") || mentions("environ")
    })
}

/// The processes with this `NAME=value` in their environment.
pub(super) fn with_environment(variable: &str) -> Vec<Process> {
    filter(|dir| {
        let environment = fs::read(dir.join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == variable.as_bytes())
    })
}

/// Kills them at once.
pub(super) fn kill_all(processes: &[Process]) {
    processes.iter().for_each(Process::kill);
}

fn filter(wanted: impl Fn(&Path) -> bool) -> Vec<Process> {
    let own = std::process::id();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            (pid != own && is_alive(&entry.path()) && wanted(&entry.path())).then(|| {
                let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
                let command = String::from_utf8_lossy(&command).trim_end_matches('\0').replace('\0', " ");
                Process { pid, command }
            })
        })
        .collect()
}

/// Neither a zombie nor gone.
fn is_alive(dir: &Path) -> bool {
    let stat = fs::read_to_string(dir.join("stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Whether `text` has the path `needle`, or one below it.
fn contains(text: &[u8], needle: &[u8]) -> bool {
    let ends = |at: usize| matches!(text.get(at + needle.len()), None | Some(b'/' | b':' | b' ' | b'\n' | 0));
    let mut windows = text.windows(needle.len().max(1)).enumerate();
    windows.any(|(at, window)| window == needle && ends(at))
}
