//! What GitHub's REST API does with questions about releases, whatever their answers: it counts them, and tells whether an
//! answer has changed since the caller got it.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;
use sha2::{Digest, Sha256};

use super::github::GITHUB_TOKEN;
use super::http::{Request, Response};
use crate::lock;

/// How many requests an address may make in an hour without a token, and with one.
const LIMITS: (u32, u32) = (60, 5000);
/// When the limit is reset.
const RESET: Duration = Duration::from_secs(1800);

/// The rate limits that the site and its handler share.
#[derive(Clone, Default)]
pub struct Rate(Arc<Mutex<Used>>);

#[derive(Clone, Copy, Debug, Default)]
struct Used {
    anonymous: u32,
    with_token: u32,
}

impl Rate {
    /// How many requests were counted: without a token, and with one.
    pub fn used(&self) -> (u32, u32) {
        let used = lock(&self.0);
        (used.anonymous, used.with_token)
    }

    /// Uses up what remains of the anonymous limit, as others behind the same address do.
    pub fn use_up(&self) {
        lock(&self.0).anonymous = LIMITS.0;
    }

    /// Answers `request`, to which `whole` would be the answer.
    pub fn answer(&self, request: &Request<'_>, whole: impl FnOnce() -> (Response, Vec<u8>)) -> Response {
        let problem = |status: u16, message: &str| {
            Response::json(status, &json!({"message": message, "status": status.to_string()}))
        };
        let has_token = match request.header("authorization") {
            None => false,
            Some(told) if told == format!("Bearer {GITHUB_TOKEN}") => true,
            Some(_) => return problem(401, "Bad credentials"),
        };
        let mut used = lock(&self.0);
        let limit = if has_token { LIMITS.1 } else { LIMITS.0 };
        let count = if has_token { &mut used.with_token } else { &mut used.anonymous };
        let reset = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + RESET;
        let told = |answer: Response, count: u32| {
            answer
                .with("x-ratelimit-limit", limit.to_string())
                .with("x-ratelimit-remaining", limit.saturating_sub(count).to_string())
                .with("x-ratelimit-reset", reset.as_secs().to_string())
        };
        if request.path.ends_with("/rate_limit") {
            let remaining = limit.saturating_sub(*count);
            let core =
                json!({"limit": limit, "remaining": remaining, "used": *count, "reset": reset.as_secs()});
            return told(Response::json(200, &json!({"resources": {"core": core}})), *count);
        }
        if *count >= limit {
            return told(problem(403, "API rate limit exceeded for 127.0.0.1."), *count);
        }
        let (answer, bytes) = whole();
        let etag = format!("W/\"{}\"", crate::servers::site::hex(&Sha256::digest(&bytes)));
        if request.header("if-none-match") == Some(etag.as_str()) {
            return told(Response::empty(304).with("ETag", etag), *count);
        }
        *count += 1;
        told(answer.with("ETag", etag), *count)
    }
}
