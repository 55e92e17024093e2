//! The folder that local builds work in, and whether this machine can do them at all.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use super::prepared::PreparedDisks;
use crate::builder::image::base_image::BaseImageCache;
use crate::host::{Exclusive, FileError, Host};
use crate::model::{Cause, Classified, Target};

/// What a build may need at a time: the base image, its copy with everything installed, and that packed.
const ROOM: u64 = 10 << 30;

/// What a prepared disk may need besides.
const ROOM_TO_PREPARE: u64 = 6 << 30;

/// The programs that a local build calls, and the packages that they come with.
const TOOLS: [(&str, &str); 3] =
    [("qemu-img", "qemu-utils"), ("resize2fs", "e2fsprogs"), ("sfdisk", "fdisk")];

/// This machine cannot build images.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// We are not root.
    #[error("building on this machine requires root, to mount a disk image")]
    NotRoot,
    /// There are no loop devices.
    #[error(
        "building on this machine requires loop devices, but opening /dev/loop-control failed: {0}; use a machine or VM \
         rather than a container, or set build-mode=external"
    )]
    NoLoopDevices(std::io::Error),
    /// A program is not there.
    #[error("building on this machine requires {program}; install the package {package}")]
    NoProgram {
        /// The program.
        program: &'static str,
        /// The package that has it.
        package: &'static str,
    },
    /// The disk is too full.
    #[error(
        "building on this machine requires {} GiB of free space in {}, but only {} GiB are free; use a larger disk",
        ROOM >> 30, folder.display(), free >> 30
    )]
    NoRoom {
        /// Where.
        folder: PathBuf,
        /// What is free, in bytes.
        free: u64,
    },
    /// Another build has the folder.
    #[error("another build is running in {}; wait until it ends", folder.display())]
    Busy {
        /// The folder.
        folder: PathBuf,
    },
    /// The image is for another kind of machine.
    #[error(
        "{target} cannot be built on a machine of architecture {machine}; install qemu-user-static, use a unit of that \
         architecture, or set build-mode=external"
    )]
    Foreign {
        /// What was wanted.
        target: Target,
        /// What this machine is.
        machine: String,
    },
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Classified for WorkspaceError {
    fn cause(&self) -> Cause {
        Cause::Unit
    }
}

impl WorkspaceError {
    /// Whether time alone will not mend it.
    pub fn operator_must_act(&self) -> bool {
        !matches!(self, Self::Busy { .. } | Self::File(_))
    }
}

/// The place of local builds, ours alone as long as this lives.
#[derive(Debug)]
pub struct Workspace {
    folder: PathBuf,
    /// The base images.
    pub cache: BaseImageCache,
    /// The prepared disks.
    pub prepared: PreparedDisks,
    _lock: Exclusive,
}

impl Workspace {
    /// Opens it: what this machine lacks is said, and what a build that was killed has left is removed.
    pub fn open(host: &Host) -> Result<Self, WorkspaceError> {
        if !rustix::process::geteuid().is_root() {
            return Err(WorkspaceError::NotRoot);
        }
        for (program, package) in TOOLS {
            if !is_in_path(program) {
                return Err(WorkspaceError::NoProgram { program, package });
            }
        }
        OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/loop-control")
            .map_err(WorkspaceError::NoLoopDevices)?;
        let folder = folder(host);
        host.private_dir(&folder)?;
        let lock = Exclusive::try_acquire(&folder.join("lock"))?;
        let lock = lock.ok_or_else(|| WorkspaceError::Busy { folder: folder.clone() })?;
        // Nothing is mounted below it: mounts go with the build that made them, however it ends.
        host.remove_dir(&builds(&folder))?;
        let cache = BaseImageCache::open(host, folder.join("base-images"))?;
        let prepared = PreparedDisks::open(host, folder.join("prepared"))?;
        Ok(Self { folder, cache, prepared, _lock: lock })
    }

    /// Gives its disk space back, where nothing is to be built on this machine any more.
    pub fn close(host: &Host) {
        if let Err(error) = host.remove_unlocked_dir(&folder(host)) {
            log::warn!("base images of local builds could not be removed: {error}");
        }
    }

    /// Whether an image of `target` can be built here now.
    pub fn is_ready_for(&self, host: &Host, target: Target) -> Result<(), WorkspaceError> {
        check_architecture(target)?;
        if self.free().is_some_and(|free| free < ROOM) {
            // They are worth less than a build.
            self.prepared.clear(host);
        }
        match self.free() {
            Some(free) if free < ROOM => Err(WorkspaceError::NoRoom { folder: self.folder.clone(), free }),
            _ => Ok(()),
        }
    }

    /// Whether there is room for a prepared disk beside a build.
    pub fn has_room_to_prepare(&self) -> bool {
        self.free().is_none_or(|free| free >= ROOM + ROOM_TO_PREPARE)
    }

    /// What is free, in bytes. What cannot be known is found out by trying.
    fn free(&self) -> Option<u64> {
        let disk = rustix::fs::statvfs(&self.folder).ok()?;
        Some(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// A new folder for one build.
    pub fn folder(&self, host: &Host, name: &str) -> Result<PathBuf, WorkspaceError> {
        let folder = builds(&self.folder).join(name);
        host.private_dir(&folder)?;
        Ok(folder)
    }
}

fn folder(host: &Host) -> PathBuf {
    host.state_dir().join("local")
}

fn builds(folder: &Path) -> PathBuf {
    folder.join("builds")
}

/// Whether programs of images for `target` run on this machine: its own, or others through an emulator that the kernel
/// keeps open (flag F), so that it need not be in the chroot.
fn check_architecture(target: Target) -> Result<(), WorkspaceError> {
    let machine = rustix::system::uname().machine().to_string_lossy().into_owned();
    let wanted = target.arch.glance();
    let emulator = std::fs::read_to_string(format!("/proc/sys/fs/binfmt_misc/qemu-{wanted}"));
    let runs = emulator.is_ok_and(|text| {
        let flags = text.lines().find_map(|line| line.strip_prefix("flags:")).unwrap_or_default();
        text.starts_with("enabled") && flags.contains('F')
    });
    if machine == wanted || runs { Ok(()) } else { Err(WorkspaceError::Foreign { target, machine }) }
}

fn is_in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
