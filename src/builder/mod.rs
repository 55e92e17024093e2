//! Building images (seed `builder`): the host set up for it, what is to be built, the job that does it, and what came
//! of it. Runs without Juju: the worker and the command line call it, hooks only leave requests.
//!
//! | seed's name | here |
//! |---|---|
//! | `initialize`, `upgrade_app` | [`initialize`], [`upgrade_app`] |
//! | `install_clouds_yaml`, `configure_cron` | [`install_clouds_yaml`], [`configure_cron`] |
//! | `run`, `get_latest_image` | [`run`](fn@run), [`get_latest_image`] |
//! | `BuildConfig`, `BuildResult`, `BuilderInitConfig`, `BuilderRunConfig` | the types of the same names |
//! | `GetLatestImageConfig`, `GetLatestImageResult` | the types of the same names |
//! | `BuilderSetupError`, `BuilderRunError`, `GetLatestImageError`, `UpgradeApplicationError` | the types of the same names |

mod adoption;
mod aside;
mod base_image;
mod build_state;
mod clouds_yaml;
mod config;
mod connect;
mod cron;
mod delivery;
mod external;
mod fingerprint;
mod former_names;
#[cfg(test)]
mod hostile;
mod identity;
mod image_name;
mod job;
mod jobs;
mod journal;
mod labels;
mod latest;
mod launch;
mod leave;
mod ledger;
mod leftovers;
mod local;
mod metrics;
mod metrics_socket;
mod outcome;
mod overdue;
mod packages;
mod peers;
mod place;
mod plan;
mod process;
mod progress;
mod projects;
mod prune;
mod published;
mod releases;
mod removal;
mod reporter;
mod resource;
mod run;
mod run_context;
mod script;
mod setup;
mod side_by_side;
mod site;
mod source;
mod standing;
mod sweep;
mod take_over;
mod transit;
mod user_data;
mod verify;
mod vm;
mod worker;

pub use aside::put_aside;
pub use clouds_yaml::{
    Clouds, CloudsYamlError, cloud_name, former_cloud_name, install_clouds_yaml, is_same_user,
    read_clouds_file, read_clouds_yaml, related_cloud_name,
};
pub use config::{
    BaseImageSource, BuildConfig, BuildMode, BuildResult, BuildSecrets, BuilderRunConfig, BuilderVm,
    CloudName, JobId, Owner, ProxyConfig, RunnerSource,
};
pub use cron::{Schedule, configure_cron};
pub use former_names::FormerNames;
pub use image_name::{IMAGE_NAME_TMPL, image_name};
pub use job::{Reason, Rebuild, Request, Task, TaskKind, worker_lives};
pub use jobs::Jobs;
pub use journal::{Build, Failure, Image, Job, Journal, JournalError, Phase, Remedy, Timestamp};
pub use latest::{GetLatestImageConfig, GetLatestImageError, GetLatestImageResult, get_latest_image};
pub use launch::{
    Launch, LaunchOrder, LaunchSecrets, LaunchState, LauncherError, Server, launch, launcher_lives,
    launcher_log, tend,
};
pub use leftovers::{Leftovers, Work};
pub use local::ByHand;
pub use metrics::{MetricsError, answer_collector, metrics};
pub use metrics_socket::{METRICS_PORT, MetricsSocketError, close_metrics_socket, open_metrics_socket};
pub use overdue::worker_gets_on;
pub use packages::PackageError;
pub use peers::{Announcement, Own, Peer, Peers};
pub use process::{StartError, start_worker, stop_worker};
pub use progress::Progress;
pub use published::Published;
pub use removal::{RemovalError, departs, note_departure, remove_cloud_resources, remove_host_files};
pub use resource::{Resource, ResourceKind};
pub use run::{BuilderRunError, run};
pub use run_context::RunContext;
pub use setup::{
    BuilderInitConfig, BuilderSetupError, UpgradeApplicationError, check_owner, initialize,
    install_dependencies, upgrade_app,
};
pub use standing::{OpenFailure, Standing};
pub use sweep::Extent;
pub use worker::{WorkerError, work, work_externally, worker_log};

/// The user that Ubuntu's cloud images have, and that runs the runner (seed `builder`: `UBUNTU_USER`).
pub const UBUNTU_USER: &str = crate::instance::RUNNER_USER;

/// The host's packages that building stands on (seed `builder`: `APT_DEPENDENCIES`). The keyring of Ubuntu's cloud images
/// (`ubuntu-keyring`) is part of every Ubuntu machine.
pub const APT_DEPENDENCIES: [&str; 5] = ["cron", "gpgv", "logrotate", "openssh-client", "xz-utils"];

/// What building on the host itself stands on besides.
pub const LOCAL_BUILD_DEPENDENCIES: [&str; 3] = ["e2fsprogs", "fdisk", "qemu-utils"];
