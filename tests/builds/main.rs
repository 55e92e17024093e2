//! Whole builds against the embedded OpenStack, through hooks, worker, real HTTP and real ssh: what becomes of images,
//! relations and leftovers when all goes well and when something goes wrong.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says what it expects")]

mod away;
mod boot;
mod checks;
mod clouds;
mod deleted;
mod delivery;
mod departed;
mod end_to_end;
mod failures;
mod fixture;
mod github;
mod images;
mod levers;
mod logs;
mod manifest;
mod memberships;
mod migration;
mod neighbours;
mod orders;
mod ownership;
mod prepared;
mod provenance;
mod recipe;
mod recovery;
mod regions;
mod releases;
#[path = "../scenario/mod.rs"]
#[allow(dead_code, reason = "it is shared with the real cloud's test")]
mod scenario;
mod security;
mod shared;
mod sharing;
mod targets;
mod tenants;
mod unchanged;
mod units;
mod verification;

use fixture::deployed;
