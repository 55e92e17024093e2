//! The one retry, and the one way to wait for a state: [`retry`] for what fails, [`poll`] for what takes its time.
//!
//! Both end with a deadline, and sleep nowhere else. Whoever calls [`retry`] judges each attempt: only the caller knows
//! whether the same again may succeed, and whether it may be done twice.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::Deadline;

/// The pauses between attempts.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    first: Duration,
    growth: f64,
    longest: Duration,
    jitter: bool,
}

impl Backoff {
    /// The pauses between two looks whether something has come that takes seconds or minutes: a VM, a snapshot, a deletion. Each
    /// is a tenth longer than the one before, so that what takes a moment is seen at once, and nothing is waited for much longer
    /// than it takes. A minute costs about 40 looks, each minute after it about 20.
    pub const POLLING: Self =
        Self::growing(Duration::from_millis(250), 1.1, Duration::from_secs(4)).jittered();

    /// Always the same pause.
    pub const fn steady(pause: Duration) -> Self {
        Self::growing(pause, 1.0, pause)
    }

    /// The pause `first`, each later one `growth` times as long, up to `longest`.
    pub const fn growing(first: Duration, growth: f64, longest: Duration) -> Self {
        Self { first, growth, longest, jitter: false }
    }

    /// Each pause shortened by up to a half at random, so that many who wait do not come back all at once.
    pub const fn jittered(self) -> Self {
        Self { jitter: true, ..self }
    }

    /// The pause after `attempt`, counted from 1.
    pub fn pause_after(&self, attempt: u32) -> Duration {
        let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
        let seconds = self.first.as_secs_f64() * self.growth.powi(exponent);
        let pause = Duration::try_from_secs_f64(seconds).unwrap_or(self.longest).min(self.longest);
        if !self.jitter {
            return pause;
        }
        // A RandomState is seeded from the system's randomness: enough here, and no crate is needed for it.
        let random = RandomState::new().hash_one(()) % 1024;
        pause.mul_f64(1.0 - random as f64 / 2048.0)
    }
}

/// How often something is tried in all, and the pauses between.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// Attempts in all, at least one.
    pub attempts: u32,
    /// The pauses.
    pub backoff: Backoff,
}

/// What came of an attempt.
#[derive(Debug)]
pub enum Verdict<T, E> {
    /// It succeeded.
    Done(T),
    /// It failed, and another attempt may succeed: not before the pause that the other side asks for, if it does.
    Retry(E, Option<Duration>),
    /// It failed, and another attempt would fail as well or must not be made.
    Fail(E),
}

impl<T, E> Verdict<T, E> {
    /// The verdict on `result`, whose errors are worth another attempt where `transient` says so.
    pub fn of(result: Result<T, E>, transient: impl FnOnce(&E) -> bool) -> Self {
        match result {
            Ok(value) => Self::Done(value),
            Err(error) if transient(&error) => Self::Retry(error, None),
            Err(error) => Self::Fail(error),
        }
    }
}

/// The error of the last attempt, and how many attempts were made.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}{attempts}")]
pub struct GaveUp<E> {
    /// The error of the last attempt.
    pub error: E,
    /// How many attempts were made.
    pub attempts: Attempts,
}

/// A number of attempts, as errors tell it: ` (4 attempts)`, and nothing of a single one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempts(pub u32);

impl fmt::Display for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 | 1 => Ok(()),
            attempts => write!(f, " ({attempts} attempts)"),
        }
    }
}

/// Makes attempts until one succeeds or fails for good, all that `policy` allows are made, or the next pause would outlast
/// `deadline`. Each one that is followed by another is logged with its reason, which names the operation.
pub fn retry<T, E: fmt::Display>(
    policy: RetryPolicy,
    deadline: Deadline,
    attempt: impl FnMut() -> Verdict<T, E>,
) -> Result<T, GaveUp<E>> {
    retry_by(&SystemClock, policy, deadline, attempt)
}

