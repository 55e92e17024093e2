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

mod backend;
mod build;
mod by_hand;
mod check;
pub mod clouds;
mod cron;
pub mod delivery;
mod fingerprint;
pub mod image;
mod lane;
pub mod ownership;
mod plan;
mod releases;
mod run;
mod run_context;
mod script;
mod setup;
mod side_by_side;
pub mod upkeep;

pub use by_hand::ByHand;
pub use check::check;
pub use clouds::clouds_yaml::{CloudsYamlError, install_clouds_yaml, read_clouds_file, read_clouds_yaml};
pub use clouds::connect::{door, http_client, in_each};
pub use clouds::latest::{GetLatestImageConfig, GetLatestImageError, GetLatestImageResult, get_latest_image};
pub use clouds::names::{
    Clouds, cloud_name, entry, former_cloud_name, former_name, former_names, inherit_connection,
    is_same_user, project_digest, related_cloud_name,
};
pub use clouds::personal::read_cloud;
pub use cron::{CRON_FILE, Schedule, configure_cron};
pub use image::base_image::PIN_AGE;
pub use image::format::wanted_format;
pub use image::vm::UBUNTU_USER;
pub use releases::{News, look};
pub use run::{BuilderRunError, clean_up, deliver_chosen, run, search};
pub use run_context::{RunContext, Sweep};
pub use setup::packages::PackageError;
pub use setup::python_charm::remove_python_charm;
pub use setup::{
    BuilderInitConfig, BuilderSetupError, LOGROTATE_FILE, UpgradeApplicationError, check_owner, initialize,
    install_build_tools, install_dependencies, remove_old_binaries, upgrade_app, worker_binary_dir,
};
pub use upkeep::prune::prune_all;
pub use upkeep::python_charm;
pub use upkeep::sweep::{Extent, Keep, sweep_cloud};

pub use crate::model::{IMAGE_NAME_TMPL, image_name};
pub use crate::record::{BuildConfig, BuildResult, BuilderRunConfig};

/// The host's packages that building stands on (seed `builder`: `APT_DEPENDENCIES`). The keyring of Ubuntu's cloud images
/// (`ubuntu-keyring`) is part of every Ubuntu machine.
pub const APT_DEPENDENCIES: [&str; 5] = ["cron", "gpgv", "logrotate", "openssh-client", "xz-utils"];

/// What building on the host itself stands on besides.
pub const LOCAL_BUILD_DEPENDENCIES: [&str; 3] = ["e2fsprogs", "fdisk", "qemu-utils"];

/// What converting base images to raw stands on besides.
pub const CONVERSION_DEPENDENCIES: [&str; 1] = ["qemu-utils"];
