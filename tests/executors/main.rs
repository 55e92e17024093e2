//! What every executor promises, seen on each of them. A new one gets a file like `ssh.rs` beside this one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says what it expects")]

#[macro_use]
mod promises;
mod chroot;
mod command;
mod local;
mod ssh;
mod sshd;
