//! How an instance is set up: what goes into it is a [`Base`] (ordered steps, each with a name, a deadline and an
//! error of its own), where it runs is an [`Executor`].
//!
//! The names are those of craft-providers' bases.

mod base;
mod buildd;
mod error;
mod executor;
mod hostname;
mod instance_config;
mod os_release;
mod recipe;
mod runner;
mod snaps;
#[cfg(test)]
mod testing;
mod timeout;

pub use runner::{
    ExternalScript, RUNNER_HOME, RUNNER_USER, RunnerBase, RunnerTarball, STEPS_VERSION, ToolDownload,
};
