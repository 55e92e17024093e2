//! What is due: what an image of a target would be made of now, and which clouds have it already.

use std::time::Duration;

use super::base_image::{self, Offer};
use super::config::{BuildSecrets, BuilderRunConfig, CloudName};
use super::fingerprint::fingerprint;
use super::job::Rebuild;
use super::journal::{Failure, Timestamp};
use super::labels::FINGERPRINT;
use super::latest::published;
use crate::deadline::Deadline;
use crate::github::GithubClient;
use crate::host::Host;
use crate::http::HttpClient;
use crate::instance::{ExternalScript, RunnerBase, RunnerTarball};
use crate::openstack_cloud::{Cloud, Image as CloudImage};
use crate::target::Target;

/// What an image is made of.
pub struct Ingredients {
    /// What goes into it.
    pub base: RunnerBase,
    /// What it is built on.
    pub offer: Offer,
    /// Both as one digest.
    pub fingerprint: String,
}

/// A target of which we know what its image would be made of, and where there is one already.
pub struct Plan {
    /// What the image is made of.
    pub ingredients: Ingredients,
    /// The clouds that have it.
    pub present: Vec<(CloudName, CloudImage)>,
    /// The clouds that lack it.
    pub missing: Vec<CloudName>,
}

impl Plan {
    /// What the image is for.
    pub fn target(&self) -> Target {
        self.ingredients.base.target
    }

    /// Whether no cloud has what some want.
    pub fn needs_build(&self) -> bool {
        self.present.is_empty() && !self.missing.is_empty()
    }
}

/// Finds out what is due.
pub struct Planner<'a> {
    /// The machine that we run on.
    pub host: &'a Host,
    /// The door to the web.
    pub http: &'a HttpClient,
    /// What is wanted.
    pub config: &'a BuilderRunConfig,
    /// The secrets of the run.
    pub secrets: &'a BuildSecrets,
    /// The external script, fetched.
    pub script: Option<&'a ExternalScript>,
}

impl Planner<'_> {
    /// What an image of `target` would be made of now.
    pub fn ingredients(&self, target: Target, deadline: Deadline) -> Result<Ingredients, Failure> {
        let offer = base_image::look_up(self.host, self.http, &self.config.base_image, target, deadline)
            .map_err(|error| Failure::of(&error, error.operator_must_act()))?;
        let source = &self.config.runner;
        let application = GithubClient::anonymous(self.http, &source.api_url)
            .runner_release(target.arch, source.version.as_deref(), deadline)
            .map_err(|error| Failure::of(&error, error.operator_must_act()))?;
        let runner = RunnerTarball {
            version: application.version,
            url: format!("{}/{}", source.source, application.path),
            sha256: application.sha256,
        };
        let base = RunnerBase {
            target,
            runner,
            script: self.script.cloned(),
            script_variables: self.secrets.script.clone(),
            environment: self.secrets.proxies.environment(),
            apt_mirror: self.config.vm.apt_mirror.clone(),
        };
        let fingerprint = fingerprint(&base, &offer.sha256, self.config.script_secret.as_deref());
        Ok(Ingredients { base, offer, fingerprint })
    }

    /// The plan for `target` in `clouds`. Where everything is built anew, no cloud counts as having it.
    pub fn plan<'c>(
        &self,
        target: Target,
        clouds: impl Iterator<Item = (&'c CloudName, &'c Cloud)>,
        rebuild: Rebuild,
        deadline: Deadline,
    ) -> Result<Plan, Failure> {
        let ingredients = self.ingredients(target, deadline)?;
        let (mut present, mut missing) = (Vec::new(), Vec::new());
        for (name, cloud) in clouds {
            let images = match rebuild {
                Rebuild::Always => Vec::new(),
                Rebuild::Due => published(cloud, &self.config.owner, target, deadline)
                    .map_err(|error| Failure::of(&error, error.operator_must_act()))?,
            };
            let found = images.into_iter().find(|image| self.is_fresh(image, &ingredients.fingerprint));
            match found {
                Some(image) => present.push((name.clone(), image)),
                None => missing.push(name.clone()),
            }
        }
        Ok(Plan { ingredients, present, missing })
    }

    fn is_fresh(&self, image: &CloudImage, fingerprint: &str) -> bool {
        let limit = Duration::from_secs(u64::from(self.config.max_image_age_hours) * 3600);
        image.properties.get(FINGERPRINT).is_some_and(|made_of| made_of == fingerprint)
            && built(image).age() <= limit
    }
}

/// When a published image was built.
pub fn built(image: &CloudImage) -> Timestamp {
    Timestamp::of_rfc3339(&image.created_at).unwrap_or(Timestamp(0))
}
