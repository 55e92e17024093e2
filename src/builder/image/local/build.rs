//! One image, from the offered base image to a packed file.

use std::path::{Path, PathBuf};

use super::workspace::{Workspace, WorkspaceError};
use crate::builder::image::base_image::{BaseImageError, UpstreamImage};
use crate::builder::image::manifest::WithManifest;
use crate::builder::image::verify::{self, Expected, VerificationError};
use crate::disk_image::{DiskError, DiskImage};
use crate::host::{FileError, Host, Namespaces, ProcessError};
use crate::http::HttpClient;
use crate::instance::{BaseError, CacheMount, ChrootExecutor, ExecutorError, RunnerBase, Timeout, setup};
use crate::model::{Cause, Classified, Deadline, DiskFormat};
use crate::record::{Manifest, Phase};

/// The disk of a built image, as large as builder VMs have theirs at least.
const DISK: u64 = 20 << 30;
/// Its file.
const DISK_FILE: &str = "disk.raw";

/// A build on this machine came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum LocalBuildError {
    /// This machine cannot build it.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// The base image could not be had.
    #[error(transparent)]
    BaseImage(#[from] BaseImageError),
    /// The disk image could not be worked on.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The chroot could not be made ready.
    #[error(transparent)]
    Executor(#[from] ExecutorError),
    /// A step of the recipe failed.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// The image does not do what it should.
    #[error(transparent)]
    Verification(#[from] VerificationError),
    /// A program of this machine failed.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
}

impl LocalBuildError {
    /// Whether time alone will not mend it.
    pub fn operator_must_act(&self) -> bool {
        match self {
            Self::Workspace(error) => error.operator_must_act(),
            Self::BaseImage(error) => error.operator_must_act(),
            Self::Verification(error) => error.operator_must_act(),
            Self::Base(error) => error.operator_must_act(),
            Self::Disk(_) | Self::Executor(_) | Self::Process(_) | Self::File(_) => false,
        }
    }
}

impl Classified for LocalBuildError {
    fn cause(&self) -> Cause {
        match self {
            Self::BaseImage(error) => error.cause(),
            Self::Base(error) => error.cause(),
            Self::Verification(error) => error.cause(),
            _ => Cause::Unit,
        }
    }

    fn summary(&self) -> String {
        match self {
            Self::BaseImage(error) => error.summary(),
            Self::Base(error) => error.summary(),
            Self::Verification(error) => error.summary(),
            Self::Executor(error) => error.summary(),
            Self::Process(error) => error.summary(),
            Self::Workspace(_) | Self::Disk(_) | Self::File(_) => self.to_string(),
        }
    }
}

/// A built image, as a file of this machine; dropped, the file goes.
#[derive(Debug)]
pub struct LocalImage {
    folder: PathBuf,
    /// Its format.
    pub format: DiskFormat,
    /// The disk that it needs, in GiB.
    pub min_disk: u64,
    /// What is in it.
    pub manifest: Option<Manifest>,
}

impl LocalImage {
    /// The file.
    pub fn path(&self) -> PathBuf {
        self.folder.join(match self.format {
            DiskFormat::Qcow2 => "image.qcow2",
            DiskFormat::Raw => DISK_FILE,
        })
    }
}

impl Drop for LocalImage {
    fn drop(&mut self) {
        if let Err(error) = fs_extra::dir::remove(&self.folder) {
            log::warn!("{} could not be removed; the next build retries: {error}", self.folder.display());
        }
    }
}

/// One build.
pub struct LocalBuild<'a> {
    /// The machine that we run on.
    pub host: &'a Host,
    /// Where it is built.
    pub workspace: &'a Workspace,
    /// The door to the web.
    pub http: &'a HttpClient,
    /// What it is built on.
    pub offer: &'a UpstreamImage,
    /// What goes into it.
    pub base: &'a RunnerBase,
    /// Both as one digest.
    pub fingerprint: &'a str,
    /// The format of the image.
    pub format: DiskFormat,
    /// Whether it is looked at before it is packed.
    pub verify: bool,
    /// Told of each phase.
    pub progress: &'a dyn Fn(Phase),
}

impl LocalBuild<'_> {
    /// Builds the image. Nothing of a build that fails stays; of one that is killed only its folder, which the next one
    /// removes.
    pub fn run(&self, deadline: Deadline) -> Result<LocalImage, LocalBuildError> {
        self.workspace.is_ready_for(self.base.target)?;
        (self.progress)(Phase::Preparing);
        let namespaces = Namespaces::open()?;
        let qemu_img = namespaces.program("qemu-img");
        let original = self.workspace.cache.raw(self.host, qemu_img, self.http, self.offer, deadline)?;
        let folder = self.workspace.folder(self.host, &self.base.target.to_string())?;
        let mut image = LocalImage { folder, format: self.format, min_disk: DISK >> 30, manifest: None };
        let disk = DiskImage::copy(&namespaces, &original, image.folder.join(DISK_FILE), deadline)?;
        disk.grow(DISK, deadline)?;
        let base = WithManifest::new(self.base, self.offer, self.fingerprint);
        self.set_up(&base, &namespaces, &disk, &image.folder.join("root"), deadline)?;
        image.manifest = base.made();
        if image.format == DiskFormat::Qcow2 {
            (self.progress)(Phase::Packing);
            disk.pack(&image.path(), deadline)?;
            self.host.remove_file(&image.folder.join(DISK_FILE))?;
        }
        Ok(image)
    }

    fn set_up(
        &self,
        base: &WithManifest<'_>,
        namespaces: &Namespaces,
        disk: &DiskImage<'_>,
        root: &Path,
        deadline: Deadline,
    ) -> Result<(), LocalBuildError> {
        self.host.private_dir(root)?;
        disk.mount(root, deadline)?;
        let name = format!("the disk image of {}", self.base.target);
        let chroot = ChrootExecutor::enter(namespaces, root, name, deadline)?;
        let progress = |step: &'static str, number, of| {
            (self.progress)(Phase::Installing { step: step.to_owned(), number, of });
        };
        setup(base, &chroot, Timeout::Until(deadline), CacheMount::Leave, &progress)?;
        if self.verify {
            (self.progress)(Phase::Verifying);
            verify::check(&chroot, &Expected::of(self.base), deadline)?;
        }
        chroot.leave(deadline)?;
        Ok(disk.unmount(root, deadline)?)
    }
}
