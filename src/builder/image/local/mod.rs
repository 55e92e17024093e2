//! Images built on this machine, without a builder VM: a copy of the base image, or of a prepared disk, is mounted, set up in
//! a chroot, and packed.

mod build;
mod prepared;
mod workspace;

pub use build::{LocalBuild, LocalBuildError, LocalImage};
pub use prepared::Preparation;
pub use workspace::Workspace;
