//! What goes: orphans, old revisions, and what is left in clouds that are not used any more.

pub mod adoption;
mod all_images;
pub mod leave;
pub mod memberships;
pub mod prepared;
pub mod prune;
pub mod python_charm;
pub mod sweep;
pub mod unneeded;
