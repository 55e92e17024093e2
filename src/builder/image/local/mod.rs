//! Images built on this machine, without a builder VM: a copy of the base image is mounted, set up in a chroot, and
//! packed.

mod build;
mod workspace;

pub use build::{LocalBuild, LocalImage};
pub use workspace::Workspace;
