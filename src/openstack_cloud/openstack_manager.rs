//! What a runner charm does with OpenStack and GitHub together (seed `openstack_manager`): an image that has the runner
//! application, and servers that become runners.
//!
//! | seed's name | here |
//! |---|---|
//! | `create_instance_config`, `create_instance` | [`create_instance_config`], [`create_instance`] |
//! | `InstanceConfig`, `ProxyConfig`, `ProxyStringValues`, `SSHDebugConnection` | [`InstanceConfig`], [`ProxyConfig`], [`ProxyStringValues`], [`SshDebugConnection`] |
//! | `OpenstackInstanceLaunchError` | [`OpenstackInstanceLaunchError`] |
//!
//! It knows no journal and no labels: who calls says how things are marked ([`LaunchSite`]) and writes down what is made.

mod create_instance;
mod instance_config;
mod proxies;
mod ssh_debug;
mod templates;

pub use create_instance::{LaunchNotes, LaunchSite, OpenstackInstanceLaunchError, create_instance, remove};
pub use instance_config::{InstanceConfig, OS_VERSION, create_instance_config};
pub use proxies::{ProxyConfig, ProxyStringValues};
pub use ssh_debug::{Fingerprint, SshDebugConnection};
pub use templates::{MachineFile, TemplateError, docker_files};
