//! Runners of an organisation or a repository: the application that they run, the token by which they become one.

use serde::Deserialize;

use super::client::GithubClient;
use super::{GithubError, GithubPath};
use crate::http::Method;
use crate::model::{Arch, Deadline, Secret, redact_from_now_on};

/// A runner application that GitHub offers for download.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RunnerApplication {
    /// The operating system: `linux`, `osx`, `win`.
    pub os: String,
    /// The architecture, in GitHub's words.
    pub architecture: String,
    /// Where its tarball is.
    pub download_url: String,
    /// The tarball's name.
    pub filename: String,
    /// Its SHA-256 in hexadecimal.
    #[serde(default)]
    pub sha256_checksum: Option<String>,
}

#[derive(Deserialize)]
struct Token {
    token: String,
}

impl GithubClient {
    /// The runner application for Linux on `arch`, with its digest ("List runner applications for an organization",
    /// "... for a repository").
    pub fn runner_application(
        &self,
        path: &GithubPath,
        arch: Arch,
        deadline: Deadline,
    ) -> Result<RunnerApplication, GithubError> {
        let operation = format!("asking GitHub for the runner application of {path}");
        let place = format!("{}/actions/runners/downloads", path.resource());
        let offered: Vec<RunnerApplication> = self.read(&operation, Method::Get, &place, deadline)?;
        offered
            .into_iter()
            .find(|offer| {
                let digest = offer.sha256_checksum.as_deref().unwrap_or_default();
                offer.os == "linux" && Arch::parse(&offer.architecture) == Some(arch) && is_digest(digest)
            })
            .ok_or(GithubError::NoApplication { operation, arch })
    }

    /// A token with which machines become runners of `path` within the next hour ("Create a registration token for an
    /// organization", "... for a repository").
    pub fn registration_token(
        &self,
        path: &GithubPath,
        deadline: Deadline,
    ) -> Result<Secret<String>, GithubError> {
        let operation = format!("asking GitHub for a registration token of {path}");
        let place = format!("{}/actions/runners/registration-token", path.resource());
        let Token { token } = self.read(&operation, Method::Post, &place, deadline)?;
        let token = Secret::new(token);
        redact_from_now_on(&token);
        Ok(token)
    }
}

/// Whether a text is a SHA-256 in hexadecimal.
pub(super) fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
