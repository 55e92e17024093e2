//! The unpacked charm that is deployed: what `make charm` made, or the sources around a binary that cargo built.

use std::env;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

/// Names an unpacked charm that tests are to use in place of what cargo has just built.
pub const CHARM_VARIABLE: &str = "RUNNER_IMAGE_BUILDER_CHARM";

/// Makes `folder` an unpacked charm: a copy of the one that [`CHARM_VARIABLE`] names, else of the yaml files, hooks and scripts
/// in `sources`, with `built` as its executable.
pub fn assemble(folder: &Path, sources: &Path, built: &Path) -> io::Result<()> {
    if let Some(charm) = env::var_os(CHARM_VARIABLE) {
        return copy_folder(Path::new(&charm), folder);
    }
    for shipped in ["hooks", "scripts"] {
        copy_folder(&sources.join(shipped), &folder.join(shipped))?;
    }
    for file in ["metadata.yaml", "config.yaml", "actions.yaml"] {
        fs::copy(sources.join(file), folder.join(file))?;
    }
    let dispatch = folder.join("dispatch");
    // A worker is started from a copy of the binary: without its debug symbols that takes a tenth of the time.
    let stripped = Command::new("strip").arg("-o").arg(&dispatch).arg(built).status();
    if !stripped.is_ok_and(|status| status.success()) {
        fs::copy(built, &dispatch)?;
    }
    Ok(())
}

/// Copies a folder with all in it.
pub fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}
