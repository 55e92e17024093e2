//! What the agent promises, shown with charms that are shell scripts.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod charm;
mod config;
mod hooks;
mod machine;
mod relations;
mod secrets;
mod tools;
mod turns;
