//! One image to many projects: what each lacks, one read of the build project that serves all, and what is kept there.

pub mod distribution;
pub mod outcome;
pub mod publisher;
pub mod queue;
pub mod revisions;
pub mod sharing;
pub mod source;
pub mod window;
pub mod yielding;
