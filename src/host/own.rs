//! What is ours: folders, files and processes that nobody else can have put into the place of ours.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Resource, Rlimit, Signal, geteuid, pidfd_open, pidfd_send_signal, setrlimit,
};

/// Somebody else may have a say in what lies there. Found as the cause of an [`io::Error`].
#[derive(Debug, thiserror::Error)]
pub enum NotOurs {
    /// A symbolic link.
    #[error(
        "it is a symbolic link, which the charm does not follow; find out who created it, then remove it (to use another \
         disk for the folder, use a bind mount)"
    )]
    Link,
    /// Another user's.
    #[error(
        "it belongs to user {owner}, not to user {us}; find out who created it, then remove it, or run: chown -R {us} {}",
        path.display()
    )]
    Owner {
        /// Whose it is.
        owner: u32,
        /// Who we are.
        us: u32,
        /// The folder.
        path: PathBuf,
    },
}

impl NotOurs {
    /// The reason that is behind `error`, if there is one.
    pub fn behind(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl From<NotOurs> for io::Error {
    fn from(reason: NotOurs) -> Self {
        Self::new(ErrorKind::PermissionDenied, reason)
    }
}

/// These options, for a path whose last part must not be a symbolic link.
pub fn unlinked(options: &mut OpenOptions) -> &mut OpenOptions {
    options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
}

/// Opens `path` with `options` and does not follow a link there.
pub fn open_unlinked(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    unlinked(options).open(path).map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::LOOP) => NotOurs::Link.into(),
        _ => error,
    })
}

/// Opens the folder at `path`, which must be ours.
pub fn open_folder(path: &Path) -> io::Result<File> {
    refuse_link(path)?;
    let folder = open_unlinked(OpenOptions::new().read(true), path)?;
    let (owner, us) = (folder.metadata()?.uid(), geteuid().as_raw());
    if owner == us { Ok(folder) } else { Err(NotOurs::Owner { owner, us, path: path.to_owned() }.into()) }
}

/// Refuses a path whose last part is a symbolic link; one that is not there yet is fine.
pub fn refuse_link(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => Err(NotOurs::Link.into()),
        _ => Ok(()),
    }
}

/// Kills process `pid` if its executable is `ours`. One that is gone is as good as killed; one that is another's is left
/// alone, and that is an error.
pub fn kill_own(pid: u32, ours: impl Fn(&Path) -> bool) -> io::Result<()> {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return Err(io::Error::other("this is not a process ID"));
    };
    // From here on this very process is meant, even if its number is given to another.
    let process = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(process) => process,
        Err(Errno::SRCH) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let Ok(executable) = fs::read_link(format!("/proc/{pid}/exe")) else { return Ok(()) };
    // The kernel says so when the file has gone, or another has taken its place.
    let shown = executable.to_string_lossy();
    let path = Path::new(shown.strip_suffix(" (deleted)").unwrap_or(&shown));
    if !ours(path) {
        return Err(io::Error::other(format!("it runs {shown}, which is not this charm's")));
    }
    match pidfd_send_signal(&process, Signal::KILL) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Lets neither this process nor its children leave an image of their memory behind when they crash.
pub fn dump_no_core() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = setrlimit(Resource::Core, none) {
        log::warn!("core dumps could not be disabled: {error}");
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn only_a_process_of_our_own_executable_is_killed() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let refused = kill_own(child.id(), |_| false).unwrap_err().to_string();
        assert!(refused.contains("sleep") && refused.contains("not this charm's"), "{refused}");
        assert!(child.try_wait().unwrap().is_none(), "it lives");
        kill_own(child.id(), |path| path.is_absolute()).unwrap();
        assert!(!child.wait().unwrap().success());
        kill_own(child.id(), |_| false).unwrap();
        for nobody in [0, u32::MAX] {
            assert!(kill_own(nobody, |_| true).is_err());
        }
    }

    #[test]
    fn a_link_and_another_users_folder_are_not_ours() {
        let dir = tempfile::tempdir().unwrap();
        open_folder(dir.path()).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path(), &link).unwrap();
        let error = open_folder(&link).unwrap_err();
        assert!(matches!(NotOurs::behind(&error), Some(NotOurs::Link)), "{error}");
        let error = open_unlinked(OpenOptions::new().read(true), &link).unwrap_err();
        assert!(matches!(NotOurs::behind(&error), Some(NotOurs::Link)), "{error}");
        // Root's on any machine; where that is us, another's is made.
        let other = match geteuid().is_root() {
            true => {
                let folder = dir.path().join("other");
                fs::create_dir(&folder).unwrap();
                std::os::unix::fs::chown(&folder, Some(65534), None).unwrap();
                folder
            }
            false => PathBuf::from("/"),
        };
        let error = open_folder(&other).unwrap_err();
        assert!(matches!(NotOurs::behind(&error), Some(NotOurs::Owner { .. })), "{error}");
    }
}
