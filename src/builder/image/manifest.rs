//! The manifest of an image, made at the end of its build: what the instance says is installed, beside what we have put into
//! it. It is written into the image before the last step, which cleans up, so that nothing of the asking stays.

use std::cell::OnceCell;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::builder::image::base_image::UpstreamImage;
use crate::instance::{
    Base, CommandEnvironment, Executor, InstanceRecord, ProviderError, RUNNER_HOME, RunnerBase, Step, StepFn,
    ToolDownload, take_inventory,
};
use crate::model::{Deadline, hex};
use crate::record::{BaseImageOrigin, Component, MANIFEST_PATH, Manifest};

/// How long the step may take.
const LIMIT: Duration = Duration::from_secs(600);

/// A runner image that is set up and then lists what is in it.
pub struct WithManifest<'a> {
    /// What goes into the image.
    base: &'a RunnerBase,
    /// What it is built on.
    offer: &'a UpstreamImage,
    /// Both as one digest.
    fingerprint: &'a str,
    made: OnceCell<Manifest>,
}

impl<'a> WithManifest<'a> {
    /// The image of `base` on `offer`, which are `fingerprint` together.
    pub fn new(base: &'a RunnerBase, offer: &'a UpstreamImage, fingerprint: &'a str) -> Self {
        Self { base, offer, fingerprint, made: OnceCell::new() }
    }

    /// The manifest, once the image is set up.
    pub fn made(self) -> Option<Manifest> {
        self.made.into_inner()
    }

    fn write(&self, executor: &dyn Executor, deadline: Deadline) -> Result<(), ProviderError> {
        let Self { base, offer, .. } = *self;
        let component = |path: &str, version: &str, sha256: &str| {
            let [path, version, sha256] = [path, version, sha256].map(str::to_owned);
            Component { path, version, sha256 }
        };
        let tool = |tool: &ToolDownload| component(&tool.path, &tool.version, &tool.sha256);
        // A recipe that was read always serialises.
        let recipe = serde_json::to_vec(&base.recipe).unwrap_or_default();
        let manifest = Manifest {
            format: Manifest::FORMAT,
            target: base.target,
            fingerprint: self.fingerprint.to_owned(),
            base_image: BaseImageOrigin { sha256: offer.sha256.clone(), signed: offer.signed },
            runner: component(RUNNER_HOME, &base.runner.version, &base.runner.sha256),
            tools: base.tools.iter().map(tool).collect(),
            recipe_sha256: hex(&Sha256::digest(recipe)),
            script_sha256: base.script.as_ref().map(|script| script.sha256.clone()),
            inventory: take_inventory(executor, deadline)?,
        };
        executor.push_file(MANIFEST_PATH, 0o644, manifest.text().into_bytes(), deadline)?;
        // Once: a step is run once.
        let _ = self.made.set(manifest);
        Ok(())
    }
}

impl Base for WithManifest<'_> {
    fn default_command_environment(&self) -> CommandEnvironment {
        self.base.default_command_environment()
    }

    fn get_command_environment(&self) -> CommandEnvironment {
        self.base.get_command_environment()
    }

    fn instance_record(&self) -> Option<InstanceRecord> {
        self.base.instance_record()
    }

    fn ensure_os_compatible(&self, executor: &dyn Executor, deadline: Deadline) -> Result<(), ProviderError> {
        self.base.ensure_os_compatible(executor, deadline)
    }

    fn mount_shared_cache(&self, executor: &dyn Executor, deadline: Deadline) -> Result<(), ProviderError> {
        self.base.mount_shared_cache(executor, deadline)
    }

    fn steps(&self) -> Vec<Step<'_>> {
        let mut steps = self.base.steps();
        let run: StepFn<'_> = Box::new(|executor, deadline| self.write(executor, deadline));
        let step = Step { name: "listing what is installed", limit: LIMIT, run };
        steps.insert(steps.len().saturating_sub(1), step);
        steps
    }

    fn wait_until_ready(&self, executor: &dyn Executor, deadline: Deadline) -> Result<(), ProviderError> {
        self.base.wait_until_ready(executor, deadline)
    }
}
