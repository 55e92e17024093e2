//! Where images are built: in builder VMs of the build cloud, or on this machine.

use std::time::Duration;

use super::base_image;
use super::config::{BuildMode, BuilderRunConfig};
use super::external::ExternalBuild;
use super::journal::{Failure, Phase};
use super::local::{LocalBuild, LocalImage, Workshop};
use super::plan::Ingredients;
use super::run::RunContext;
use super::site::{Site, remove_security_group};
use super::source::Source;
use super::verify::Verification;
use super::vm::Launcher;
use crate::deadline::Deadline;
use crate::host::Host;
use crate::http::HttpClient;
use crate::openstack_cloud::{Cloud, Image};

/// How long tidying up in a cloud may take.
const TIDY: Duration = Duration::from_secs(900);

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
        let Ingredients { base, offer, .. } = ingredients;
        let progress = |phase| context.progress.phase(base.target, phase);
        progress(Phase::Preparing);
        match self {
            Self::Vms(cloud, site) => {
                let (owner, job) = (&config.owner, context.job);
                let base_image = base_image::ensure(cloud, http, owner, job, base.target, offer, deadline)
                    .map_err(|error| Failure::of(&error, error.operator_must_act()))?;
                let launcher = Launcher { host: context.host, cloud, owner, job, site, settings: &config.vm };
                let build = ExternalBuild { launcher: &launcher, base, progress: &progress };
                let (image, origin) = build
                    .run(&base_image, deadline)
                    .map_err(|error| Failure::of(&error, error.operator_must_act()))?;
                let built = Built::Snapshot(cloud, Box::new(image.clone()));
                if config.verify_image {
                    progress(Phase::Verifying);
                    let runner_version = &base.runner.version;
                    let target = base.target;
                    let proof = Verification { launcher: &launcher, target, runner_version, origin: &origin };
                    if let Err(error) = proof.run(&image, deadline) {
                        if !error.keeps_the_image() {
                            built.remove();
                        }
                        return Err(Failure::of(&error, error.operator_must_act()));
                    }
                }
                Ok(built)
            }
            Self::Here(workshop) => {
                let build =
                    LocalBuild { host: context.host, workshop, http, offer, base, progress: &progress };
                build
                    .run(deadline)
                    .map(Built::File)
                    .map_err(|error| Failure::of(&error, error.operator_must_act()))
            }
        }
    }

    /// Takes away what no build needs any more; what stays is found by the next job.
    pub fn tidy_up(self, config: &BuilderRunConfig) {
        if let Self::Vms(cloud, _) = self
            && let Err(error) = remove_security_group(cloud, &config.owner, Deadline::after(TIDY))
        {
            log::warn!("the security group stays for the next job: {error}");
        }
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

    /// Removes it, after it was delivered; what stays is found by the next job.
    pub fn remove(self) {
        if let Self::Snapshot(cloud, image) = &self
            && let Err(error) = cloud.images().delete(&image.id, Deadline::after(TIDY))
        {
            log::warn!("snapshot {} stays for the next sweep: {error}", image.id);
        }
    }
}
