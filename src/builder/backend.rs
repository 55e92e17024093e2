//! Where images are built: in builder VMs of the build cloud, or on this machine.

use super::plan::BuildInputs;
use super::run_context::RunContext;
use crate::builder::image::base_image::{BaseImageError, BaseImages};
use crate::builder::image::external::{Begin, ExternalBuild, ExternalBuildError};
use crate::builder::image::format::{Converter, wanted_format};
use crate::builder::image::local::{LocalBuild, LocalBuildError, LocalImage, Preparation, Workspace};
use crate::builder::image::prepared::prepared_image_name;
use crate::builder::image::site::Site;
use crate::builder::image::verify::{Expected, Verification, VerificationError};
use crate::builder::image::vm::Launcher;
use crate::host::Host;
use crate::http::HttpClient;
use crate::instance::{Part, RunnerBase};
use crate::model::{Deadline, DiskFormat, Target};
use crate::openstack_cloud::{Cloud, Image};
use crate::record::{
    BootTimes, BuildMode, BuilderRunConfig, BuiltOn, Failure, ImageFormat, Phase, PreparedImages,
    ResourceTracker, Revision,
};

/// A backend that is ready for builds.
pub enum Backend {
    /// Builder VMs of the build cloud.
    OpenStack {
        /// Where they are put.
        site: Box<Site>,
        /// The format of base images, if it matters.
        format: Option<DiskFormat>,
        /// Makes raw ones, where these are wanted.
        converter: Option<Converter>,
    },
    /// This machine.
    Local {
        /// Where images are built.
        workspace: Workspace,
        /// Their format.
        format: DiskFormat,
        /// Where VMs are put that verify them; none where the chroot is enough.
        site: Option<Site>,
    },
}

/// What a build has made, and where it is until it is kept.
pub enum Built {
    /// A snapshot in the build cloud.
    Snapshot(Box<Image>),
    /// A file of this machine.
    File(Box<LocalImage>),
}