fn retry_by<T, E: fmt::Display>(
    clock: &impl Clock,
    policy: RetryPolicy,
    deadline: Deadline,
    mut attempt: impl FnMut() -> Verdict<T, E>,
) -> Result<T, GaveUp<E>> {
    let mut made = 1;
    loop {
        let (error, asked) = match attempt() {
            Verdict::Done(value) => return Ok(value),
            Verdict::Retry(error, asked) if made < policy.attempts => (error, asked),
            Verdict::Retry(error, _) | Verdict::Fail(error) => {
                return Err(GaveUp { error, attempts: Attempts(made) });
            }
        };
        let pause = policy.backoff.pause_after(made).max(asked.unwrap_or_default());
        if pause >= deadline.remaining_at(clock.now()) {
            return Err(GaveUp { error, attempts: Attempts(made) });
        }
        log::warn!("attempt {made} of {} failed: {error}; next attempt in {pause:.1?}", policy.attempts);
        RETRIES.fetch_add(1, Ordering::Relaxed);
        clock.sleep(pause);
        made += 1;
    }
}

/// The attempts of this process that followed a failed one.
static RETRIES: AtomicU64 = AtomicU64::new(0);

/// How many attempts of this process have followed a failed one: a count that only grows.
pub fn retries() -> u64 {
    RETRIES.load(Ordering::Relaxed)
}

/// Asks `check`, at once and after each pause, until it has an answer or fails; `None` when the deadline came first.
pub fn poll<T, E>(
    backoff: Backoff,
    deadline: Deadline,
    check: impl FnMut() -> Result<Option<T>, E>,
) -> Result<Option<T>, E> {
    poll_by(&SystemClock, backoff, deadline, check)
}

fn poll_by<T, E>(
    clock: &impl Clock,
    backoff: Backoff,
    deadline: Deadline,
    mut check: impl FnMut() -> Result<Option<T>, E>,
) -> Result<Option<T>, E> {
    for asked in 1.. {
        if let Some(answer) = check()? {
            return Ok(Some(answer));
        }
        let remaining = deadline.remaining_at(clock.now());
        let pause = backoff.pause_after(asked);
        clock.sleep(pause.min(remaining));
        if pause >= remaining {
            break;
        }
    }
    Ok(None)
}

/// Time, as it passes or as a test lets it pass.
trait Clock {
    fn now(&self) -> Instant;
    fn sleep(&self, pause: Duration);
}

struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep(&self, pause: Duration) {
        std::thread::sleep(pause);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const POLICY: RetryPolicy =
        RetryPolicy { attempts: 5, backoff: Backoff::growing(SECOND, 2.0, Duration::from_secs(3)) };

    /// Time that passes only where somebody sleeps.
    struct Fake {
        start: Instant,
        slept: RefCell<Vec<Duration>>,
    }

    impl Fake {
        fn new() -> Self {
            Self { start: Instant::now(), slept: RefCell::default() }
        }

        fn pauses(self) -> Vec<u64> {
            self.slept.into_inner().iter().map(Duration::as_secs).collect()
        }
    }

    impl Clock for Fake {
        fn now(&self) -> Instant {
            self.start + self.slept.borrow().iter().sum::<Duration>()
        }

        fn sleep(&self, pause: Duration) {
            self.slept.borrow_mut().push(pause);
        }
    }

    fn minutes(minutes: u64) -> Deadline {
        Deadline::after(Duration::from_secs(60 * minutes))
    }

    /// What comes of attempts of which each has the same verdict, and the pauses between them.
    fn tried(
        policy: RetryPolicy,
        deadline: Deadline,
        verdict: impl Fn() -> Verdict<(), &'static str>,
    ) -> (String, Vec<u64>) {
        let clock = Fake::new();
        let error = retry_by(&clock, policy, deadline, verdict).unwrap_err();
        (error.to_string(), clock.pauses())
    }

    #[test]
    fn attempts_are_bounded_and_counted_and_their_pauses_grow() {
        let again = || Verdict::Retry("asking: busy", None);
        assert_eq!(tried(POLICY, minutes(9), again), ("asking: busy (5 attempts)".into(), vec![1, 2, 3, 3]));
        assert_eq!(tried(RetryPolicy { attempts: 0, ..POLICY }, minutes(9), again).0, "asking: busy");
        assert_eq!(
            tried(POLICY, minutes(9), || Verdict::Fail("asking: no")),
            ("asking: no".into(), Vec::new())
        );
    }

    #[test]
    fn a_success_ends_the_attempts_and_so_does_what_fails_for_good() {
        let (clock, mut made) = (Fake::new(), 0);
        let result: Result<u32, GaveUp<&str>> = retry_by(&clock, POLICY, minutes(9), || {
            made += 1;
            if made < 3 { Verdict::Retry("busy", None) } else { Verdict::Done(made) }
        });
        assert_eq!((result, clock.pauses()), (Ok(3), vec![1, 2]));
        let mut made = 0;
        let result: Result<(), GaveUp<&str>> = retry_by(&Fake::new(), POLICY, minutes(9), || {
            made += 1;
            Verdict::of(Err(if made < 2 { "busy" } else { "gone" }), |error| *error == "busy")
        });
        assert_eq!(result.unwrap_err().to_string(), "gone (2 attempts)");
    }

    #[test]
    fn the_other_sides_own_pause_is_kept_and_none_outlasts_the_deadline() {
        let asked = |pause| move || Verdict::Retry("busy", Some(Duration::from_secs(pause)));
        assert_eq!(tried(POLICY, minutes(9), asked(20)), ("busy (5 attempts)".into(), vec![20, 20, 20, 20]));
        assert_eq!(tried(POLICY, minutes(1), asked(25)), ("busy (3 attempts)".into(), vec![25, 25]));
        assert_eq!(tried(POLICY, minutes(1), asked(3600)), ("busy".into(), Vec::new()));
        assert_eq!(tried(POLICY, Deadline::after(Duration::ZERO), asked(0)), ("busy".into(), Vec::new()));
    }

    #[test]
    fn a_state_is_waited_for_until_the_deadline_and_errors_end_the_wait() {
        let poll = |clock: &Fake, deadline, answer: Result<Option<u32>, &'static str>| {
            poll_by(clock, Backoff::steady(SECOND * 20), deadline, || answer)
        };
        let clock = Fake::new();
        assert_eq!(poll(&clock, minutes(1), Ok(Some(7))), Ok(Some(7)));
        assert_eq!(poll(&clock, minutes(1), Err("no")), Err("no"));
        assert_eq!(poll(&clock, Deadline::after(Duration::ZERO), Ok(Some(7))), Ok(Some(7)), "asked once");
        assert_eq!(poll(&clock, minutes(1), Ok(None)), Ok(None));
        let slept: Duration = clock.slept.into_inner().iter().sum();
        assert!(slept > SECOND * 59 && slept <= SECOND * 61, "{slept:?}");
    }

    /// The pauses of a wait that ends with its deadline.
    fn waits(deadline: Deadline) -> Vec<Duration> {
        let clock = Fake::new();
        let waited = poll_by(&clock, Backoff::POLLING, deadline, || Ok::<Option<()>, ()>(None));
        assert_eq!(waited, Ok(None));
        clock.slept.into_inner()
    }

    #[test]
    fn what_takes_minutes_costs_few_looks_and_is_seen_soon() {
        let looks = waits(minutes(1)).len();
        assert!((30..60).contains(&looks), "{looks} looks in a minute");
        let looks = waits(minutes(20)).len();
        assert!(looks < 700, "{looks} looks in twenty minutes");
        let mut waited = Duration::ZERO;
        for pause in waits(minutes(20)) {
            assert!(pause <= SECOND / 4 + waited / 4 && pause <= SECOND * 4, "{pause:?} after {waited:?}");
            waited += pause;
        }
    }

    #[test]
    fn jitter_keeps_at_least_half_of_the_pause() {
        for attempt in 1..100 {
            let pause = POLICY.backoff.jittered().pause_after(attempt);
            let whole = POLICY.backoff.pause_after(attempt);
            assert!(pause >= whole / 2 && pause <= whole && whole <= SECOND * 3, "{pause:?} of {whole:?}");
        }
        assert_eq!(POLICY.backoff.pause_after(u32::MAX), SECOND * 3);
    }
}
