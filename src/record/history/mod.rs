//! What was asked for and what came of it, for people: the last jobs, in files of which hooks write some and the worker
//! the others. Nothing is decided by them but what is owed. Words are kept as text and unknown fields are passed over, so that
//! the version before and the one after read the same file.

mod asked;
mod boots;
mod changed;
mod ending;
mod found;
mod logged;
mod past;
mod totals;

pub use self::asked::{Asked, AskedFor};
pub use self::boots::{Boot, Boots, SlowBoot};
pub use self::found::{Found, Unneeded};
pub use self::logged::take_unlogged;
pub use self::past::{Delivered, History, PastBuild, PastFailure, PastJob};
pub use self::totals::{BOUNDS, Count, Durations, Totals};

/// How many jobs are remembered.
const MANY: usize = 50;

/// The format that this version writes.
const FORMAT: u32 = 1;

/// Keeps the newest of a list whose oldest come first.
fn keep_newest<T>(list: &mut Vec<T>) {
    list.drain(..list.len().saturating_sub(MANY));
}
