//! Images built on this very machine: a real disk image, real packages from a local repository, the product's own
//! binary. Needs root, loop devices, and a minute for the first image; `make test-local-build` runs it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says what it expects")]

mod base_images;
mod by_hand;
mod delivery;
#[path = "../builds/fixture.rs"]
#[allow(dead_code, unused_imports, reason = "it is shared with other tests")]
mod fixture;
mod images;
mod kills;
mod refusals;
mod verification;
mod workbench;
