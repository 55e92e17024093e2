//! What is written on the unit's disk by one process and read by others: hooks write requests and what databags say,
//! the worker writes the journal, the launcher writes its notes. Each write is atomic.

mod check;
mod file;
mod history;
mod journal;
mod launch;
mod levers;
mod manifest;
mod orphans;
mod progress;
mod relations;
mod request;
mod resource;
mod resource_tracker;
mod run_config;
mod transit;
mod upstream;

pub use check::{Check, CheckOrder, Finding, Findings, Scope, Verdict};
pub use file::{RecordError, write_json};
pub use history::{
    Asked, AskedFor, BOUNDS, Count, Delivered, Durations, Found, History, PastBuild, PastFailure, PastJob,
    Totals, Unneeded, take_unlogged,
};
pub use journal::aside::{put_aside, put_aside_locked};
pub use journal::build_state::{Build, DeliveredImage, Failure, Job, Phase, Remedy, Sent};
pub use journal::evidence::{Comparison, Contents, Copy, FAILED_READS, Known, Proof, Revision};
pub use journal::membership::Membership;
pub use journal::phases::{ImpossibleTransition, Took};
pub use journal::standing::{OpenFailure, Standing};
pub use journal::{Image, Journal};
pub use launch::{Launch, LaunchOrder, LaunchSecrets, LaunchState, Server, forget_unfinished};
pub use levers::{Choice, Levers, Pin, Revocation};
pub use manifest::{BaseImageOrigin, Change, Changes, Component, Difference, MANIFEST_PATH, Manifest};
pub use orphans::{Orphans, Work};
pub use progress::Progress;
pub use relations::{Announcement, FormerNames, Heard, LastHook, Own, Peer, Peers, Published, Told};
pub use request::{Reason, Rebuild, Request, Settings, Task, TaskKind, worker_lives, worker_lock};
pub use resource::{Resource, ResourceKind};
pub use resource_tracker::ResourceTracker;
pub use run_config::{
    BaseImageSource, BuildConfig, BuildMode, BuildResult, BuildSecrets, BuilderRunConfig, BuilderVm,
    CloudName, Delivery, ImageFormat, JobId, Owner, ProxyConfig, RunnerSource,
};
pub use upstream::{Acceptance, Answered, Offer, Upstream, Validator, WARNING};
