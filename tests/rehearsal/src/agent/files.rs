//! The charm's folder on a machine: copied in, and replaced in place by a refresh.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::error::{AgentError, Result};

/// Brings the files of `charm` into `dir`: each replaced by a new one, and those of the last time that are not in it
/// any more removed. What the charm itself made there stays. Returns the files.
pub(super) fn deploy(charm: &Path, dir: &Path, before: &BTreeSet<PathBuf>) -> Result<BTreeSet<PathBuf>> {
    let failed =
        |source| AgentError::io(format!("copying charm {} to {}", charm.display(), dir.display()))(source);
    let mut files = BTreeSet::new();
    copy(charm, dir, Path::new(""), &mut files).map_err(failed)?;
    for stale in before.difference(&files) {
        // The charm may have removed it itself.
        let _ = fs::remove_file(dir.join(stale));
    }
    Ok(files)
}

fn copy(charm: &Path, dir: &Path, below: &Path, files: &mut BTreeSet<PathBuf>) -> io::Result<()> {
    fs::create_dir_all(dir.join(below))?;
    for entry in fs::read_dir(charm.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        let (from, to) = (entry.path(), dir.join(&path));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy(charm, dir, &path, files)?;
            continue;
        }
        match fs::remove_file(&to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        if kind.is_symlink() {
            symlink(fs::read_link(&from)?, &to)?;
        } else {
            fs::copy(&from, &to)?;
        }
        files.insert(path);
    }
    Ok(())
}
