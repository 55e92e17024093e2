//! What GitHub's answers mean, whatever was asked.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;

use super::GithubError;
use crate::http::Answer;

#[derive(Deserialize)]
struct Problem {
    message: String,
}

/// The answer when it is a success, else what it means for `operation`.
pub(super) fn checked(operation: &str, answer: Answer) -> Result<Answer, GithubError> {
    let operation = operation.to_owned();
    let limited = is_rate_limited(&answer);
    match answer.status() {
        401 => Err(GithubError::Unauthorized { operation }),
        403 | 429 if limited => {
            Err(GithubError::RateLimited { operation, resets_in: resets_in(&answer, SystemTime::now()) })
        }
        403 => {
            let message = answer.json::<Problem>().map(|problem| problem.message).unwrap_or_default();
            let message = message.chars().filter(|c| !c.is_control()).take(200).collect();
            Err(GithubError::Forbidden { operation, message })
        }
        404 => Err(GithubError::NotFound { operation }),
        _ => answer.or_error().map_err(|source| GithubError::Http { operation, source }),
    }
}

/// The primary limit shows itself by what remains of it, the secondary one by asking to come back later.
fn is_rate_limited(answer: &Answer) -> bool {
    answer.status() == 429
        || answer.header("x-ratelimit-remaining") == Some("0")
        || answer.header("retry-after").is_some()
}

fn resets_in(answer: &Answer, now: SystemTime) -> Option<Duration> {
    let number = |name| answer.header(name)?.trim().parse::<u64>().ok();
    if let Some(seconds) = number("retry-after") {
        return Some(Duration::from_secs(seconds));
    }
    let reset = Duration::from_secs(number("x-ratelimit-reset")?);
    Some(reset.saturating_sub(now.duration_since(UNIX_EPOCH).unwrap_or_default()))
}
