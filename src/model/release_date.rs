//! The dates by which Ubuntu's cloud images are released.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// When cloud images were released, as their folders are named: `20261115`, or `20261115.1` for the second of that day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ReleaseDate {
    text: String,
    day: Timestamp,
}

/// Text that names no [`ReleaseDate`].
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0:?} is not a release date such as 20261115 or 20261115.1")]
pub struct NotAReleaseDate(String);

impl ReleaseDate {
    /// The first moment of that day, in UTC.
    pub fn day(&self) -> Timestamp {
        self.day
    }
}

impl FromStr for ReleaseDate {
    type Err = NotAReleaseDate;

    fn from_str(text: &str) -> Result<Self, NotAReleaseDate> {
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let (date, count) = text.split_once('.').unwrap_or((text, "0"));
        let day = match (date.get(..4), date.get(4..6), date.get(6..)) {
            (Some(year), Some(month), Some(day)) if date.len() == 8 && is_number(date) => {
                Timestamp::of_rfc3339(&format!("{year}-{month}-{day}T00:00:00Z"))
            }
            _ => None,
        };
        let day = day.filter(|_| is_number(count) && count.len() <= 3);
        match day {
            Some(day) => Ok(Self { text: text.to_owned(), day }),
            None => Err(NotAReleaseDate(text.chars().take(40).collect())),
        }
    }
}

impl TryFrom<String> for ReleaseDate {
    type Error = NotAReleaseDate;

    fn try_from(text: String) -> Result<Self, NotAReleaseDate> {
        text.parse()
    }
}

impl From<ReleaseDate> for String {
    fn from(date: ReleaseDate) -> Self {
        date.text
    }
}

impl fmt::Display for ReleaseDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_folder_of_releases_may_be_named_is_a_date() {
        for good in ["20261115", "20261115.1", "20240229"] {
            let date: ReleaseDate = good.parse().unwrap();
            assert_eq!(date.to_string(), good);
        }
        let day = "20261115.1".parse::<ReleaseDate>().unwrap().day();
        assert_eq!(day.to_string(), "2026-11-15T00:00:00Z");
        for bad in
            ["", "2026115", "20261315", "20250229", "20261115.", "20261115./..", "current", "2026\u{e4}115"]
        {
            assert!(bad.parse::<ReleaseDate>().is_err(), "{bad}");
        }
    }
}
