//! Values that must not be seen: passwords, tokens, script secrets, proxy URLs with credentials.
//!
//! A [`Secret`] has no `Display` and a `Debug` that says nothing, so it cannot slip into a log line, an error
//! or a status. Whoever needs the value says so with [`Secret::expose`]; that word is what a reviewer looks for.

use std::fmt;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing_of_the_value() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(..)");
    }
}
