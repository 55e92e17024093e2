//! How an instance is set up: what goes into it is a [`Base`] (ordered steps, each with a name, a deadline and an
//! error of its own), where it runs is an [`Executor`].
//!
//! The names are those of craft-providers' bases.

mod base;
mod executor;
mod runner;

pub use base::{Base, BaseError, CommandEnvironment, SetupProgress, Step, StepFn, setup};
pub use executor::{Command, Executor, ExecutorError, KeyPair, Output, SshExecutor, SshTarget};
pub use runner::{ExternalScript, RECIPE_VERSION, RUNNER_HOME, RUNNER_USER, RunnerBase, RunnerTarball};
