//! Until when GitHub gives jobs to a version of the runner: what it says of the version, and when newer ones came out.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::answer::checked;
use super::client::{GithubClient, broken};
use super::{GithubError, GithubScope};
use crate::http::Method;
use crate::model::{Deadline, Timestamp};

/// The repository whose releases GitHub measures runners by, whoever has built them.
pub const RUNNER_REPOSITORY: &str = "actions/runner";

/// How long GitHub gives jobs to a runner after a newer version has come out.
pub const GRACE: Duration = Duration::from_secs(30 * 86_400);

/// How many of the newest releases are asked for: more than GitHub accepts at a time.
const RELEASES: u32 = 30;

/// Each release names some twenty files with a few hundred bytes of text each.
const LIST_LIMIT: u64 = 8 << 20;

/// A version of the runner, and when it came out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunnerVersion {
    /// The version, without `v`.
    pub version: String,
    /// When it was published.
    pub published: Timestamp,
}

/// What GitHub says of a version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deprecation {
    /// From when on it gives no jobs to the version's runners; absent while it has not decided.
    #[serde(default, rename = "runtime_deprecates_at", deserialize_with = "moment")]
    pub runtime: Option<Timestamp>,
    /// From when on it registers none.
    #[serde(default, rename = "registration_deprecates_at", deserialize_with = "moment")]
    pub registration: Option<Timestamp>,
}

/// An answer to whoever has had one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conditional<T> {
    /// It is as it was.
    Unchanged,
    /// It is this now, until its ETag is another.
    Changed(T, Option<String>),
}

impl GithubClient {
    /// The newest versions of the runner ("List releases"), unless the list has not changed since the one with `etag`.
    pub fn runner_versions(
        &self,
        etag: Option<&str>,
        deadline: Deadline,
    ) -> Result<Conditional<Vec<RunnerVersion>>, GithubError> {
        let operation = format!("asking GitHub for the releases of {RUNNER_REPOSITORY}");
        let path = format!("/repos/{RUNNER_REPOSITORY}/releases?per_page={RELEASES}");
        let answer = self.read_unless::<Vec<Listed>>(&operation, &path, etag, deadline)?;
        Ok(match answer {
            Conditional::Unchanged => Conditional::Unchanged,
            Conditional::Changed(list, etag) => {
                Conditional::Changed(list.iter().filter_map(Listed::version).collect(), etag)
            }
        })
    }

    /// What GitHub says to the managers of `scope` about `version`, unless that has not changed since the answer with `etag`.
    pub fn runner_deprecation(
        &self,
        scope: &GithubScope,
        version: &str,
        etag: Option<&str>,
        deadline: Deadline,
    ) -> Result<Conditional<Deprecation>, GithubError> {
        let operation = format!("asking GitHub until when {scope} may use runner {version}");
        let path = format!("{}/actions/runners/deprecations/{version}", scope.resource());
        self.read_unless(&operation, &path, etag, deadline)
    }

    fn read_unless<T: DeserializeOwned>(
        &self,
        operation: &str,
        path: &str,
        etag: Option<&str>,
        deadline: Deadline,
    ) -> Result<Conditional<T>, GithubError> {
        let url = self.url(operation, path)?;
        let answer = self.call_unless(operation, Method::Get, (url, LIST_LIMIT), etag, deadline)?;
        if answer.status() == 304 && etag.is_some() {
            return Ok(Conditional::Unchanged);
        }
        let answer = checked(operation, answer)?;
        let etag = answer.header("etag").filter(|etag| etag.len() < 200).map(str::to_owned);
        Ok(Conditional::Changed(answer.json().map_err(|source| broken(operation, source))?, etag))
    }
}

/// Whether `version` comes after `other`. None where one of them is not made of numbers and dots.
pub fn is_newer(version: &str, other: &str) -> Option<bool> {
    let numbers = |text: &str| text.split('.').map(|part| part.parse().ok()).collect::<Option<Vec<u64>>>();
    Some(numbers(version)? > numbers(other)?)
}

