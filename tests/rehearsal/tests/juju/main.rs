//! `juju` of a kept rehearsal, driven as an operator drives it, with charms that are shell scripts.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod crossmodel;
mod kept;
mod life;
mod played;
mod relations;
mod secrets;
mod tasks;
mod words;
