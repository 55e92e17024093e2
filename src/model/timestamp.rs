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
        let seconds = i64::try_from(self.0).unwrap_or(i64::MAX);
        jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX).strftime("%FT%TZ").fmt(f)
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

    /// The moment that an RFC 3339 text names, in UTC when the text names no offset, as OpenStack's do now and then. None
    /// for other texts and for times before the epoch.
    pub fn of_rfc3339(text: &str) -> Option<Self> {
        let moment = text.parse::<jiff::Timestamp>().or_else(|_| {
            let local: jiff::civil::DateTime = text.parse()?;
            jiff::tz::TimeZone::UTC.to_timestamp(local)
        });
        u64::try_from(moment.ok()?.as_second()).ok().map(Self)
    }

    /// The moment that an HTTP date names: `Sun, 06 Nov 1994 08:49:37 GMT`.
    pub fn of_http_date(text: &str) -> Option<Self> {
        let moment = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
        u64::try_from(moment.as_second()).ok().map(Self)
    }

    /// `2026-05-01`, in UTC.
    pub fn date(self) -> String {
        let mut text = self.to_string();
        text.truncate(text.find('T').unwrap_or(text.len()));
        text
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
            assert_eq!(Timestamp(seconds).date(), text[..10]);
        }
    }

    #[test]
    fn servers_write_the_same_moment_in_several_ways() {
        let moment = Some(Timestamp(784_111_777));
        assert_eq!(Timestamp::of_http_date("Sun, 06 Nov 1994 08:49:37 GMT"), moment);
        for text in ["1994-11-06T08:49:37Z", "1994-11-06T08:49:37.000000Z", "1994-11-06T08:49:37.000000"] {
            assert_eq!(Timestamp::of_rfc3339(text), moment, "{text}");
        }
    }

    #[test]
    fn nonsense_is_not_a_moment() {
        let nonsense = [
            "",
            "soon",
            "Sun, 06 Foo 1994 08:49:37 GMT",
            "Sun, 99 Nov 1994 08:49:37 GMT",
            "1960-01-01T00:00:00Z",
        ];
        for text in nonsense {
            assert_eq!(Timestamp::of_http_date(text), None, "{text}");
            assert_eq!(Timestamp::of_rfc3339(text), None, "{text}");
        }
    }
}
