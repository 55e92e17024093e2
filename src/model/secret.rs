//! Values that must not be seen: passwords, tokens, script secrets, proxy URLs with credentials.
//!
//! A [`Secret`] has no `Display` and a `Debug` that says nothing, so it cannot slip into a log line, an error
//! or a status. Whoever needs the value says so with [`Secret::expose`]; that word is what a reviewer looks for.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use super::printable::printable_line;

/// A value that never shows itself. Serialised only where a type opts in field by field.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Wraps `value`.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself, for the one place that must have it (a request body, a file of mode 0600, a pipe).
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Values that other programs may repeat to us, longest first.
static KNOWN: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Shorter values are too common in ordinary text to be taken out of it.
const SHORTEST: usize = 4;

/// What stands in the place of a value.
const REDACTED: &str = "[redacted]";

/// Makes `secret` known to [`redacted`], for as long as the process lives. For secrets that are handed to programs
/// whose output ends in our logs: the external script above all.
pub fn redact_from_now_on(secret: &Secret<String>) {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    // A program may repeat one line of a value of many.
    for value in std::iter::once(secret.expose().as_str()).chain(secret.expose().lines()) {
        if value.len() >= SHORTEST && !known.iter().any(|other| other == value) {
            known.push(value.to_owned());
        }
    }
    known.sort_by_key(|value| std::cmp::Reverse(value.len()));
}

/// `text` as one line of a log or a terminal: without the values that are known to be secret, and printable.
pub fn shown(text: &str) -> String {
    printable_line(&redacted(text)).into_owned()
}

/// `text` without the values that are known to be secret. Everything that a program said passes here before it is
/// logged, stored or shown.
pub fn redacted(text: &str) -> String {
    let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.iter().fold(text.to_owned(), |text, value| text.replace(value.as_str(), REDACTED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_repeats_of_a_secret_is_taken_out() {
        redact_from_now_on(&Secret::new("first-line-of-it\nsecond-line-of-it".into()));
        assert_eq!(redacted("x first-line-of-it y second-line-of-it"), "x [redacted] y [redacted]");
    }

    #[test]
    fn debug_shows_nothing_of_the_value() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(..)");
    }
}
