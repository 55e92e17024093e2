//! What goes into an instance: a base is an ordered list of named steps (craft-providers: `Base`).

use std::collections::BTreeMap;
use std::time::Duration;

use super::executor::{Executor, ExecutorError};
use crate::deadline::Deadline;
use crate::secret::Secret;

/// Setting an instance up came to nothing.
#[derive(Debug, thiserror::Error)]
#[error("{step}: {source}")]
pub struct BaseError {
    /// What was being done, as a gerund.
    pub step: &'static str,
    /// Why it failed.
    pub source: ExecutorError,
}

/// The environment of a command; `None` removes a variable.
pub type CommandEnvironment = BTreeMap<String, Option<Secret<String>>>;

/// One step of a set-up.
pub struct Step<'a> {
    /// What it does, as a gerund with its object.
    pub name: &'static str,
    /// The longest time that it may take.
    pub limit: Duration,
    /// Does it.
    pub run: StepFn<'a>,
}

/// The work of a step.
pub type StepFn<'a> = Box<dyn Fn(&dyn Executor, Deadline) -> Result<(), ExecutorError> + 'a>;

/// Told of each step before it begins.
pub type SetupProgress<'a> = &'a dyn Fn(&'static str, usize, usize);

/// What an instance is to become (craft-providers: `Base`).
pub trait Base {
    /// The environment that the image's own `/etc/environment` gives every command
    /// (craft-providers: `default_command_environment`).
    fn default_command_environment(&self) -> CommandEnvironment {
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/snap/bin";
        CommandEnvironment::from([("PATH".into(), Some(Secret::new(path.into())))])
    }

    /// The environment in which the set-up runs its commands (craft-providers: `get_command_environment`).
    fn get_command_environment(&self) -> CommandEnvironment {
        self.default_command_environment()
    }

    /// The steps, in order.
    fn steps(&self) -> Vec<Step<'_>>;
}

/// Prepares an instance (craft-providers: `Base.setup`): every step of `base` in order, each within its own limit and
/// all within `deadline`.
pub fn setup(
    base: &dyn Base,
    executor: &dyn Executor,
    deadline: Deadline,
    progress: SetupProgress<'_>,
) -> Result<(), BaseError> {
    let steps = base.steps();
    let of = steps.len();
    for (index, step) in steps.iter().enumerate() {
        progress(step.name, index + 1, of);
        log::info!("{}: {}, {} of {of}", executor.instance(), step.name, index + 1);
        (step.run)(executor, deadline.at_most(step.limit))
            .map_err(|source| BaseError { step: step.name, source })?;
    }
    Ok(())
}
