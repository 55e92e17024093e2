//! The servers around a cloud: a mirror of cloud images, runner releases, runners, scripts, and a forward proxy. All of
//! them serve fixed things and can be made to misbehave like the cloud itself.

mod github;
pub mod http;
mod loopback;
mod proxy;
mod rate;
mod release;
mod signing;
mod site;

pub use github::GITHUB_TOKEN;
pub use loopback::own_address;
pub use proxy::Proxy;
pub use release::runner_tarball;
pub use site::{ReleasedTool, Site, SiteSetup, YQ};
