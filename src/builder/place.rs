//! Where images are built: in builder VMs of the build cloud, or on this machine.

use super::base_image::BaseImages;
use super::config::{BuildMode, BuilderRunConfig};
use super::external::ExternalBuild;
use super::journal::{Failure, Phase};
use super::ledger::Ledger;
use super::local::{LocalBuild, LocalImage, Workshop};
use super::plan::Ingredients;
use super::run_context::RunContext;
use super::site::Site;
use super::source::Source;
use super::verify::{Verification, VerificationError};
use super::vm::Launcher;
use crate::deadline::Deadline;
use crate::host::Host;
use crate::http::HttpClient;
use crate::instance::RunnerBase;
use crate::openstack_cloud::{Cloud, Image};
use crate::target::Target;

/// A place that is ready for builds.
pub enum Place<'a> {
    /// Builder VMs of this cloud.
    Vms(&'a Cloud, Site),
    /// This machine.
    Here(Workshop),
}

/// What a build has made, and where it is until it is delivered.
pub enum Built<'a> {
    /// A snapshot in this cloud.
    Snapshot(&'a Cloud, Box<Image>),
    /// A file of this machine.
    File(LocalImage),
}

impl<'a> Place<'a> {
    /// Chooses the place that `config` asks for, and makes it ready.
    pub fn choose(
        host: &Host,
        cloud: &'a Cloud,
        config: &BuilderRunConfig,
        deadline: Deadline,
    ) -> Result<Self, Failure> {
        match config.build_mode {
            BuildMode::External => {
                Workshop::close(host);
                Site::choose(cloud, &config.owner, &config.vm, deadline)
                    .map(|site| Self::Vms(cloud, site))
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
        http: &HttpClient,
        ingredients: &Ingredients,
        deadline: Deadline,
    ) -> Result<Built<'a>, Failure> {
        let Ingredients { base, offer, fingerprint } = ingredients;
        let progress = |phase| context.progress.phase(base.target, phase);
        progress(Phase::Preparing);
        match self {
            Self::Vms(cloud, site) => {
                let (owner, job) = (&config.owner, context.job);
                let ledger = Ledger { progress: context.progress, target: base.target };
                let cloud_name = &config.build_cloud;
                let base_image = BaseImages { cloud, cloud_name, http, owner, job, ledger }
                    .ensure(offer, deadline)
                    .map_err(|error| Failure::of(&error, error.operator_must_act()))?;
                let launcher = launcher(context, config, cloud, site, base.target);
                ExternalBuild { launcher: &launcher, base, fingerprint, progress: &progress }
                    .run(&base_image, deadline)
                    .map(|image| Built::Snapshot(cloud, Box::new(image)))
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
        ingredients: &Ingredients,
        snapshot: &Image,
        deadline: Deadline,
    ) -> Result<(), VerificationError> {
        let Self::Vms(cloud, site) = self else { return Ok(()) };
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

impl Built<'_> {
    /// The same to be delivered.
    pub fn source(&self) -> Source<'_> {
        match self {
            Self::Snapshot(cloud, image) => Source::Cloud(cloud, image),
            Self::File(image) => Source::File(image),
        }
    }
}
