//! Charms with the same options and relations: ours, one that does nothing, one on Python's ops.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rehearsal::fixture::copy_folder;

use crate::python::Python;

/// One that does nothing, as a folder below `directory`.
pub fn idle(directory: &Path, charm: &Path) -> PathBuf {
    like(directory, charm, "idle", "#!/bin/sh\n")
}

/// One on ops that looks at what ours looks at.
pub fn on_ops(directory: &Path, charm: &Path, python: &Python) -> PathBuf {
    let start = format!("#!/bin/sh\nexec {} src/charm.py\n", python.path().display());
    let folder = like(directory, charm, "on-ops", &start);
    fs::create_dir(folder.join("src")).unwrap();
    fs::copy(Python::source("charm.py"), folder.join("src/charm.py")).unwrap();
    folder
}

/// Ours with another executable.
pub fn with_dispatch(directory: &Path, charm: &Path, dispatch: &Path) -> PathBuf {
    let folder = directory.join("other");
    copy_folder(charm, &folder).unwrap();
    fs::remove_file(folder.join("dispatch")).unwrap();
    fs::copy(dispatch, folder.join("dispatch")).unwrap();
    executable(&folder.join("dispatch"));
    folder
}

fn like(directory: &Path, charm: &Path, name: &str, dispatch: &str) -> PathBuf {
    let folder = directory.join(name);
    fs::create_dir(&folder).unwrap();
    for file in ["metadata.yaml", "config.yaml", "actions.yaml"] {
        fs::copy(charm.join(file), folder.join(file)).unwrap();
    }
    fs::write(folder.join("dispatch"), dispatch).unwrap();
    executable(&folder.join("dispatch"));
    folder
}

fn executable(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
