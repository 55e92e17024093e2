//! One image, from the offered base image to a packed file.

use std::path::{Path, PathBuf};

use super::prepared::Preparation;
use super::workspace::{Workspace, WorkspaceError};
use crate::builder::image::base_image::{BaseImageError, UpstreamImage};
use crate::builder::image::manifest::WithManifest;
use crate::builder::image::verify::{self, Expected, VerificationError};
use crate::disk_image::{DiskError, DiskImage};
use crate::host::{FileError, Host, Namespaces, ProcessError};
use crate::http::HttpClient;
use crate::instance::{
    Base, BaseError, CacheMount, ChrootExecutor, ExecutorError, Part, RunnerBase, Timeout, setup,
};
use crate::model::{Cause, Classified, Deadline, DiskFormat};
use crate::record::{BuiltOn, Manifest, Phase};

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

    /// Whether what failed is the operator's own: the recipe's commands, or the script.
    fn is_of_the_operator(&self) -> bool {
        matches!(self, Self::Base(error) if error.is_of_the_operator())
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

/// The folder of a build, or of a part of one; dropped, it goes.
#[derive(Debug)]
struct BuildFolder(PathBuf);

impl Drop for BuildFolder {
    fn drop(&mut self) {
        if let Err(error) = fs_extra::dir::remove(&self.0) {
            log::warn!("{} could not be removed; the next build retries: {error}", self.0.display());
        }
    }
}

/// A built image, as a file of this machine; dropped, the file goes.
#[derive(Debug)]
pub struct LocalImage {
    folder: BuildFolder,
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
        self.folder.0.join(match self.format {
            DiskFormat::Qcow2 => "image.qcow2",
            DiskFormat::Raw => DISK_FILE,
        })
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
    /// The prepared disk that it may begin on, and otherwise makes.
    pub prepared: Option<Preparation<'a>>,
    /// Whether it is looked at before it is packed.
    pub verify: bool,
    /// Told of each phase.
    pub progress: &'a dyn Fn(Phase),
    /// Told what it begins on.
    pub built_on: &'a dyn Fn(BuiltOn),
}

impl LocalBuild<'_> {
    /// Builds the image. Nothing of a build that fails stays; of one that is killed only its folder, which the next one
    /// removes.
    pub fn run(&self, deadline: Deadline) -> Result<LocalImage, LocalBuildError> {
        let (host, target) = (self.host, self.base.target);
        self.workspace.is_ready_for(host, target)?;
        (self.progress)(Phase::Preparing);
        let disks = &self.workspace.prepared;
        if let Some(disk) = self.prepared.and_then(|wanted| disks.find(host, target, wanted)) {
            (self.built_on)(BuiltOn::PreparedImage);
            // What it may leave mounted goes with its namespaces.
            let on_prepared = Namespaces::open()
                .map_err(LocalBuildError::from)
                .and_then(|namespaces| self.build(&namespaces, &disk, Part::OnPrepared, 0, deadline));
            match on_prepared {
                Err(error) if !error.is_of_the_operator() => {
                    let disk = disk.display();
                    log::warn!("{target}: building on {disk}: {error}; beginning anew on the base image");
                }
                built => return built,
            }
            disks.remove(host, &disk);
            (self.progress)(Phase::Preparing);
        }
        (self.built_on)(BuiltOn::BaseImage);
        let namespaces = Namespaces::open()?;
        let original = self.workspace.cache.raw(
            host,
            namespaces.program("qemu-img"),
            self.http,
            self.offer,
            deadline,
        )?;
        match self.prepared.filter(|_| self.workspace.has_room_to_prepare()) {
            Some(wanted) => self.build_and_prepare(&namespaces, &original, wanted, deadline),
            None => self.build(&namespaces, &original, Part::Whole, 0, deadline),
        }
    }

    /// Builds in two parts, and keeps what is there between them.
    fn build_and_prepare(
        &self,
        namespaces: &Namespaces,
        original: &Path,
        wanted: Preparation<'_>,
        deadline: Deadline,
    ) -> Result<LocalImage, LocalBuildError> {
        let (host, target) = (self.host, self.base.target);
        let folder = BuildFolder(self.workspace.folder(host, &format!("{target}-prepared"))?);
        let disk = DiskImage::copy(namespaces, original, folder.0.join(DISK_FILE), deadline)?;
        disk.grow(DISK, deadline)?;
        let base = RunnerBase { part: Part::Preparation, ..self.base.clone() };
        let steps = base.steps().len();
        self.set_up(&base, namespaces, (&disk, &folder.0.join("root")), 0, |_| Ok(()), deadline)?;
        let disk = folder.0.join(DISK_FILE);
        let built = self.build(namespaces, &disk, Part::OnPrepared, steps, deadline);
        if built.as_ref().err().is_none_or(LocalBuildError::is_of_the_operator)
            && let Err(error) = self.workspace.prepared.keep(host, &disk, target, wanted)
        {
            log::warn!("{target}: no prepared disk is kept: {error}");
        }
        built
    }

    /// Builds a `part` of the image on a copy of the disk `original`, after so many steps before.
    fn build(
        &self,
        namespaces: &Namespaces,
        original: &Path,
        part: Part,
        before: usize,
        deadline: Deadline,
    ) -> Result<LocalImage, LocalBuildError> {
        let folder = BuildFolder(self.workspace.folder(self.host, &self.base.target.to_string())?);
        let mut image = LocalImage { folder, format: self.format, min_disk: DISK >> 30, manifest: None };
        let disk = DiskImage::copy(namespaces, original, image.folder.0.join(DISK_FILE), deadline)?;
        disk.grow(DISK, deadline)?;
        let base = RunnerBase { part, ..self.base.clone() };
        let base = WithManifest::new(&base, self.offer, self.fingerprint);
        let verified = |chroot: &ChrootExecutor<'_>| {
            if self.verify {
                (self.progress)(Phase::Verifying);
                verify::check(chroot, &Expected::of(self.base), deadline)?;
            }
            Ok(())
        };
        self.set_up(&base, namespaces, (&disk, &image.folder.0.join("root")), before, verified, deadline)?;
        image.manifest = base.made();
        if image.format == DiskFormat::Qcow2 {
            (self.progress)(Phase::Packing);
            disk.pack(&image.path(), deadline)?;
            self.host.remove_file(&image.folder.0.join(DISK_FILE))?;
        }
        Ok(image)
    }

    fn set_up(
        &self,
        base: &dyn Base,
        namespaces: &Namespaces,
        (disk, root): (&DiskImage<'_>, &Path),
        before: usize,
        then: impl FnOnce(&ChrootExecutor<'_>) -> Result<(), LocalBuildError>,
        deadline: Deadline,
    ) -> Result<(), LocalBuildError> {
        self.host.private_dir(root)?;
        disk.mount(root, deadline)?;
        let name = format!("the disk image of {}", self.base.target);
        let chroot = ChrootExecutor::enter(namespaces, root, name, deadline)?;
        let progress = |step: &'static str, number, of| {
            let (number, of) = (before + number, before + of);
            (self.progress)(Phase::Installing { step: step.to_owned(), number, of });
        };
        setup(base, &chroot, Timeout::Until(deadline), CacheMount::Leave, &progress)?;
        then(&chroot)?;
        chroot.leave(deadline)?;
        Ok(disk.unmount(root, deadline)?)
    }
}
