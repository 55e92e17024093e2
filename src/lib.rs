//! runner-image-builder: a Juju machine charm that keeps a fresh, tested GitHub Actions runner image in every
//! OpenStack project related to it.

pub mod deadline;
pub mod host;
pub mod juju;
pub mod secret;
pub mod target;
