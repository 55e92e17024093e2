//! Where images are built: in builder VMs of the build cloud, or on this machine.

use super::plan::BuildInputs;
use super::run_context::RunContext;
use crate::builder::image::base_image::BaseImages;
use crate::builder::image::external::ExternalBuild;
use crate::builder::image::format::{Converter, wanted_format};
use crate::builder::image::local::{LocalBuild, LocalImage, Workspace};
use crate::builder::image::site::Site;
use crate::builder::image::verify::{Expected, Verification, VerificationError};
use crate::builder::image::vm::Launcher;
use crate::host::Host;
use crate::http::HttpClient;
use crate::model::{Deadline, DiskFormat, Target};
use crate::openstack_cloud::{Cloud, Image};
use crate::record::{BuildMode, BuilderRunConfig, Failure, ImageFormat, Phase, ResourceTracker, Revision};

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
    },
}

/// What a build has made, and where it is until it is kept.
pub enum Built {
    /// A snapshot in the build cloud.
    Snapshot(Box<Image>),
    /// A file of this machine.
    File(Box<LocalImage>),
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
        match config.build_mode {
            BuildMode::External => {
                Workspace::close(host);
                let site = Site::choose(cloud, &config.owner, &config.vm, deadline)
                    .map_err(|error| Failure::of(&error, error.operator_must_act()))?;
                let site = Box::new(site);
                if format != Some(DiskFormat::Raw) {
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
            BuildMode::Local => Workspace::open(host)
                .map(|workspace| Self::Local { workspace, format: format.unwrap_or(DiskFormat::Qcow2) })
                .map_err(|error| Failure::of(&error, error.operator_must_act())),
        }
    }

    /// Builds one image.
    pub fn build(
        &self,
        context: &RunContext<'_>,
        config: &BuilderRunConfig,
        cloud: &Cloud,
        http: &HttpClient,
        inputs: &BuildInputs,
        deadline: Deadline,
    ) -> Result<Built, Failure> {
        let BuildInputs { base, offer, fingerprint } = inputs;
        let progress = |phase| context.progress.phase(base.target, phase);
        progress(Phase::Preparing);
        match self {
            Self::OpenStack { site, format, converter } => {
                let (owner, job) = (&config.owner, context.job);
                let tracker = ResourceTracker { progress: context.progress, target: base.target };
                let cloud_name = &config.build_cloud;
                let (format, converter) = (*format, converter.as_ref());
                let base_image =
                    BaseImages { cloud, cloud_name, http, owner, job, tracker, format, converter }
                        .ensure(offer, deadline)
                        .map_err(|error| Failure::of(&error, error.operator_must_act()))?;
                let launcher = launcher(context, config, cloud, site, base.target);
                ExternalBuild { launcher: &launcher, base, offer, fingerprint, progress: &progress }
                    .run(&base_image, deadline)
                    .map(|image| Built::Snapshot(Box::new(image)))
                    .map_err(|error| Failure::of(&error, error.operator_must_act()))
            }
            Self::Local { workspace, format } => {
                let (host, verify) = (context.host, config.verify_image);
                let build = LocalBuild {
                    host,
                    workspace,
                    http,
                    offer,
                    base,
                    fingerprint,
                    format: *format,
                    verify,
                    progress: &progress,
                };
                build
                    .run(deadline)
                    .map(|image| Built::File(Box::new(image)))
                    .map_err(|error| Failure::of(&error, error.operator_must_act()))
            }
        }
    }

    /// Proves a snapshot with a VM of it. What is built here was looked at before it was packed, and is not booted.
    pub fn verify(
        &self,
        context: &RunContext<'_>,
        config: &BuilderRunConfig,
        cloud: &Cloud,
        inputs: &BuildInputs,
        snapshot: &Image,
        deadline: Deadline,
    ) -> Result<(), VerificationError> {
        let Self::OpenStack { site, .. } = self else { return Ok(()) };
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
