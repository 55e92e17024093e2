//! When a request is made again, and after how long.
//!
//! Few attempts, growing pauses with some randomness, one deadline over all. Whoever calls decides what an
//! attempt is; this room only decides whether there is another one.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use super::HttpError;
use crate::deadline::Deadline;
use crate::timestamp::Timestamp;

/// How often, and how patiently.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    /// Attempts in all.
    pub(super) attempts: u32,
    /// The pause after the first attempt; it doubles from there.
    pub(super) first_pause: Duration,
    /// The longest pause, unless the server asks for a longer one.
    pub(super) longest_pause: Duration,
}

/// What every request of this crate gets.
pub(super) const POLICY: Policy =
    Policy { attempts: 4, first_pause: Duration::from_millis(500), longest_pause: Duration::from_secs(8) };

/// Whether a request may reach the server twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeatable {
    /// Twice is as good as once.
    Yes,
    /// Only when the server cannot have acted on it.
    No,
}

/// What an attempt's result means for the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The result stands.
    Final,
    /// Worth another attempt, not before the server's own pause when it gave one.
    Again(Option<Duration>),
}

/// The statuses that a server gives when it, or something before it, is busy or broken for now.
pub(super) const fn is_transient(status: u16) -> bool {
    matches!(status, 429 | 500 | 502 | 503 | 504)
}

/// Judges an answer. A request that must not reach the server twice is repeated only where the server itself
/// said when to come back, which means that it did not act. GitHub says so with 403 too.
pub(super) fn judge_status(repeatable: Repeatable, status: u16, retry_after: Option<Duration>) -> Verdict {
    let asked_back = matches!(status, 403 | 429 | 503) && retry_after.is_some();
    let again = asked_back || (repeatable == Repeatable::Yes && is_transient(status));
    if again { Verdict::Again(retry_after) } else { Verdict::Final }
}

/// Judges a failed attempt.
pub(super) fn judge_error(repeatable: Repeatable, error: &HttpError) -> Verdict {
    let again = match (repeatable, error) {
        (_, error) if error.nothing_was_sent() => true,
        (Repeatable::Yes, HttpError::Timeout { .. } | HttpError::Broken { .. }) => true,
        (Repeatable::Yes, HttpError::Proxy { status, .. }) => is_transient(*status),
        _ => false,
    };
    if again { Verdict::Again(None) } else { Verdict::Final }
}

/// Runs `attempt` until its verdict is final, the attempts are used up, or the next pause would outlast the
/// deadline. Returns the last result.
pub(super) fn persist<T>(policy: Policy, deadline: Deadline, mut attempt: impl FnMut() -> (T, Verdict)) -> T {
    let mut pause = policy.first_pause;
    let mut made = 1;
    loop {
        let (result, verdict) = attempt();
        let Verdict::Again(asked) = verdict else { return result };
        let wait = jittered(pause).max(asked.unwrap_or_default());
        if made >= policy.attempts || wait >= deadline.remaining() || !deadline.sleep(wait) {
            return result;
        }
        made += 1;
        pause = (pause * 2).min(policy.longest_pause);
    }
}

/// The pause that a Retry-After header asks for: seconds, or a date.
pub(super) fn retry_after(value: &str) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let then = Timestamp::of_http_date(value.trim())?;
    Some(Duration::from_secs(then.0.saturating_sub(Timestamp::now().0)))
}

/// `pause`, shortened by up to a half at random, so that many who wait do not come back all at once.
pub fn jittered(pause: Duration) -> Duration {
    // A RandomState is seeded from the system's randomness: enough here, and no crate is needed for it.
    let random = RandomState::new().hash_one(()) % 1024;
    pause.mul_f64(1.0 - random as f64 / 2048.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Policy = Policy {
        attempts: 4,
        first_pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(4),
    };

    fn soon() -> Deadline {
        Deadline::after(Duration::from_secs(120))
    }

    fn attempts(policy: Policy, deadline: Deadline, verdict: Verdict) -> u32 {
        let mut made = 0;
        persist(policy, deadline, || {
            made += 1;
            (made, verdict)
        })
    }

    #[test]
    fn attempts_are_bounded() {
        assert_eq!(attempts(QUICK, soon(), Verdict::Final), 1);
        assert_eq!(attempts(QUICK, soon(), Verdict::Again(None)), 4);
        assert_eq!(attempts(Policy { attempts: 0, ..QUICK }, soon(), Verdict::Again(None)), 1);
    }

    #[test]
    fn no_pause_outlasts_the_deadline() {
        let hour = Some(Duration::from_secs(3600));
        assert_eq!(attempts(QUICK, soon(), Verdict::Again(hour)), 1);
        assert_eq!(attempts(QUICK, Deadline::after(Duration::ZERO), Verdict::Again(None)), 1);
    }

    #[test]
    fn the_servers_own_pause_is_kept() {
        let start = std::time::Instant::now();
        attempts(Policy { attempts: 2, ..QUICK }, soon(), Verdict::Again(Some(Duration::from_millis(80))));
        assert!(start.elapsed() >= Duration::from_millis(80));
    }

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
            let verdict = judge_status(repeatable, status, retry_after);
            assert_eq!(verdict != Verdict::Final, again, "{repeatable:?} {status} {retry_after:?}");
        }
    }

    #[test]
    fn what_may_have_been_acted_on_is_not_sent_twice() {
        let operation = || "POST http://x/".to_owned();
        let refused =
            HttpError::Connect { operation: operation(), peer: "x".to_owned(), reason: "refused".to_owned() };
        let broken = HttpError::Broken { operation: operation(), reason: "reset".to_owned() };
        let strange = HttpError::NotUnderstood { operation: operation(), reason: "html".to_owned() };
        assert_eq!(judge_error(Repeatable::No, &refused), Verdict::Again(None));
        assert_eq!(judge_error(Repeatable::No, &broken), Verdict::Final);
        assert_eq!(judge_error(Repeatable::Yes, &broken), Verdict::Again(None));
        assert_eq!(judge_error(Repeatable::Yes, &strange), Verdict::Final);
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        assert_eq!(retry_after(" 7 "), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert!(retry_after("Fri, 01 Jan 2100 00:00:00 GMT").unwrap() > Duration::from_secs(3600));
        assert_eq!(retry_after("soon"), None);
    }

    #[test]
    fn jitter_keeps_at_least_half_of_the_pause() {
        for _ in 0..100 {
            let pause = jittered(Duration::from_secs(2));
            assert!(pause > Duration::from_millis(999) && pause <= Duration::from_secs(2));
        }
    }
}
