//! One client for all calls: the address, the token, the headers.

use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::answer::checked;
use super::memory::Memory;
use super::{GithubError, ReleaseStore};
use crate::http::{Answer, HttpClient, HttpError, Method, Request, Url};
use crate::model::{Deadline, Secret, redact_from_now_on};

/// How long GitHub may take to answer, all attempts of one call together.
const LIMIT: Duration = Duration::from_secs(120);

/// The longest answer about one thing, in bytes.
pub(super) const LONGEST: u64 = 4 << 20;

/// A client of one GitHub: github.com, or an enterprise's own (seed `openstack_manager`: `GithubClient`).
#[derive(Clone, Debug)]
pub struct GithubClient {
    http: HttpClient,
    api_url: String,
    token: Option<Secret<String>>,
    pub(super) memory: Option<Memory>,
}

impl GithubClient {
    /// A client of the REST API at `api_url` that asks without a name: enough for public releases.
    pub fn anonymous(http: &HttpClient, api_url: &str) -> Self {
        let api_url = api_url.trim_end_matches('/').to_owned();
        Self { http: http.clone(), api_url, token: None, memory: None }
    }

    /// The same client with a token, which stays out of all logs from now on.
    pub fn with_token(self, token: Secret<String>) -> Self {
        redact_from_now_on(&token);
        Self { token: Some(token), ..self }
    }

    /// The same client, which asks about each release once, and keeps the answer in `store`.
    pub fn remembering(self, store: Arc<dyn ReleaseStore>) -> Self {
        Self { memory: Some(Memory::of(store)), ..self }
    }

    /// The root of the pages for people, below which runners find their organisation or repository.
    pub fn web_url(&self) -> String {
        web_url(&self.api_url)
    }

    /// Whether this is a GitHub Enterprise Server, which gives jobs to old runners, too.
    pub fn is_enterprise_server(&self) -> bool {
        self.api_url.ends_with("/api/v3")
    }

    /// Where `path` of the REST API is.
    pub(super) fn url(&self, operation: &str, path: &str) -> Result<Url, GithubError> {
        format!("{}{path}", self.api_url).parse().map_err(|source| broken(operation, source))
    }

    /// Makes a call, which may be made more than once, and returns its answer whatever the status.
    pub(super) fn call(
        &self,
        operation: &str,
        method: Method,
        url: Url,
        deadline: Deadline,
    ) -> Result<Answer, GithubError> {
        self.call_unless(operation, method, (url, LONGEST), None, deadline)
    }

    /// The same, where the answer may be that nothing has changed since the one with this ETag (304), and has at most so many
    /// bytes.
    pub(super) fn call_unless(
        &self,
        operation: &str,
        method: Method,
        (url, longest): (Url, u64),
        etag: Option<&str>,
        deadline: Deadline,
    ) -> Result<Answer, GithubError> {
        let mut request = Request::new(method, url)
            .header("accept", "application/vnd.github+json")
            .header("x-github-api-version", "2022-11-28")
            .answer_limit(longest)
            .repeatable();
        if let Some(etag) = etag {
            request = request.header("if-none-match", etag);
        }
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {}", token.expose()));
        }
        self.http.call(&request, deadline.at_most(LIMIT)).map_err(|source| broken(operation, source))
    }

    /// Makes a call and reads its successful answer.
    pub(super) fn read<T: DeserializeOwned>(
        &self,
        operation: &str,
        method: Method,
        path: &str,
        deadline: Deadline,
    ) -> Result<T, GithubError> {
        let answer = self.call(operation, method, self.url(operation, path)?, deadline)?;
        checked(operation, answer)?.json().map_err(|source| broken(operation, source))
    }
}

pub(super) fn broken(operation: &str, source: HttpError) -> GithubError {
    GithubError::Http { operation: operation.to_owned(), source }
}

/// github.com and data-residency hosts have their API at `api.HOST`, GitHub Enterprise Server at `HOST/api/v3`.
fn web_url(api_url: &str) -> String {
    let root = api_url.strip_suffix("/v3").unwrap_or(api_url);
    match root.strip_suffix("/api") {
        Some(root) => root.to_owned(),
        None => root.replacen("://api.", "://", 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runners_go_to_the_pages_of_the_same_github() {
        for (api, web) in [
            ("https://api.github.com", "https://github.com"),
            ("https://ghe.example.com/api/v3", "https://ghe.example.com"),
            ("https://api.octo.ghe.com", "https://octo.ghe.com"),
            ("http://127.0.0.1:8080/api", "http://127.0.0.1:8080"),
        ] {
            assert_eq!(web_url(api), web);
            let client = GithubClient::anonymous(&HttpClient::new(Default::default()), api);
            assert_eq!(client.is_enterprise_server(), web.contains("//ghe."));
        }
    }
}
