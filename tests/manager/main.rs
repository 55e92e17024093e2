//! Runners and images by hand (seed `openstack_manager`): what each function takes, gives and refuses, and what becomes of
//! runners that operators launch through the charm, on the embedded OpenStack and beside the embedded GitHub.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says what it expects")]

mod by_hand;
#[path = "../builds/fixture.rs"]
#[allow(dead_code, unused_imports, reason = "it is shared with other tests")]
mod fixture;
mod functions;
mod launches;
mod python_api;
