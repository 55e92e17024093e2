//! Every program that the worker starts, with its arguments and environment, as the kernel sees it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A trace of execve(2) of every worker and all that it starts.
pub struct Trace {
    folder: PathBuf,
}

impl Trace {
    /// Keeps its files below `folder`.
    pub fn below(folder: &Path) -> Self {
        let folder = folder.join("trace");
        let tools = folder.join("tools");
        fs::create_dir_all(&tools).expect("the tools' folder");
        // The charm starts its worker with `setsid --fork WORKER`: strace comes between the two.
        let shim = format!(
            "#!/bin/sh\nshift\nexec /usr/bin/setsid --fork strace --follow-forks --seccomp-bpf --quiet=all \
             --no-abbrev --string-limit=65536 --trace=execve --output={}/execve.$$ \"$@\"\n",
            folder.display()
        );
        let path = tools.join("setsid");
        fs::write(&path, shim).expect("the shim");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("the shim's mode");
        Self { folder }
    }

    /// A folder for the charm's PATH.
    pub fn tools(&self) -> PathBuf {
        self.folder.join("tools")
    }

    /// Every line of every trace.
    pub fn lines(&self) -> Vec<String> {
        let files = fs::read_dir(&self.folder).expect("the folder").flatten().map(|entry| entry.path());
        let traces = files.filter(|path| path.to_string_lossy().contains("/execve."));
        traces
            .flat_map(|path| {
                let text = String::from_utf8_lossy(&fs::read(path).expect("a trace")).into_owned();
                text.lines().map(str::to_owned).collect::<Vec<_>>()
            })
            .collect()
    }
}