/// A release in GitHub's list.
#[derive(Deserialize)]
struct Listed {
    tag_name: String,
    #[serde(default)]
    published_at: Option<String>,
    #[serde(default)]
    draft: bool,
    #[serde(default)]
    prerelease: bool,
}

impl Listed {
    fn version(&self) -> Option<RunnerVersion> {
        let version = self.tag_name.strip_prefix('v').unwrap_or(&self.tag_name);
        let published = Timestamp::of_rfc3339(self.published_at.as_deref()?)?;
        let counts = !self.draft && !self.prerelease && is_newer(version, version).is_some();
        counts.then(|| RunnerVersion { version: version.to_owned(), published })
    }
}

/// Whatever GitHub writes for a moment; what is none is not known.
fn moment<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.as_deref().and_then(Timestamp::of_rfc3339))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::testing::{Reply, Server};
    use crate::http::{HttpClient, Proxies};
    use crate::model::Secret;

    fn client(server: &Server) -> GithubClient {
        let api = server.url("/api/v3").to_string();
        GithubClient::anonymous(&HttpClient::new(Proxies::default()), &api)
            .with_token(Secret::new("ghp_planted-token-0c5d".into()))
    }

    fn soon() -> Deadline {
        Deadline::after(Duration::from_secs(120))
    }

    #[test]
    fn versions_come_from_releases_for_everybody_and_are_asked_for_by_etag() {
        let list = r#"[
            {"tag_name": "v2.337.0-rc1", "published_at": "2026-11-01T00:00:00Z"},
            {"tag_name": "v2.337.0", "published_at": "2026-11-01T00:00:00Z", "prerelease": true},
            {"tag_name": "v2.336.0", "published_at": null, "draft": true},
            {"tag_name": "v2.335.0", "published_at": "2026-10-01T12:00:00Z"}]"#;
        let server = Server::start(vec![
            Reply::with(200, "etag: W/\"a\"\r\n", list),
            Reply::with(304, "etag: W/\"a\"\r\n", ""),
        ]);
        let published = Timestamp::of_rfc3339("2026-10-01T12:00:00Z").unwrap();
        let known = vec![RunnerVersion { version: "2.335.0".into(), published }];
        let first = client(&server).runner_versions(None, soon()).unwrap();
        assert_eq!(first, Conditional::Changed(known, Some("W/\"a\"".into())));
        let again = client(&server).runner_versions(Some("W/\"a\""), soon()).unwrap();
        assert_eq!(again, Conditional::Unchanged);
        assert_eq!(server.received()[1].header("if-none-match"), Some("W/\"a\""));
        assert!(server.received()[1].line.contains("/repos/actions/runner/releases?per_page=30 "));
    }

    #[test]
    fn a_version_is_asked_about_where_the_scope_has_its_runners() {
        let told = r#"{"version": "2.335.0", "runtime_deprecates_at": "2026-12-10T00:00:00Z",
            "registration_deprecates_at": null}"#;
        let server =
            Server::start(vec![Reply::json(200, told), Reply::json(404, r#"{"message": "Not Found"}"#)]);
        let ask = || {
            let scope = "enterprises/acme".parse().unwrap();
            client(&server).runner_deprecation(&scope, "2.335.0", None, soon())
        };
        let runtime = Timestamp::of_rfc3339("2026-12-10T00:00:00Z");
        let expected = Deprecation { runtime, registration: None };
        assert_eq!(ask().unwrap(), Conditional::Changed(expected, None));
        assert!(matches!(ask(), Err(GithubError::NotFound { .. })));
        let asked = "GET /api/v3/enterprises/acme/actions/runners/deprecations/2.335.0 ";
        assert!(server.received()[0].line.starts_with(asked), "{}", server.received()[0].line);
    }

    #[test]
    fn versions_compare_by_their_numbers() {
        assert_eq!(is_newer("2.337.1", "2.337.0"), Some(true));
        assert_eq!(is_newer("2.1000.0", "2.337.0"), Some(true));
        assert_eq!(is_newer("2.9.0", "2.337.0"), Some(false));
        assert_eq!(is_newer("2.9.0", "nightly"), None);
    }
}
