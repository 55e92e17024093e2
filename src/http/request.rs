//! A request as callers describe it.

use serde::Serialize;
use ureq::http::{self, HeaderValue};

use super::HttpError;
use super::answer::ANSWER_LIMIT;
use super::retry::Repeatable;
use super::url::Url;
use crate::model::Secret;

/// The methods that this crate uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Read.
    Get,
    /// Read the headers only.
    Head,
    /// Make or act.
    Post,
    /// Write as a whole.
    Put,
    /// Change in part.
    Patch,
    /// Remove.
    Delete,
}

impl Method {
    const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// One request. Shows neither header values nor content.
#[derive(Clone, Debug)]
pub struct Request {
    method: Method,
    url: Url,
    headers: Vec<(&'static str, Secret<String>)>,
    content: Secret<Vec<u8>>,
    repeatable: Repeatable,
    limit: u64,
}

impl Request {
    /// A request without content. GET and HEAD may be made again when they fail on the way, others may not
    /// unless [`Request::repeatable`] says so.
    pub fn new(method: Method, url: Url) -> Self {
        let repeatable = match method {
            Method::Get | Method::Head => Repeatable::Yes,
            _ => Repeatable::No,
        };
        Self { method, url, headers: Vec::new(), content: Secret::default(), repeatable, limit: ANSWER_LIMIT }
    }

    /// Adds a header. Every value is treated as a secret.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, Secret::new(value.into())));
        self
    }

    /// Sends `content` as JSON.
    pub fn json(self, content: &impl Serialize) -> Result<Self, HttpError> {
        self.json_of_type("application/json", content)
    }

    /// Sends `content` as JSON under a content type of its own.
    pub fn json_of_type(mut self, content_type: &str, content: &impl Serialize) -> Result<Self, HttpError> {
        let bytes = serde_json::to_vec(content).map_err(|error| HttpError::Unusable {
            operation: self.operation(),
            reason: error.to_string(),
        })?;
        self.content = Secret::new(bytes);
        Ok(self.header("content-type", content_type))
    }

    /// Says that making this request twice is as good as making it once.
    pub fn repeatable(mut self) -> Self {
        self.repeatable = Repeatable::Yes;
        self
    }

    /// Says how many bytes a successful answer has at most; a longer one is an error.
    pub fn answer_limit(mut self, limit: u64) -> Self {
        self.limit = limit;
        self
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// Method and address, as errors name them.
    pub(super) fn operation(&self) -> String {
        format!("{} {}", self.method.name(), self.url)
    }

    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    pub(super) fn content(&self) -> &[u8] {
        self.content.expose()
    }

    pub(super) fn may_be_repeated(&self) -> Repeatable {
        self.repeatable
    }

    /// This request in the form of ureq, with `body`.
    pub(super) fn with_body<B>(
        &self,
        extra: &[(&str, String)],
        body: B,
    ) -> Result<http::Request<B>, HttpError> {
        let malformed = |error: &dyn std::fmt::Display| HttpError::Unusable {
            operation: self.operation(),
            reason: error.to_string(),
        };
        let mut builder = http::Request::builder().method(self.method.name()).uri(self.url.uri().clone());
        let own = self.headers.iter().map(|(name, value)| (*name, value.expose()));
        for (name, value) in own.chain(extra.iter().map(|(name, value)| (*name, value))) {
            let mut value = HeaderValue::from_str(value).map_err(|error| malformed(&error))?;
            value.set_sensitive(true);
            builder = builder.header(name, value);
        }
        builder.body(body).map_err(|error| malformed(&error))
    }
}
