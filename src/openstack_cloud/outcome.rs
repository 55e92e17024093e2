//! Answers that other clients treat as errors.

use serde::{Deserialize, Deserializer};

use super::error::{ErrorKind, OpenStackError};

/// A field that may be null where a value is usual, and that nothing depends on.
pub(super) fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    field: D,
) -> Result<T, D::Error> {
    Option::deserialize(field).map(Option::unwrap_or_default)
}

/// What became of something that was to be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// It is deleted, or its deletion has begun.
    Deleted,
    /// It was not there.
    Absent,
    /// Something still uses it; the service's words say what.
    InUse(String),
}

impl Deletion {
    /// Whether nothing is left of it.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Deleted | Self::Absent)
    }
}

/// An answer that something is not there, as an answer.
pub(super) fn absent_as_none<T>(result: Result<T, OpenStackError>) -> Result<Option<T>, OpenStackError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What became of something that was to be deleted.
pub(super) fn deletion(result: Result<(), OpenStackError>) -> Result<Deletion, OpenStackError> {
    match result {
        Ok(()) => Ok(Deletion::Deleted),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Deletion::Absent),
        Err(error) if error.kind() == ErrorKind::Conflict => Ok(Deletion::InUse(error.message().to_owned())),
        Err(error) => Err(error),
    }
}
