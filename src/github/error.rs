//! What GitHub refuses, and what that means for the operator.

use std::time::Duration;

use crate::http::HttpError;
use crate::model::Classified;

/// A call to GitHub came to nothing. Says what was being done and holds no token.
#[derive(Debug, thiserror::Error)]
pub enum GithubError {
    /// GitHub did not answer, or not with what was asked for.
    #[error("{operation}: {source}")]
    Http {
        /// What was being done.
        operation: String,
        /// What came of it.
        source: HttpError,
    },
    /// The token is not accepted (401).
    #[error("{operation}: GitHub rejects the token (HTTP 401); it has expired or was revoked: replace it")]
    Unauthorized {
        /// What was being done.
        operation: String,
    },
    /// Too many requests were made (403 or 429 with GitHub's own limits).
    #[error("{operation}: GitHub's rate limit is used up; {}", when(*resets_in))]
    RateLimited {
        /// What was being done.
        operation: String,
        /// How long until the limit is reset, when GitHub says so.
        resets_in: Option<Duration>,
    },
    /// What came of it when somebody else asked the same.
    #[error(transparent)]
    Shared(std::sync::Arc<GithubError>),
    /// The token is known but may not do this (403).
    #[error(
        "{operation}: GitHub refuses the request (HTTP 403): {message}; the token needs permission to manage runners"
    )]
    Forbidden {
        /// What was being done.
        operation: String,
        /// GitHub's own words.
        message: String,
    },
    /// It does not exist, or GitHub does not let the token see it (404).
    #[error("{operation}: not found on GitHub (HTTP 404); check the path and the token's permissions")]
    NotFound {
        /// What was being done.
        operation: String,
    },
    /// There is no such release.
    #[error("there is no release {version} of {repository}; check runner-version and the recipe")]
    NoRelease {
        /// The repository.
        repository: String,
        /// The version, or `latest`.
        version: String,
    },
    /// The release lacks the file, or says no digest of it.
    #[error("release {release} of {repository} has no {asset} with a SHA-256 digest; choose another version")]
    NoAsset {
        /// The repository.
        repository: String,
        /// The release's tag.
        release: String,
        /// The file's name.
        asset: String,
    },
    /// GitHub offers no runner application for an architecture.
    #[error("{operation}: GitHub offers no runner for Linux on {arch} with a SHA-256 digest")]
    NoApplication {
        /// What was being done.
        operation: String,
        /// The architecture.
        arch: crate::model::Arch,
    },
}

impl GithubError {
    /// The cause first, without the operation, and the remedy after `; `.
    pub fn summary(&self) -> String {
        let operation = match self {
            Self::Shared(error) => return error.summary(),
            Self::Http { source, .. } => return format!("GitHub: {}", source.summary()),
            Self::Unauthorized { operation }
            | Self::RateLimited { operation, .. }
            | Self::Forbidden { operation, .. }
            | Self::NotFound { operation }
            | Self::NoApplication { operation, .. } => operation,
            Self::NoRelease { .. } | Self::NoAsset { .. } => return self.to_string(),
        };
        let text = self.to_string();
        let cause = text.strip_prefix(operation.as_str()).and_then(|rest| rest.strip_prefix(": "));
        cause.unwrap_or(&text).to_owned()
    }

    /// Whether time alone will not mend it.
    pub fn operator_must_act(&self) -> bool {
        match self {
            Self::Http { .. } | Self::RateLimited { .. } => false,
            Self::Shared(error) => error.operator_must_act(),
            _ => true,
        }
    }
}

fn when(resets_in: Option<Duration>) -> String {
    match resets_in {
        Some(wait) => format!("it is reset in {} min", wait.as_secs().div_ceil(60)),
        None => "try again later".to_owned(),
    }
}
