//! The servers around a cloud: a mirror of cloud images, runner releases, scripts, and a forward proxy. All of
//! them serve fixed things and can be made to misbehave like the cloud itself.

pub mod http;
mod proxy;
mod release;
mod signing;
mod site;

pub use proxy::Proxy;
pub use release::runner_tarball;
pub use site::{ReleasedTool, Site, SiteSetup, YQ};
