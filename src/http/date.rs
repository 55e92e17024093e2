//! The two ways in which servers write points in time.

/// Seconds since 1970 of an HTTP date as it is sent today: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(super) fn of_http(text: &str) -> Option<i64> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let mut words = text.split_once(", ")?.1.split(' ');
    let day = words.next()?.parse().ok()?;
    let month = i64::try_from(MONTHS.find(words.next()?)?).ok()? / 3 + 1;
    let year = words.next()?.parse().ok()?;
    seconds(year, month, day, words.next()?)
}

/// Seconds since 1970 of a time as OpenStack writes it: `2026-05-01T12:00:00.000000Z`, always in UTC.
pub fn of_rfc3339(text: &str) -> Option<i64> {
    let (date, clock) = text.trim_end_matches('Z').split_once('T')?;
    let mut parts = date.split('-').map(|part| part.parse().ok());
    seconds(parts.next()??, parts.next()??, parts.next()??, clock.split('.').next()?)
}

fn seconds(year: i64, month: i64, day: i64, clock: &str) -> Option<i64> {
    let mut parts = clock.split(':').map(|part| part.parse::<i64>().ok());
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    let sane = (1970..10_000).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..=60).contains(&second);
    sane.then(|| days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

/// Days since 1970-01-01 in the Gregorian calendar, counting years from March so that leap days come last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_name_the_same_moments() {
        assert_eq!(of_http("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(of_rfc3339("1994-11-06T08:49:37.000000Z"), Some(784_111_777));
        assert_eq!(of_rfc3339("1994-11-06T08:49:37Z"), Some(784_111_777));
        assert_eq!(of_rfc3339("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(of_rfc3339("2024-02-29T00:00:00Z"), Some(1_709_164_800));
        assert_eq!(of_rfc3339("2100-03-01T00:00:00Z"), Some(4_107_542_400));
    }

    #[test]
    fn nonsense_is_not_a_moment() {
        for text in
            ["", "soon", "Sun, 06 Foo 1994 08:49:37 GMT", "Sun, 99 Nov 1994 08:49:37 GMT", "Sun, 06 Nov"]
        {
            assert_eq!(of_http(text), None, "{text}");
            assert_eq!(of_rfc3339(text), None, "{text}");
        }
    }
}
