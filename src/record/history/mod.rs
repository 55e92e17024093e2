//! What was asked for and what came of it, for people: the last jobs, in two files of which hooks write one and the worker
//! the other. Nothing is decided by them but what is owed. Words are kept as text and unknown fields are passed over, so that
//! the version before and the one after read the same file.

mod asked;
mod found;
mod past;

pub use self::asked::{Asked, AskedFor};
pub use self::found::{Found, Unneeded};
pub use self::past::{Delivered, History, PastBuild, PastFailure, PastJob};

/// How many jobs are remembered.
const MANY: usize = 50;

/// The format that this version writes.
const FORMAT: u32 = 1;

/// Keeps the newest of a list whose oldest come first.
fn keep_newest<T>(list: &mut Vec<T>) {
    list.drain(..list.len().saturating_sub(MANY));
}
