//! GitHub's REST API as far as this charm uses it: which runner application to install, and what makes a runner one of
//! an organisation or of a repository.

mod answer;
mod client;
mod deprecation;
mod error;
mod memory;
mod path;
mod rate;
mod release;
mod runners;
mod scope;
#[cfg(test)]
mod tests;

pub use client::GithubClient;
pub use deprecation::{Conditional, Deprecation, GRACE, RUNNER_REPOSITORY, RunnerVersion, is_newer};
pub use error::GithubError;
pub use memory::{KnownRelease, ReleaseStore};
pub use path::{GithubOrg, GithubPath, GithubRepo, NotAPath};
pub use rate::Rate;
pub use release::{RunnerTarballRelease, asset_path};
pub use runners::RunnerApplication;
pub use scope::{GithubScope, NotAScope};
