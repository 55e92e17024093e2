//! A point in time after which waiting is an error. Every wait in this crate takes one.

use std::time::{Duration, Instant};

/// A moment on the monotonic clock (steps of the wall clock do not move it).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// The moment `after` from now.
    pub fn after(after: Duration) -> Self {
        Instant::now().checked_add(after).map_or_else(Self::never, Self)
    }

    /// A century from now: for the one who has said that he wants no limit.
    pub fn never() -> Self {
        Self(Instant::now() + Duration::from_secs(100 * 365 * 24 * 3600))
    }

    /// What is left, zero once it has passed.
    pub fn remaining(self) -> Duration {
        self.remaining_at(Instant::now())
    }

    /// What is left at `now`.
    pub(super) fn remaining_at(self, now: Instant) -> Duration {
        self.0.saturating_duration_since(now)
    }

    /// Whether it has passed.
    pub fn passed(self) -> bool {
        self.remaining().is_zero()
    }

    /// The earlier of this deadline and the moment `after` from now: a step's own limit within a whole's.
    pub fn at_most(self, after: Duration) -> Self {
        self.min(Self::after(after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_never_outlives_the_whole() {
        let whole = Deadline::after(Duration::from_millis(50));
        assert!(whole.at_most(Duration::from_secs(3600)).remaining() <= Duration::from_millis(50));
        assert!(Deadline::after(Duration::ZERO).passed());
    }
}
