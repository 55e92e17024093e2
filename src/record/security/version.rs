//! Which of two versions of a Debian package is the newer one (Debian Policy, 5.6.12). The crate for it, `debversion`, brings
//! four others, and takes `1.` and `1.0` for different versions, which they are not to dpkg.

use std::cmp::Ordering;

/// Whether `version` is newer than `than`.
pub fn is_newer_version(version: &str, than: &str) -> bool {
    compare(version, than) == Ordering::Greater
}

fn compare(one: &str, other: &str) -> Ordering {
    let ((epoch, upstream, revision), (other_epoch, other_upstream, other_revision)) =
        (parts(one), parts(other));
    numbers(epoch, other_epoch)
        .then_with(|| words(upstream, other_upstream))
        .then_with(|| words(revision, other_revision))
}

/// Epoch, upstream version and revision; empty where a version has none, which counts as 0.
fn parts(version: &str) -> (&[u8], &[u8], &[u8]) {
    let (epoch, rest) = version.split_once(':').unwrap_or(("", version));
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
    (epoch.as_bytes(), upstream.as_bytes(), revision.as_bytes())
}

/// Compares by turns what is no digit and what is a number.
fn words(mut one: &[u8], mut other: &[u8]) -> Ordering {
    while !one.is_empty() || !other.is_empty() {
        let is_digit = |byte: &u8| byte.is_ascii_digit();
        let (text, other_text) =
            (split(&mut one, |byte| !is_digit(byte)), split(&mut other, |byte| !is_digit(byte)));
        let (number, other_number) = (split(&mut one, is_digit), split(&mut other, is_digit));
        let order = texts(text, other_text).then_with(|| numbers(number, other_number));
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

/// Takes the beginning of which each byte `belongs`.
fn split<'a>(bytes: &mut &'a [u8], belongs: impl Fn(&u8) -> bool) -> &'a [u8] {
    let length = bytes.iter().position(|byte| !belongs(byte)).unwrap_or(bytes.len());
    let (beginning, rest) = bytes.split_at(length);
    *bytes = rest;
    beginning
}

/// A tilde is before the end, the end before letters, and letters before all else.
fn texts(one: &[u8], other: &[u8]) -> Ordering {
    let weight = |byte: Option<&u8>| match byte {
        Some(b'~') => -1,
        None => 0,
        Some(byte) if byte.is_ascii_alphabetic() => i32::from(*byte),
        Some(byte) => i32::from(*byte) + 256,
    };
    let mut orders =
        (0..one.len().max(other.len())).map(|at| weight(one.get(at)).cmp(&weight(other.get(at))));
    orders.find(|order| *order != Ordering::Equal).unwrap_or(Ordering::Equal)
}

/// Compares numbers of any length.
fn numbers(one: &[u8], other: &[u8]) -> Ordering {
    let (one, other) = (without_zeros(one), without_zeros(other));
    one.len().cmp(&other.len()).then_with(|| one.cmp(other))
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == b'0').count();
    &number[zeros..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_in_the_order_of_debian_policy_and_of_ubuntus_archive() {
        // Each is older than the next.
        for chain in [
            &["~~", "~~a", "~", "", "a"][..],
            &[
                "1.0~beta1~svn1245",
                "1.0~beta1",
                "1.0",
                "1.0-0ubuntu1",
                "1.0-1",
                "1.0a-1",
                "1.0+x-1",
                "1.0.1-1",
                "1.1-1",
            ],
            &[
                "1.2-9",
                "1.9-1",
                "1.10-1",
                "1.10-1ubuntu0.1",
                "1.10-1ubuntu0.2",
                "1.10-1ubuntu0.10",
                "1.10-1ubuntu1",
            ],
            &["9999-1", "1:0.1-1", "1:9.6p1-3ubuntu13.5", "1:9.6p1-3ubuntu13.14", "2:1"],
            &["3.0.13-0ubuntu3.5", "3.0.13-0ubuntu3.6", "3.0.13-0ubuntu4"],
            &["6.8.0-31.31", "6.8.0-88.89", "6.8.0-100.1"],
            &["2.4.1-1", "2.4.1a-b-1", "2.4.1+dfsg-1", "2.4.1+really2.3-1", "2.4.2-1"],
            &["1.0-1~22.04.1", "1.0-1~24.04.1", "1.0-1"],
            &["99999999999999999998", "99999999999999999999", "100000000000000000000"],
        ] {
            for (at, older) in chain.iter().enumerate() {
                for newer in &chain[at + 1..] {
                    assert!(is_newer_version(newer, older), "{newer} is newer than {older}");
                    assert!(!is_newer_version(older, newer), "{older} is older than {newer}");
                }
                assert!(!is_newer_version(older, older));
            }
        }
    }

    #[test]
    fn what_is_not_written_is_zero() {
        for (one, other) in [
            ("0:1.0-1", "1.0-1"),
            ("1.0", "1.0-0"),
            ("1.", "1.0"),
            ("1.a", "1.a0"),
            ("1.01-1", "1.1-01"),
            ("00:1", "1"),
            ("", "0"),
        ] {
            assert_eq!(compare(one, other), Ordering::Equal, "{one} {other}");
            assert_eq!(compare(other, one), Ordering::Equal, "{other} {one}");
        }
    }
}
