//! When a request is made again.
//!
//! Few attempts, growing pauses with some randomness, one deadline over all. Whoever calls decides what an attempt is; this
//! file judges what it has brought.

use std::fmt;
use std::time::Duration;

use ureq::http::header::RETRY_AFTER;

use super::{Answer, HttpError};
use crate::model::{Attempts, Backoff, Deadline, RetryPolicy, Timestamp, Verdict, retry};

/// What every request of this crate gets.
const POLICY: RetryPolicy = RetryPolicy {
    attempts: 4,
    backoff: Backoff::growing(Duration::from_millis(500), 2.0, Duration::from_secs(8)).jittered(),
};

/// Whether a request may reach the server twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeatable {
    /// Twice is as good as once.
    Yes,
    /// Only when the server cannot have acted on it.
    No,
}

/// An attempt that was not the last, or that failed.
#[derive(Debug)]
pub(super) enum Setback {
    /// The server's answer, of a status that another attempt may not have.
    Answer(Answer),
    /// There is no answer.
    Error(HttpError),
}

impl fmt::Display for Setback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer(answer) => write!(f, "{}: HTTP {}", answer.operation(), answer.status()),
            Self::Error(error) => error.fmt(f),
        }
    }
}

impl Setback {
    /// What is left when there is no further attempt.
    fn after(self, attempts: Attempts) -> Result<Answer, HttpError> {
        match self {
            Self::Answer(answer) => Ok(answer.after(attempts)),
            Self::Error(error) => Err(error.after(attempts)),
        }
    }
}

/// The statuses that a server gives when it, or something before it, is busy or broken for now.
pub(super) const fn is_transient(status: u16) -> bool {
    matches!(status, 429 | 500 | 502 | 503 | 504)
}

/// Judges an answer. A request that must not reach the server twice is repeated only where the server itself
/// said when to come back, which means that it did not act. GitHub says so with 403 too.
fn is_busy(repeatable: Repeatable, status: u16, retry_after: Option<Duration>) -> bool {
    let asked_back = matches!(status, 403 | 429 | 503) && retry_after.is_some();
    asked_back || (repeatable == Repeatable::Yes && is_transient(status))
}

/// Judges a failed attempt.
fn may_pass(repeatable: Repeatable, error: &HttpError) -> bool {
    match (repeatable, error) {
        (_, error) if error.nothing_was_sent() => true,
        (Repeatable::Yes, HttpError::Timeout { .. } | HttpError::Broken { .. }) => true,
        (Repeatable::Yes, HttpError::Proxy { status, .. }) => is_transient(*status),
        _ => false,
    }
}

/// What `result` means for the next attempt.
pub(super) fn judge<T: From<Answer>>(
    repeatable: Repeatable,
    result: Result<Answer, HttpError>,
) -> Verdict<T, Setback> {
    match result {
        Ok(answer) => {
            let pause = answer.header(RETRY_AFTER.as_str()).and_then(retry_after);
            match is_busy(repeatable, answer.status(), pause) {
                true => Verdict::Retry(Setback::Answer(answer), pause),
                false => Verdict::Done(answer.into()),
            }
        }
        Err(error) if may_pass(repeatable, &error) => Verdict::Retry(Setback::Error(error), None),
        Err(error) => Verdict::Fail(Setback::Error(error)),
    }
}

/// Makes attempts until one is the last. A server that is busy until then has the last word, and its answer is returned.
pub(super) fn persist<T: From<Answer>>(
    deadline: Deadline,
    attempt: impl FnMut() -> Verdict<T, Setback>,
) -> Result<T, HttpError> {
    retry(POLICY, deadline, attempt).or_else(|gave_up| gave_up.error.after(gave_up.attempts).map(T::from))
}

/// The pause that a Retry-After header asks for: seconds, or a date.
pub(super) fn retry_after(value: &str) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let then = Timestamp::of_http_date(value.trim())?;
    Some(Duration::from_secs(then.0.saturating_sub(Timestamp::now().0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_passing_trouble_is_tried_again() {
        let pause = Some(Duration::from_secs(1));
        for (repeatable, status, retry_after, again) in [
            (Repeatable::Yes, 200, None, false),
            (Repeatable::Yes, 404, None, false),
            (Repeatable::Yes, 409, None, false),
            (Repeatable::Yes, 401, None, false),
            (Repeatable::Yes, 501, None, false),
            (Repeatable::Yes, 429, None, true),
            (Repeatable::Yes, 500, None, true),
            (Repeatable::Yes, 502, None, true),
            (Repeatable::Yes, 503, None, true),
            (Repeatable::Yes, 504, None, true),
            (Repeatable::Yes, 403, None, false),
            (Repeatable::Yes, 403, pause, true),
            (Repeatable::No, 500, pause, false),
            (Repeatable::No, 502, pause, false),
            (Repeatable::No, 504, pause, false),
            (Repeatable::No, 429, None, false),
            (Repeatable::No, 503, None, false),
            (Repeatable::No, 429, pause, true),
            (Repeatable::No, 503, pause, true),
        ] {
            let busy = is_busy(repeatable, status, retry_after);
            assert_eq!(busy, again, "{repeatable:?} {status} {retry_after:?}");
        }
    }

    #[test]
    fn what_may_have_been_acted_on_is_not_sent_twice() {
        let operation = || "POST http://x/".to_owned();
        let refused =
            HttpError::Connect { operation: operation(), peer: "x".to_owned(), reason: "refused".to_owned() };
        let broken = HttpError::Broken { operation: operation(), reason: "reset".to_owned() };
        let strange = HttpError::NotUnderstood { operation: operation(), reason: "html".to_owned() };
        assert!(may_pass(Repeatable::No, &refused) && may_pass(Repeatable::Yes, &broken));
        assert!(!may_pass(Repeatable::No, &broken) && !may_pass(Repeatable::Yes, &strange));
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        assert_eq!(retry_after(" 7 "), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert!(retry_after("Fri, 01 Jan 2100 00:00:00 GMT").unwrap() > Duration::from_secs(3600));
        assert_eq!(retry_after("soon"), None);
    }
}
