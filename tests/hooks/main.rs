//! What hooks promise, seen from outside: the charm's binary is run by an agent as Juju runs it, on a machine below a
//! temporary folder, beside a cloud that never answers. Builds that succeed are shown elsewhere, with a cloud that does.
//!
//! `RUNNER_IMAGE_BUILDER_CHARM=target/charm` tests an unpacked charm instead of the binary that cargo has just built.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod actions;
mod application_credential;
mod aside;
mod budget;
mod cloud;
mod commands;
mod configuration;
mod credentials;
mod deploy;
mod failures;
mod flood;
mod foreign;
mod host_files;
mod jobs;
mod life;
mod log;
mod machine;
mod observability;
mod peers;
mod publishing;
mod refresh;
mod related;
mod removal;
mod runner;
mod secrecy;
mod secrets;
mod signing;
mod status;
mod worker;
