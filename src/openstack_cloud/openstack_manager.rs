//! What a runner charm does with OpenStack and GitHub together (seed `openstack_manager`): an image that has the runner
//! application, and servers that become runners.
//!
//! | seed's name | here |
//! |---|---|
//! | `build_image`, `create_instance_config`, `create_instance` | [`build_image`](fn@build_image), [`create_instance_config`], [`create_instance`](fn@create_instance) |
//! | `BuildImageConfig`, `OpenstackImageBuildError`, `ImageDeleteError` | [`BuildImageConfig`], [`OpenstackImageBuildError`], [`ImageDeleteError`] |
//! | `IMAGE_PATH_TMPL`, `IMAGE_NAME`, `BUILD_OPENSTACK_IMAGE_SCRIPT_FILENAME` | the constants of the same names |
//! | `GithubClient`, `GithubOrg`, `GithubRepo` | those of [`crate::github`] |
//! | `Arch`, `BaseImage` | those of [`crate::model`] |
//! | `InstanceConfig`, `ProxyConfig`, `ProxyStringValues`, `SSHDebugConnection` | [`InstanceConfig`], [`ProxyConfig`], [`ProxyStringValues`], [`SshDebugConnection`] |
//! | `OpenstackInstanceLaunchError` | [`OpenstackInstanceLaunchError`] |
//!
//! It knows no journal, no labels and no machine: who calls says how things are marked, writes down what is made, and
//! builds disk images ([`LaunchSite`], [`BuildSite`]).

mod build_image;
mod create_instance;
mod instance_config;
mod proxies;
mod ssh_debug;
mod templates;

pub use build_image::{
    BuildImageConfig, BuildSite, DiskImageBuilder, ImageDeleteError, OpenstackImageBuildError, build_image,
};
pub use create_instance::{LaunchNotes, LaunchSite, OpenstackInstanceLaunchError, create_instance, remove};
pub use instance_config::{InstanceConfig, OS_VERSION, create_instance_config};
pub use proxies::{ProxyConfig, ProxyStringValues};
pub use ssh_debug::{Fingerprint, SshDebugConnection};
pub use templates::{MachineFile, TemplateError, docker_files};

/// The file that an image is built into (seed `openstack_manager`: `IMAGE_PATH_TMPL`).
pub const IMAGE_PATH_TMPL: &str = "{base}-server-cloudimg-{architecture}-compressed.img";

/// The name of the images of [`build_image`](fn@build_image) (seed `openstack_manager`: `IMAGE_NAME`).
pub const IMAGE_NAME: &str = "github-runner-image";

/// The script, in the charm's folder, that does by hand what [`build_image`](fn@build_image) does (seed `openstack_manager`:
/// `BUILD_OPENSTACK_IMAGE_SCRIPT_FILENAME`).
pub const BUILD_OPENSTACK_IMAGE_SCRIPT_FILENAME: &str = "scripts/build-openstack-image.sh";
