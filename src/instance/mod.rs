//! How an instance is set up: what goes into it is a [`Base`] (ordered steps, each with a name, a deadline and an
//! error of its own), where it runs is an [`Executor`].
//!
//! The names are those of craft-providers' bases.

mod base;
mod executor;
mod recipe;
mod runner;

pub use base::{Base, BaseError, CommandEnvironment, SetupProgress, Step, StepFn, setup};
pub use executor::{Command, Executor, ExecutorError, KeyPair, Output, SshExecutor, SshTarget};
pub use recipe::{DEFAULT_RECIPE, Recipe, RecipeError, RunnerRelease, Tool, ToolOrigin};
pub use runner::{ExternalScript, RUNNER_USER, RunnerBase, RunnerTarball, STEPS_VERSION, ToolDownload};
