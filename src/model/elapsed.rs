//! A duration as people read it.

use std::fmt;
use std::time::{Duration, Instant};

/// `12 s`, `4 min 12 s`, `2 h 5 min`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed(pub Duration);

impl Elapsed {
    /// The time since `began`.
    pub fn since(began: Instant) -> Self {
        Self(began.elapsed())
    }

    /// So many seconds.
    pub fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs() {
            seconds @ 0..60 => write!(f, "{seconds} s"),
            seconds @ 60..3600 => write!(f, "{} min {} s", seconds / 60, seconds % 60),
            seconds => write!(f, "{} h {} min", seconds / 3600, seconds / 60 % 60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_its_two_largest_units() {
        for (seconds, words) in [(0, "0 s"), (59, "59 s"), (252, "4 min 12 s"), (7505, "2 h 5 min")] {
            assert_eq!(Elapsed::seconds(seconds).to_string(), words);
        }
    }
}
