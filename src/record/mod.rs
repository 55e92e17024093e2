//! What is written on the unit's disk by one process and read by others: hooks write requests and what databags say,
//! the worker writes the journal, the launcher writes its notes. Each write is atomic.

mod boot_times;
mod check;
mod file;
mod history;
mod journal;
mod launch;
mod levers;
mod manifest;
mod orphans;
mod progress;
mod provenance;
mod pruned;
mod relations;
mod request;
mod resource;
mod resource_tracker;
mod run_config;
mod security;
mod transit;
mod upstream;

pub use boot_times::{BootTimes, Seconds};
pub use check::{Check, CheckOrder, Finding, Findings, Scope, Verdict};
pub use file::{RecordError, write_json};
pub use history::{
    Asked, AskedFor, BOUNDS, Boot, Boots, Count, Delivered, Durations, Found, History, PastBuild,
    PastFailure, PastJob, SlowBoot, Totals, Unneeded, take_unlogged,
};
pub use journal::aside::{put_aside, put_aside_locked};
pub use journal::build_state::{Build, BuiltOn, DeliveredImage, Failure, Job, Phase, Remedy, Sent};
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
pub use provenance::{
    PAYLOAD_TYPE, PREDICATE_TYPE, Provenance, STATEMENT_TYPE, SigningKeys, prune_provenance, purl,
    sign_provenance, signed_provenance,
};
pub use pruned::Pruned;
pub use relations::{Announcement, FormerNames, Heard, LastHook, Own, Peer, Peers, Published, Told};
pub use request::{Reason, Rebuild, Request, Settings, Task, TaskKind, worker_lives, worker_lock};
pub use resource::{Resource, ResourceKind};
pub use resource_tracker::ResourceTracker;
pub use run_config::{
    BaseImageSource, BuildConfig, BuildMode, BuildResult, BuildSecrets, BuilderRunConfig, BuilderVm,
    CloudName, Delivery, ImageFormat, JobId, LocalVerification, Owner, PreparedImages, ProxyConfig,
    RebuildOn, RunnerSource, SecurityMirror,
};
pub use security::{
    Fix, ListedFile, OpenFix, PackageList, SecurityFixes, SecurityPocket, first_few, is_newer_version,
    list_of,
};
pub use upstream::{Acceptance, Answered, DueFix, Offer, Upstream, Validator, WARNING};
