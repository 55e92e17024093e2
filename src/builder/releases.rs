//! What an image's runner and tools are, found before it is built: their addresses and digests.

mod kept;
mod upstream;

use std::sync::Arc;

use self::kept::KeptReleases;
pub use self::upstream::{News, look};
use crate::github::{GithubClient, GithubError, asset_path};
use crate::host::Host;
use crate::http::HttpClient;
use crate::instance::{Recipe, RunnerTarball, Tool, ToolDownload, ToolOrigin};
use crate::model::{Cause, Classified, Deadline, Target};
use crate::record::{BuildSecrets, RunnerSource};

/// The runner or a tool could not be found.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// The recipe has no runner for this image.
    #[error("the recipe names no runner for {0}; add one in its section `runner`")]
    NoRunner(Target),
    /// GitHub does not have it.
    #[error("{error}{}", remedy(.error))]
    Github {
        /// What it says.
        #[from]
        error: GithubError,
    },
}

impl ReleaseError {
    /// Whether time alone will not mend it.
    pub fn operator_must_act(&self) -> bool {
        match self {
            Self::NoRunner(_) => true,
            Self::Github { error } => error.operator_must_act(),
        }
    }
}

impl Classified for ReleaseError {
    fn cause(&self) -> Cause {
        match self {
            Self::NoRunner(_) => Cause::Recipe,
            Self::Github { .. } => Cause::Github,
        }
    }

    fn summary(&self) -> String {
        match self {
            Self::NoRunner(_) => self.to_string(),
            Self::Github { error } => format!("{}{}", error.summary(), remedy(error)),
        }
    }
}

/// Which option mends what GitHub refuses to whoever asks for releases.
fn remedy(error: &GithubError) -> &'static str {
    match error {
        GithubError::Shared(error) => remedy(error),
        GithubError::RateLimited { .. } => "; set github-token-secret-id for a higher limit",
        GithubError::Unauthorized { .. } => " (github-token-secret-id)",
        _ => "",
    }
}

/// The GitHub that has the releases: with the operator's token, and with what it has answered before.
pub fn github(host: &Host, http: &HttpClient, source: &RunnerSource, secrets: &BuildSecrets) -> GithubClient {
    let client = GithubClient::anonymous(http, &source.api_url).remembering(Arc::new(KeptReleases::of(host)));
    match &secrets.github_token {
        Some(token) => client.with_token(token.clone()),
        None => client,
    }
}

/// Finds the runner application that `recipe`, which is for `target` already, names.
pub fn find_runner(
    github: &GithubClient,
    source: &RunnerSource,
    recipe: &Recipe,
    target: Target,
    deadline: Deadline,
) -> Result<RunnerTarball, ReleaseError> {
    let release = recipe.runner.first().ok_or(ReleaseError::NoRunner(target))?;
    let version = source.version.as_deref().or(release.version.as_ref().map(|version| version.as_str()));
    let found = github.runner_release(release.github.as_str(), target.arch, version, deadline)?;
    let url = format!("{}/{}", source.source, found.path);
    Ok(RunnerTarball { version: found.version, url, sha256: found.sha256 })
}

/// Finds the tools that `recipe`, which is for one target already, names.
pub fn find_tools(
    github: &GithubClient,
    source: &RunnerSource,
    recipe: &Recipe,
    deadline: Deadline,
) -> Result<Vec<ToolDownload>, ReleaseError> {
    recipe.tools.iter().map(|tool| find_tool(github, source, tool, deadline)).collect()
}

fn find_tool(
    github: &GithubClient,
    source: &RunnerSource,
    tool: &Tool,
    deadline: Deadline,
) -> Result<ToolDownload, ReleaseError> {
    let (url, sha256) = match &tool.origin {
        ToolOrigin::Address { url, sha256 } => (url.to_string(), sha256.to_string()),
        ToolOrigin::Release { github: repository, asset, sha256 } => {
            let (repository, tag, asset) = (repository.as_str(), tool.version.as_str(), asset.as_str());
            let sha256 = match sha256 {
                Some(pinned) => pinned.to_string(),
                None => github.asset_digest(repository, tag, asset, deadline)?,
            };
            (format!("{}/{}", source.source, asset_path(repository, tag, asset)), sha256)
        }
    };
    let (path, version) = (tool.path.to_string(), tool.version.to_string());
    log::info!("tool {path} {version} has SHA-256 {sha256}");
    Ok(ToolDownload { path, version, url, sha256 })
}
