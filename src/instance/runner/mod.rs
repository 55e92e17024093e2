//! The GitHub Actions runner image: a recipe as steps, the same in a builder VM and in an image that is not booted.
//!
//! Each step may be run again: what is done already stays as it is. What an image must have whatever the recipe says is
//! here too: the runner, its user under the two names that consumers know, and nothing of the build.

mod downloads;
mod fetching;
mod finish;
mod image_info;
mod packages;
mod proxies;
mod snaps;
mod system;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use super::base::{Base, CommandEnvironment, Step, StepFn};
use super::error::ProviderError;
use super::executor::{Command, Executor, ExecutorError, Output};
use super::os_release::ensure_ubuntu;
use super::recipe::Recipe;
use crate::model::{Deadline, Secret, Target};
use fetching::fetch;
pub use image_info::{ImageInfo, LIMITS};

/// Raised whenever a change to the steps makes another image of the same recipe: part of every image's fingerprint.
pub const STEPS_VERSION: u32 = 5;

/// The user that Ubuntu's cloud images have, and that runs the runner.
pub const RUNNER_USER: &str = "ubuntu";

/// Where the runner application is.
pub const RUNNER_HOME: &str = "/home/ubuntu/actions-runner";

/// The step of the recipe's commands.
pub(super) const RUNNING_COMMANDS: &str = "running commands";
/// The step of the operator's script.
pub(super) const RUNNING_SCRIPT: &str = "running the external script";

/// A step that answers at once.
const SIMPLE: Duration = Duration::from_secs(120);
/// A step that works for a while.
const COMPLEX: Duration = Duration::from_secs(600);
/// A step that fetches from elsewhere.
const UNPREDICTABLE: Duration = Duration::from_secs(3600);

/// The runner application, by address and digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunnerTarball {
    /// Its version, without `v`.
    pub version: String,
    /// Where the instance fetches it.
    pub url: String,
    /// The SHA-256 that its publisher gives, in hexadecimal.
    pub sha256: String,
}

/// A tool of the recipe, by address and digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolDownload {
    /// Where it lies in the image.
    pub path: String,
    /// Its version, by the recipe.
    pub version: String,
    /// Where the instance fetches it.
    pub url: String,
    /// The SHA-256 that it must have, in hexadecimal.
    pub sha256: String,
}

/// The operator's own script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalScript {
    /// What it says.
    pub content: Vec<u8>,
    /// The SHA-256 of that, in hexadecimal.
    pub sha256: String,
}

/// Which part of an image's set-up is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it, on a base image.
    Whole,
    /// Packages and snaps alone, on a base image: it becomes a prepared one.
    Preparation,
    /// What a prepared image lacks. Its packages are brought to the versions that they would have on a base image now.
    OnPrepared,
}

/// The base of runner images.
#[derive(Clone, Debug)]
pub struct RunnerBase {
    /// Which part of the set-up is done.
    pub part: Part,
    /// The release and architecture.
    pub target: Target,
    /// What goes into the image, for this target.
    pub recipe: Recipe,
    /// The recipe's tools, as they were found.
    pub tools: Vec<ToolDownload>,
    /// The runner application.
    pub runner: RunnerTarball,
    /// The external script, if any.
    pub script: Option<ExternalScript>,
    /// The script's variables.
    pub script_variables: BTreeMap<String, Secret<String>>,
    /// Further variables for every command, for the time of the build: proxies.
    pub environment: CommandEnvironment,
    /// An Ubuntu archive mirror for the time of the build.
    pub apt_mirror: Option<String>,
    /// What the image says of itself.
    pub image: ImageInfo,
}

type Done = Result<(), ExecutorError>;

impl RunnerBase {
    fn command(&self, argv: &[&str]) -> Command {
        Command::new(argv.iter().copied()).environment(self.get_command_environment())
    }

    fn shell(&self, script: &str) -> Command {
        Command::shell(script).environment(self.get_command_environment())
    }

    /// Runs a piece of bash that fetches something and may be repeated.
    fn fetch_with(
        &self,
        executor: &dyn Executor,
        script: &str,
        arguments: &[&str],
        deadline: Deadline,
    ) -> Result<Output, ExecutorError> {
        fetch(deadline, |_| executor.run(self.shell_with(script, arguments).limit(UNPREDICTABLE), deadline))
    }

