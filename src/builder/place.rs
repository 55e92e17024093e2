//! Where images are built: in builder VMs of the build cloud, or on this machine.

use super::plan::Ingredients;
use super::run_context::RunContext;
use crate::builder::image::base_image::BaseImages;
use crate::builder::image::external::ExternalBuild;
use crate::builder::image::local::{LocalBuild, LocalImage, Workshop};
use crate::builder::image::site::Site;
use crate::builder::image::verify::{Verification, VerificationError};
use crate::builder::image::vm::Launcher;
use crate::host::Host;
use crate::http::HttpClient;
use crate::instance::RunnerBase;
use crate::model::{Deadline, Target};
use crate::openstack_cloud::{Cloud, Image};
use crate::record::{BuildMode, BuilderRunConfig, Failure, Ledger, Phase};

/// A place that is ready for builds.
pub enum Place {
    /// Builder VMs of the build cloud.
    Vms(Site),
    /// This machine.
    Here(Workshop),
}

/// What a build has made, and where it is until it is kept.
pub enum Built {
    /// A snapshot in the build cloud.
    Snapshot(Box<Image>),
    /// A file of this machine.
    File(LocalImage),
}

impl Place {
    /// Chooses the place that `config` asks for, and makes it ready.
    pub fn choose(
        host: &Host,
        cloud: &Cloud,
        config: &BuilderRunConfig,
        deadline: Deadline,
    ) -> Result<Self, Failure> {
        match config.build_mode {
            BuildMode::External => {
                Workshop::close(host);
                Site::choose(cloud, &config.owner, &config.vm, deadline)
                    .map(Self::Vms)
                    .map_err(|error| Failure::of(&error, error.operator_must_act()))
            }
            BuildMode::Local => Workshop::open(host)
                .map(Self::Here)
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
        ingredients: &Ingredients,
        deadline: Deadline,
    ) -> Result<Built, Failure> {
        let Ingredients { base, offer, fingerprint } = ingredients;
        let progress = |phase| context.progress.phase(base.target, phase);
        progress(Phase::Preparing);
        match self {
            Self::Vms(site) => {
                let (owner, job) = (&config.owner, context.job);
                let ledger = Ledger { progress: context.progress, target: base.target };
                let cloud_name = &config.build_cloud;
                let base_image = BaseImages { cloud, cloud_name, http, owner, job, ledger }
                    .ensure(offer, deadline)
                    .map_err(|error| Failure::of(&error, error.operator_must_act()))?;
                let launcher = launcher(context, config, cloud, site, base.target);
                ExternalBuild { launcher: &launcher, base, fingerprint, progress: &progress }
                    .run(&base_image, deadline)
                    .map(|image| Built::Snapshot(Box::new(image)))
                    .map_err(|error| Failure::of(&error, error.operator_must_act()))
            }
            Self::Here(workshop) => {
                let (host, verify) = (context.host, config.verify_image);
                let build = LocalBuild { host, workshop, http, offer, base, verify, progress: &progress };
                build
                    .run(deadline)
                    .map(Built::File)
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
        ingredients: &Ingredients,
        snapshot: &Image,
        deadline: Deadline,
    ) -> Result<(), VerificationError> {
        let Self::Vms(site) = self else { return Ok(()) };
        let RunnerBase { target, runner, .. } = &ingredients.base;
        let launcher = launcher(context, config, cloud, site, *target);
        Verification { launcher: &launcher, runner_version: &runner.version }.run(snapshot, deadline)
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
        ledger: Ledger { progress: context.progress, target },
    }
}
