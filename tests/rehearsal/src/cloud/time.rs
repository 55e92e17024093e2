//! Timestamps as the services write them, in UTC, without a calendar library.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment, kept to the microsecond and shown in the ways of the services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp(u64);

impl From<SystemTime> for Stamp {
    fn from(at: SystemTime) -> Self {
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }
}

impl Stamp {
    /// Now.
    pub fn now() -> Self {
        SystemTime::now().into()
    }

    /// The moment that much later.
    pub fn after(self, later: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(later.as_micros()).unwrap_or(u64::MAX)))
    }

    /// Whole seconds since the epoch.
    pub fn seconds(self) -> u64 {
        self.0 / 1_000_000
    }

    /// `2026-11-22T01:36:54Z`
    pub fn iso(self) -> String {
        format!("{}Z", self.date_time())
    }

    /// `2026-11-22T01:36:54.000000`, Nova's launched_at.
    pub fn micros(self) -> String {
        format!("{}.000000", self.date_time())
    }

    /// `2026-11-22T01:36:54.000000Z`, Keystone's.
    pub fn micros_zulu(self) -> String {
        format!("{}Z", self.micros())
    }

    fn date_time(self) -> String {
        let seconds = self.seconds();
        let (days, rest) = (seconds / 86_400, seconds % 86_400);
        let (year, month, day) = civil(days);
        format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60)
    }
}

/// The date that many days after 1 January 1970: years start in March, so that leap days come last.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right_around_leap_days() {
        let at = |seconds: u64| Stamp(seconds * 1_000_000).iso();
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(at(1_795_311_414), "2026-11-22T01:36:54Z");
    }
}
