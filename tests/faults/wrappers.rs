//! Programs in the place of ssh and of the charm's own executable: they count what goes through them, go wrong when they
//! are told to, once, and are the real ones otherwise.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The name of the place that the connection itself is, beside the numbers of commands.
const CONNECTION: &str = "connection";

/// An ssh that does what the file `fault` says: `VM PLACE FAULT`. VMs of the first base count alone: those of the second
/// are told the same.
///
/// A peer that falls silent is noticed by ssh itself: ServerAliveInterval times ServerAliveCountMax later it ends with 255.
const SSH: &str = r#"#!/bin/bash
control=CONTROL
vm= place=command
for word in "$@"; do
    case $word in
        ControlPath=*-verify-noble-x64/ssh) vm=verification ;;
        ControlPath=*-noble-x64/ssh) vm=builder ;;
        -N) place=connection ;;
    esac
done
[ -n "$vm" ] || exec /usr/bin/ssh "$@"
if [ $place = command ]; then
    read -r place 2>/dev/null <"$control/commands.$vm" || place=0
    echo $((++place)) >"$control/commands.$vm"
fi
read -r where nth what 2>/dev/null <"$control/fault"
[ "$vm $place" = "${where:-} ${nth:-}" ] && [ ! -e "$control/struck" ] || exec /usr/bin/ssh "$@"
: >"$control/struck"
case $what in
    refused) echo "ssh: connect to host: Connection refused" >&2; exit 255 ;;
    breaks) timeout -s KILL 0.3 /usr/bin/ssh "$@"; exit 255 ;;
    hang) sleep 60; exit 255 ;;
    kill-) exec sleep 900 ;;
    kill+)
        if [ "$place" = connection ]; then exec /usr/bin/ssh "$@"; fi
        /usr/bin/ssh "$@" >/dev/null
        exec sleep 900 ;;
    exit1) cat >/dev/null; exit 1 ;;
esac
"#;

/// The worker's way to Juju, which fails or is slow as long as the file `juju-exec` says so.
const JUJU_EXEC: &str = r#"#!/bin/bash
control=CONTROL
read -r what 2>/dev/null <"$control/juju-exec" && touch "$control/struck"
case $what in
    fails) echo "ERROR the agent does not answer" >&2; exit 1 ;;
    slow) sleep 2 ;;
esac
exec "$(type -ap juju-exec | sed -n 2p)" "$@"
"#;

/// The charm's executable under the eyes of strace(1), which fails its system calls as the file `trace` says, until one
/// was failed. `-D`: the tracer is not in the way of whoever waits for the executable, and follows the worker. It must not
/// hold the pipes of the hook that starts the worker: the executable gets them from its parent, which waits for it.
const DISPATCH: &str = r#"#!/bin/bash
control=CONTROL
if [ -e "$control/trace" ] && ! grep -qs -e INJECTED -e 'killed by SIGKILL' "$control"/traced.*; then
    mapfile -t options <"$control/trace"
    exec strace -D -f --seccomp-bpf -q -e signal=SIGKILL -o "$control/traced.$$" "${options[@]}" -- \
        bash -c 'exec "$@" >/proc/'$PPID'/fd/1 2>/proc/'$PPID'/fd/2' bash "$0.real" "$@" </dev/null &>/dev/null
fi
exec "$0.real" "$@"
"#;

/// The wrappers of one run and what is asked of them.
pub struct Wrappers {
    control: tempfile::TempDir,
}

impl Wrappers {
    /// Puts ssh among the tools that come before the machine's own, and the other in the place of `charm`'s executable.
    pub fn install(tools: &Path, charm: &Path) -> Self {
        let wrappers = Self { control: tempfile::Builder::new().prefix("faults-").tempdir().unwrap() };
        let dispatch = charm.join("dispatch");
        fs::rename(&dispatch, charm.join("dispatch.real")).unwrap();
        let scripts = [(tools.join("ssh"), SSH), (tools.join("juju-exec"), JUJU_EXEC), (dispatch, DISPATCH)];
        for (path, script) in scripts {
            let script = script.replace("CONTROL", &wrappers.control.path().display().to_string());
            fs::write(&path, script).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        wrappers
    }

    /// Lets ssh go wrong at its connection to `vm` (`nth` is `None`) or at a command.
    pub fn break_ssh(&self, vm: &str, nth: Option<u32>, fault: &str) {
        let place = nth.map_or(CONNECTION.to_owned(), |nth| nth.to_string());
        fs::write(self.file("fault"), format!("{vm} {place} {fault}\n")).unwrap();
    }

    /// Lets `juju-exec` fail or be slow.
    pub fn break_juju_exec(&self, fault: &str) {
        fs::write(self.file("juju-exec"), format!("{fault}\n")).unwrap();
    }

    /// Runs the charm under strace with these options from now on.
    pub fn trace(&self, options: &[String]) {
        fs::write(self.file("trace"), options.join("\n")).unwrap();
    }

    /// Whether anything has gone wrong as it was told to.
    pub fn struck(&self) -> bool {
        let failed = |text: &String| text.contains("INJECTED") || text.contains("killed by SIGKILL");
        self.file("struck").exists() || self.traces().iter().any(failed)
    }

    /// Nothing goes wrong any more.
    pub fn heal(&self) {
        for name in ["fault", "trace", "juju-exec"] {
            let _ = fs::remove_file(self.file(name));
        }
    }

    /// How many commands went to each kind of VM.
    pub fn commands(&self) -> BTreeMap<&'static str, u32> {
        let count = |vm| {
            let text = fs::read_to_string(self.file(&format!("commands.{vm}"))).unwrap_or_default();
            (vm, text.trim().parse().unwrap_or_default())
        };
        ["builder", "verification"].into_iter().map(count).collect()
    }

    /// What strace has written so far, a text for each traced process of Juju's.
    pub fn traces(&self) -> Vec<String> {
        let files = fs::read_dir(self.control.path()).into_iter().flatten().flatten();
        let traces = files.filter(|file| file.file_name().to_string_lossy().starts_with("traced."));
        traces
            .map(|file| String::from_utf8_lossy(&fs::read(file.path()).unwrap_or_default()).into_owned())
            .collect()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.control.path().join(name)
    }
}