    /// The work of a step.
    fn work<E: Into<ProviderError> + 'static>(
        &self,
        work: fn(&Self, &dyn Executor, Deadline) -> Result<(), E>,
    ) -> StepFn<'_> {
        Box::new(move |executor, deadline| work(self, executor, deadline).map_err(Into::into))
    }

    /// A piece of bash that takes what varies as its arguments, `$1` and so on.
    fn shell_with(&self, script: &str, arguments: &[&str]) -> Command {
        self.command(&[&["bash", "-euo", "pipefail", "-c", script, "bash"], arguments].concat())
    }
}

impl Base for RunnerBase {
    fn get_command_environment(&self) -> CommandEnvironment {
        let mut environment = self.default_command_environment();
        let mut set = |name: &str, value: Secret<String>| environment.insert(name.into(), Some(value));
        set("DEBIAN_FRONTEND", Secret::new("noninteractive".into()));
        set("LC_ALL", Secret::new("C.UTF-8".into()));
        // Only in the environment of our own commands, so that no file of the image remembers it.
        environment.extend(self.environment.clone());
        environment
    }

    fn ensure_os_compatible(&self, executor: &dyn Executor, deadline: Deadline) -> Result<(), ProviderError> {
        ensure_ubuntu(executor, Some(self.target.base.version()), deadline)
    }

    fn wait_until_ready(&self, executor: &dyn Executor, deadline: Deadline) -> Result<(), ProviderError> {
        Ok(self.wait_for_cloud_init(executor, deadline)?)
    }

    fn steps(&self) -> Vec<Step<'_>> {
        let recipe = &self.recipe;
        let always = true;
        // Packages come from elsewhere and take long; all else follows them.
        let (prepares, completes) = (self.part != Part::OnPrepared, self.part != Part::Preparation);
        // What there is nothing to do for is no step, so that the progress counts what is done.
        let steps: [(&'static str, Duration, bool, StepFn<'_>); 17] = [
            ("waiting for cloud-init", COMPLEX, always, self.work(Self::wait_for_cloud_init)),
            // First of all what would work beside us.
            (
                "masking units",
                SIMPLE,
                prepares && !recipe.masked_units.is_empty(),
                self.work(Self::mask_units),
            ),
            ("choosing package sources", UNPREDICTABLE, always, self.work(Self::choose_sources)),
            ("upgrading packages", UNPREDICTABLE, always, self.work(Self::upgrade)),
            (
                "installing packages",
                UNPREDICTABLE,
                prepares && !recipe.packages.is_empty(),
                self.work(Self::install_packages),
            ),
            (
                "installing snaps",
                UNPREDICTABLE,
                prepares && !recipe.snaps.is_empty(),
                self.work(Self::install_snaps),
            ),
            (
                "installing npm packages",
                UNPREDICTABLE,
                prepares && !recipe.npm.is_empty(),
                self.work(Self::install_npm_packages),
            ),
            (
                "installing tools",
                UNPREDICTABLE,
                completes && !self.tools.is_empty(),
                self.work(Self::install_tools),
            ),
            ("creating users", SIMPLE, completes, self.work(Self::create_users)),
            (
                "configuring the system",
                SIMPLE,
                completes && recipe.writes_files(),
                self.work(Self::write_files),
            ),
            ("installing the runner", UNPREDICTABLE, completes, self.work(Self::install_runner)),
            // Before the operator's own commands, which may say otherwise.
            ("naming the image", SIMPLE, completes, self.work(Self::name_the_image)),
            (
                RUNNING_COMMANDS,
                UNPREDICTABLE,
                completes && !recipe.commands.is_empty(),
                self.work(Self::run_commands),
            ),
            (RUNNING_SCRIPT, UNPREDICTABLE, completes && self.script.is_some(), self.work(Self::run_script)),
            // Once more: packages of commands and the script itself may have added one of the two names to groups.
            ("giving both users the same groups", SIMPLE, completes, self.work(Self::share_groups)),
            ("restoring package sources", SIMPLE, self.apt_mirror.is_some(), self.work(Self::leave_mirror)),
            ("cleaning up", COMPLEX, always, self.work(Self::clean)),
        ];
        let wanted = steps.into_iter().filter(|(_, _, wanted, _)| *wanted);
        wanted.map(|(name, limit, _, run)| Step { name, limit, run }).collect()
    }
}
