//! How many requests GitHub still answers.

use serde::Deserialize;

use super::client::GithubClient;
use super::error::GithubError;
use crate::http::Method;
use crate::model::{Deadline, Timestamp};

/// The limit of requests about releases and the like, of the token or else of the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Requests an hour.
    pub limit: u32,
    /// Those that are left.
    pub remaining: u32,
    /// When there are as many again.
    pub resets: Timestamp,
}

impl GithubClient {
    /// What is left of the rate limit ("Get rate limit status for the authenticated user"), which does not count as a
    /// request. None where there is no limit, as GitHub Enterprise Server may have it.
    pub fn rate_limit(&self, deadline: Deadline) -> Result<Option<Rate>, GithubError> {
        let operation = "asking GitHub for the rate limit";
        match self.read::<Answer>(operation, Method::Get, "/rate_limit", deadline) {
            Ok(Answer { resources: Resources { core: Core { limit, remaining, reset } } }) => {
                Ok(Some(Rate { limit, remaining, resets: Timestamp(reset) }))
            }
            Err(GithubError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[derive(Deserialize)]
struct Answer {
    resources: Resources,
}

#[derive(Deserialize)]
struct Resources {
    core: Core,
}

#[derive(Deserialize)]
struct Core {
    limit: u32,
    remaining: u32,
    reset: u64,
}
