//! runner-image-builder: a Juju machine charm that keeps a fresh, tested GitHub Actions runner image in every
//! OpenStack project related to it.

pub mod deadline;
pub mod http;
pub mod openstack_cloud;
pub mod secret;
