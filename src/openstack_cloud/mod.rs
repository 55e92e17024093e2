//! An OpenStack cloud as far as this charm uses one: images, servers, and the network around them.
//!
//! [`Cloud::connect`] gives a session; [`Cloud::images`], [`Cloud::compute`] and [`Cloud::network`] are its
//! services. Each method is one call of the OpenStack API (its doc names it as the API reference does) or waits
//! for the effect of one, and takes the deadline of its caller. Only [`openstack_manager`] knows what the objects are for.

mod catalog;
mod compute;
mod error;
mod ids;
mod image;
mod keystone;
mod listing;
mod network;
pub mod openstack_manager;
mod outcome;
mod project_key;
mod session;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use catalog::{Interface, NotAnInterface};
pub use compute::limits::Limits;
pub use compute::placement::{Need, PlacementError, Wish, choose_flavor, find_flavor};
pub use compute::server_details::{Address, AddressKind, Server, ServerStatus};
pub use compute::{Compute, Flavor, MetadataSource, NewServer};
pub use error::{ErrorKind, OpenStackError};
pub use ids::{
    FlavorId, ImageId, NetworkId, NotAnId, ProjectId, SecurityGroupId, ServerId, SubnetId, UserId,
};
pub use image::image_details::{Hidden, Image, ImageStatus, Visibility};
pub use image::members::MemberStatus;
pub use image::{ImageChange, ImageFilter, Images, NewImage};
pub use keystone::CloudConfig;
pub use network::choice::choose_network;
pub use network::{
    EtherType, Network, NetworkService, NewRule, Protocol, SecurityGroup, SecurityGroupRule, Subnet,
};
pub use outcome::Deletion;
pub use project_key::ProjectKey;

use crate::http::HttpClient;
use crate::model::{Deadline, Timestamp};
use catalog::Service;
use session::Session;

/// What servers a cloud is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Servers {
    /// None: it only gets images.
    None,
    /// Builder VMs.
    Builders,
}

/// A cloud that accepted our credentials. Cheap to clone; clones share one token, and threads may share it.
#[derive(Clone, Debug)]
pub struct Cloud {
    session: Arc<Session>,
}

impl Cloud {
    /// Authenticates with user and password for the configured project (Identity API: "Password authentication
    /// with scoped authorization"), or with an application credential for its own. Fails with [`ErrorKind::Credentials`] when Keystone refuses them.
    pub fn connect(
        config: &CloudConfig,
        http: &HttpClient,
        deadline: Deadline,
    ) -> Result<Self, OpenStackError> {
        Ok(Self { session: Arc::new(Session::open(config, http, deadline)?) })
    }

    /// Authenticates as another user, for another project, at the Keystone of this connection, whose addresses and
    /// certificates count: of `config` only who that user is. Images are where this connection has them, whatever the
    /// user's catalog says.
    pub fn connect_beside(&self, config: &CloudConfig, deadline: Deadline) -> Result<Self, OpenStackError> {
        Ok(Self { session: Arc::new(self.session.beside(config, deadline)?) })
    }

    /// Whether `config` means the region of this connection: by naming it, or none.
    pub fn is_in_region_of(&self, config: &CloudConfig) -> bool {
        let regions = (self.session.region_name(), config.region_name.as_deref());
        !matches!(regions, (Some(one), Some(two)) if one != two)
    }

    /// The project that is worked in.
    pub fn project_id(&self) -> ProjectId {
        self.session.project()
    }

    /// What tells the project from all others.
    pub fn project_key(&self) -> ProjectKey {
        self.session.project_key()
    }

    /// The project by its name, for people.
    pub fn project_name(&self) -> &str {
        self.session.project_name()
    }

    /// Whether two connections lead to one project in one region, whatever the users and the addresses.
    pub fn is_same_project(&self, other: &Self) -> bool {
        // A catalog without regions has only one.
        let regions = (self.session.region_name(), other.session.region_name());
        let is_same_region = !matches!(regions, (Some(one), Some(two)) if one != two);
        self.project_id() == other.project_id() && is_same_region
    }

    /// The user as whom we work.
    pub fn user_id(&self) -> UserId {
        self.session.user()
    }

    /// Whether the catalog has images, and, for a cloud with `servers`, servers and networks. Asks nobody.
    pub fn has_services(&self, servers: Servers) -> Result<(), OpenStackError> {
        let needed: &[Service] = match servers {
            Servers::None => &[Service::Image],
            Servers::Builders => &[Service::Image, Service::Compute, Service::Network],
        };
        needed.iter().try_for_each(|service| self.session.serves(*service))
    }

    /// What the cloud's clock said when it gave the last token, and ours at that moment; none where it does not say.
    pub fn clocks(&self) -> Option<(Timestamp, Timestamp)> {
        self.session.clocks()
    }

    /// Images (Glance).
    pub fn images(&self) -> Images<'_> {
        Images::new(&self.session)
    }

    /// Flavors and servers (Nova).
    pub fn compute(&self) -> Compute<'_> {
        Compute::new(&self.session)
    }

    /// Networks and security groups (Neutron).
    pub fn network(&self) -> NetworkService<'_> {
        NetworkService::new(&self.session)
    }
}
