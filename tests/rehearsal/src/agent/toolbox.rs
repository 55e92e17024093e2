//! The hook tools on disk: one executable, and a directory of symlinks to it for each unit.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::error::{AgentError, Result};

/// The executable behind all hook tools: the one that was built with this library, or one that lies beside this
/// program.
pub(super) fn binary() -> PathBuf {
    let built = PathBuf::from(env!("REHEARSAL_HOOK_TOOL"));
    if built.is_file() {
        return built;
    }
    let beside = env::current_exe().ok().and_then(|exe| exe.parent().map(|dir| dir.join("hook-tool")));
    beside.filter(|path| path.is_file()).unwrap_or(built)
}

/// Checks that it is there.
pub(super) fn check() -> Result<()> {
    let binary = binary();
    if binary.is_file() {
        return Ok(());
    }
    let missing = std::io::Error::other("build it with `cargo build -p rehearsal`");
    Err(AgentError::io(format!("looking for hook-tool at {}", binary.display()))(missing))
}

/// Makes a directory in which each of `names` is that tool.
pub(super) fn link<'a>(dir: &Path, names: impl IntoIterator<Item = &'a str>) -> Result<()> {
    let failed = |source| AgentError::io(format!("making hook tools in {}", dir.display()))(source);
    fs::create_dir_all(dir).map_err(failed)?;
    for name in names {
        symlink(binary(), dir.join(name)).map_err(failed)?;
    }
    Ok(())
}
