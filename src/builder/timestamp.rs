//! Moments on the wall clock, as the journal writes them.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Seconds since the epoch, written as `2026-05-01T12:00:00Z`. The wall clock may jump: ages are taken with care, never
/// trusted for safety.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(pub u64);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Days to a date of the Gregorian calendar, whose years begin in March and repeat every 400.
        let (days, seconds) = (self.0 / 86_400 + 719_468, self.0 % 86_400);
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = era * 400 + year_of_era + u64::from(month <= 2);
        let (hour, minute, second) = (seconds / 3600, seconds % 3600 / 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

impl From<Timestamp> for String {
    fn from(timestamp: Timestamp) -> Self {
        timestamp.to_string()
    }
}

impl TryFrom<String> for Timestamp {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::of_rfc3339(&text).ok_or("a time must look like 2026-05-01T12:00:00Z")
    }
}

impl Timestamp {
    /// The present moment.
    pub fn now() -> Self {
        Self(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
    }

    /// The moment that an RFC 3339 text names, none for other texts and for times before the epoch.
    pub fn of_rfc3339(text: &str) -> Option<Self> {
        crate::http::of_rfc3339(text).and_then(|seconds| u64::try_from(seconds).ok()).map(Self)
    }

    /// `14:15Z`, for a moment that is less than a day away.
    pub fn time_of_day(self) -> String {
        let minutes = self.0 / 60;
        format!("{:02}:{:02}Z", minutes / 60 % 24, minutes % 60)
    }

    /// The time since then; zero for a moment in the future.
    pub fn age(self) -> Duration {
        Duration::from_secs(Self::now().0.saturating_sub(self.0))
    }

    /// Whether this moment lies so far back. One in the future does too: the clock was wrong when it was noted.
    pub fn is_past(self, pause: Duration) -> bool {
        let now = Self::now();
        self > now || self.plus(pause) <= now
    }

    /// This moment and `more`.
    pub fn plus(self, more: Duration) -> Self {
        Self(self.0.saturating_add(more.as_secs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_people_read_it_and_read_back() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(Timestamp(seconds).to_string(), text);
            assert_eq!(Timestamp::of_rfc3339(text), Some(Timestamp(seconds)));
            assert_eq!(Timestamp(seconds).time_of_day(), format!("{}Z", &text[11..16]));
        }
    }
}