/// A backend has made no image.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// There is no base image to build on.
    #[error(transparent)]
    BaseImage(#[from] BaseImageError),
    /// The build in a builder VM came to nothing.
    #[error(transparent)]
    External(#[from] ExternalBuildError),
    /// The build on this machine came to nothing.
    #[error(transparent)]
    Local(#[from] LocalBuildError),
}

impl BackendError {
    /// Whether what failed is the operator's own, wherever it is built: the recipe's commands, or the script.
    pub fn is_of_the_operator(&self) -> bool {
        matches!(self, Self::External(error) if error.is_of_the_operator())
    }

    /// Whether a preparation gave way to something else.
    pub fn gave_way(&self) -> bool {
        matches!(self, Self::External(ExternalBuildError::GaveWay))
    }
}

impl From<BackendError> for Failure {
    fn from(error: BackendError) -> Self {
        match error {
            BackendError::BaseImage(error) => Self::of(&error, error.operator_must_act()),
            BackendError::External(error) => Self::of(&error, error.operator_must_act()),
            BackendError::Local(error) => Self::of(&error, error.operator_must_act()),
        }
    }
}

impl Backend {
    /// Chooses the backend that `config` asks for, and makes it ready.
    pub fn choose(
        host: &Host,
        cloud: &Cloud,
        config: &BuilderRunConfig,
        builds: &[Revision],
        deadline: Deadline,
    ) -> Result<Self, Failure> {
        let format = wanted_format(config.image_format, builds);
        let site = || {
            let site = Site::choose(cloud, &config.owner, &config.vm, deadline);
            site.map_err(|error| Failure::of(&error, error.operator_must_act()))
        };
        match config.build_mode {
            BuildMode::External => {
                Workspace::close(host);
                let site = Box::new(site()?);
                if format != Some(DiskFormat::Raw) {
                    Converter::close(host);
                    return Ok(Self::OpenStack { site, format, converter: None });
                }
                match Converter::open(host) {
                    Ok(converter) => Ok(Self::OpenStack { site, format, converter: Some(converter) }),
                    Err(error) if config.image_format == ImageFormat::Auto => {
                        log::warn!("{error}; base images stay qcow2");
                        Ok(Self::OpenStack { site, format: None, converter: None })
                    }
                    Err(error) => Err(Failure::of(&error, false)),
                }
            }
            BuildMode::Local => {
                Converter::close(host);
                let workspace =
                    Workspace::open(host).map_err(|error| Failure::of(&error, error.operator_must_act()))?;
                if config.prepared_images == PreparedImages::Off {
                    workspace.prepared.clear(host);
                }
                let site = config.launches_vms().then(site).transpose()?;
                Ok(Self::Local { workspace, format: format.unwrap_or(DiskFormat::Qcow2), site })
            }
        }
    }

    /// Where its VMs are put, if it launches any.
    pub fn site(&self) -> Option<&Site> {
        match self {
            Self::OpenStack { site, .. } => Some(site),
            Self::Local { site, .. } => site.as_ref(),
        }
    }

    /// Builds one image: in a builder VM on `prepared`, where there is such an image, and on the base image otherwise.
    pub fn build(
        &self,
        context: &RunContext<'_>,
        config: &BuilderRunConfig,
        (cloud, prepared): (&Cloud, Option<&Image>),
        http: &HttpClient,
        inputs: &BuildInputs,
        deadline: Deadline,
    ) -> Result<Built, BackendError> {
        let BuildInputs { base, offer, fingerprint } = inputs;
        let progress = |phase| context.progress.phase(base.target, phase);
        progress(Phase::Preparing);
        match self {
            Self::OpenStack { site, .. } => {
                let launcher = launcher(context, config, cloud, site, base.target);
                let build = |base: &RunnerBase, begin: Begin<'_>| {
                    let progress = &progress;
                    let build = ExternalBuild { launcher: &launcher, base, offer, fingerprint, progress };
                    build.run(begin, deadline)
                };
                let image = match prepared {
                    Some(image) => {
                        context.progress.built_on(base.target, BuiltOn::PreparedImage);
                        let base = RunnerBase { part: Part::OnPrepared, ..base.clone() };
                        build(&base, Begin::Prepared(image))?
                    }
                    None => {
                        context.progress.built_on(base.target, BuiltOn::BaseImage);
                        let id = self
                            .base_images(context, config, (cloud, http), base.target)
                            .ensure(offer, deadline)?;
                        build(base, Begin::BaseImage(&id))?
                    }
                };
                Ok(Built::Snapshot(Box::new(image)))
            }
            Self::Local { workspace, format, .. } => {
                let (host, verify) = (context.host, config.verify_image);
                let (key, age) = (&inputs.preparation_key(), config.prepared_image_age());
                let prepared = match config.prepared_images {
                    PreparedImages::Kept => Some(Preparation { key, age }),
                    PreparedImages::Off => None,
                };
                let build = LocalBuild {
                    host,
                    workspace,
                    http,
                    offer,
                    base,
                    fingerprint,
                    format: *format,
                    prepared,
                    verify,
                    progress: &progress,
                    built_on: &|built_on| context.progress.built_on(base.target, built_on),
                };
                Ok(Built::File(Box::new(build.run(deadline)?)))
            }
        }
    }

    /// Makes the prepared image with the key of `inputs`, unless somebody waits for something else. `None` where builds need
    /// none.
    pub fn prepare(
        &self,
        context: &RunContext<'_>,
        config: &BuilderRunConfig,
        (cloud, http): (&Cloud, &HttpClient),
        inputs: &BuildInputs,
        is_waited_for: &(dyn Fn() -> bool + Sync),
        deadline: Deadline,
    ) -> Result<Option<Image>, BackendError> {
        let Self::OpenStack { site, .. } = self else { return Ok(None) };
        let BuildInputs { base, offer, fingerprint } = inputs;
        let target = base.target;
        // Any format boots, and only a build is worth a conversion.
        let base_images = self.base_images(context, config, (cloud, http), target);
        let id = BaseImages { format: None, converter: None, ..base_images }.ensure(offer, deadline)?;
        let launcher = &launcher(context, config, cloud, site, target);
        let base = &RunnerBase { part: Part::Preparation, ..base.clone() };
        let (name, key) = (prepared_image_name(&config.owner.application, target), inputs.preparation_key());
        let build = ExternalBuild { launcher, base, offer, fingerprint, progress: &|_| () };
        Ok(Some(build.prepare(&id, (&name, &key), is_waited_for, deadline)?))
    }

    /// The build cloud's base images of `target`.
    fn base_images<'a>(
        &'a self,
        context: &RunContext<'a>,
        config: &'a BuilderRunConfig,
        (cloud, http): (&'a Cloud, &'a HttpClient),
        target: Target,
    ) -> BaseImages<'a> {
        let (owner, job, cloud_name) = (&config.owner, context.job, &config.build_cloud);
        let tracker = ResourceTracker { progress: context.progress, target };
        let (format, converter) = match self {
            Self::OpenStack { format, converter, .. } => (*format, converter.as_ref()),
            Self::Local { .. } => (None, None),
        };
        let is_required = config.image_format != ImageFormat::Auto;
        BaseImages { cloud, cloud_name, http, owner, job, tracker, format, is_required, converter }
    }

    /// Removes the disk of this machine that builds of `target` begin on: one of them has failed, and it may be to blame.
    pub fn remove_prepared_disk(&self, host: &Host, target: Target) {
        if let Self::Local { workspace, .. } = self {
            workspace.prepared.remove_of(host, target);
        }
    }

    /// Proves a snapshot with a VM of it, and tells how long that took to boot. What is built here was looked at before it
    /// was packed, and is not booted unless there is a place for VMs.
    pub fn verify(
        &self,
        context: &RunContext<'_>,
        config: &BuilderRunConfig,
        cloud: &Cloud,
        inputs: &BuildInputs,
        snapshot: &Image,
        deadline: Deadline,
    ) -> Result<BootTimes, VerificationError> {
        let Some(site) = self.site() else { return Ok(BootTimes::default()) };
        let launcher = launcher(context, config, cloud, site, inputs.base.target);
        let expected = Expected::of(&inputs.base);
        Verification { launcher: &launcher, expected }.run(snapshot, deadline)
    }
}

fn launcher<'a>(
    context: &RunContext<'a>,
    config: &'a BuilderRunConfig,
    cloud: &'a Cloud,
    site: &'a Site,
    target: Target,
) -> Launcher<'a> {
    Launcher {
        host: context.host,
        cloud,
        cloud_name: &config.build_cloud,
        owner: &config.owner,
        job: context.job,
        site,
        settings: &config.vm,
        tracker: ResourceTracker { progress: context.progress, target },
    }
}
