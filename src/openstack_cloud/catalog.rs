//! Keystone's catalog: where a cloud's services are.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::error::{ErrorKind, OpenStackError};
use super::outcome::or_default;
use crate::http::Url;

/// Which of a service's addresses is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interface {
    /// The one for everybody.
    #[default]
    Public,
    /// The one inside the cloud's own network.
    Internal,
    /// The one for administrators.
    Admin,
}

impl Interface {
    const fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Internal => "internal",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Text that names no [`Interface`].
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0:?} is not one of public, internal, admin")]
pub struct NotAnInterface(String);

impl FromStr for Interface {
    type Err = NotAnInterface;

    fn from_str(text: &str) -> Result<Self, NotAnInterface> {
        [Self::Public, Self::Internal, Self::Admin]
            .into_iter()
            .find(|interface| interface.name() == text)
            .ok_or_else(|| NotAnInterface(text.chars().take(40).collect()))
    }
}

/// The services that are called, beside Keystone. Their types have no aliases in the service types authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    Image,
    Compute,
    Network,
}

impl Service {
    const fn service_type(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Compute => "compute",
            Self::Network => "network",
        }
    }

    /// The version that is spoken, as it stands in addresses.
    const fn version(self) -> &'static str {
        match self {
            Self::Image => "v2",
            Self::Compute => "v2.1",
            Self::Network => "v2.0",
        }
    }
}

/// The catalog of a token.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Catalog(Vec<Entry>);

#[derive(Debug, Deserialize)]
struct Entry {
    #[serde(rename = "type", default, deserialize_with = "or_default")]
    service_type: String,
    #[serde(default, deserialize_with = "or_default")]
    endpoints: Vec<Endpoint>,
}

#[derive(Debug, Deserialize)]
struct Endpoint {
    #[serde(default, deserialize_with = "or_default")]
    interface: String,
    region_id: Option<String>,
    region: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    url: String,
}

impl Endpoint {
    fn region(&self) -> Option<&str> {
        self.region_id.as_deref().or(self.region.as_deref())
    }
}

impl Catalog {
    /// The regions that have Glance, in the catalog's order: without a region of its own, a client works in the first.
    pub(super) fn regions(&self, interface: Interface) -> Vec<&str> {
        let mut regions = Vec::new();
        for region in self.endpoints(Service::Image, interface).filter_map(Endpoint::region) {
            if !regions.contains(&region) {
                regions.push(region);
            }
        }
        regions
    }

    fn endpoints(&self, service: Service, interface: Interface) -> impl Iterator<Item = &Endpoint> {
        let entries = self.0.iter().filter(move |entry| entry.service_type == service.service_type());
        let endpoints = entries.flat_map(|entry| &entry.endpoints);
        endpoints.filter(move |endpoint| endpoint.interface == interface.name())
    }

    /// The address of `service`, ending in the version that is spoken. Without a region the first is used.
    pub(super) fn endpoint(
        &self,
        service: Service,
        interface: Interface,
        region: Option<&str>,
    ) -> Result<Url, OpenStackError> {
        let name = service.service_type();
        let refused = |message: String| {
            let operation = format!("looking for the {name} service in the cloud's catalog");
            OpenStackError::new(ErrorKind::Configuration, operation, message)
        };
        let all: Vec<&Endpoint> = self.endpoints(service, interface).collect();
        if all.is_empty() {
            return Err(refused(format!(
                "there is none with the interface {interface}; check openstack-interface"
            )));
        }
        let regions: BTreeSet<&str> = all.iter().filter_map(|endpoint| endpoint.region()).collect();
        let chosen = match region {
            Some(region) => {
                all.iter().find(|endpoint| endpoint.region() == Some(region)).ok_or_else(|| {
                    let list = regions.iter().copied().collect::<Vec<_>>().join(", ");
                    refused(format!(
                        "there is none in region {region:?}; name one of: {list} (option openstack-region-name, or \
                         region_name in the relation)"
                    ))
                })?
            }
            None => all.first().ok_or_else(|| refused("there is none".to_owned()))?,
        };
        versioned(service, &chosen.url).map_err(|error| refused(error.to_string()))
    }
}

/// The address with the version that is spoken in place of whatever version it has, and with what follows a
/// version (Nova's project).
fn versioned(service: Service, address: &str) -> Result<Url, crate::http::HttpError> {
    let url: Url = address.parse()?;
    let mut parts: Vec<&str> = url.path().split('/').filter(|part| !part.is_empty()).collect();
    match parts.iter_mut().rev().find(|part| is_version(part)) {
        Some(version) => *version = service.version(),
        None => parts.push(service.version()),
    }
    format!("{}/{}", url.origin(), parts.join("/")).parse()
}

fn is_version(part: &str) -> bool {
    let number = part.strip_prefix('v').unwrap_or_default();
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog(endpoints: &[(&str, &str, &str)]) -> Catalog {
        let endpoints: Vec<_> = endpoints
            .iter()
            .map(|(interface, region, url)| {
                serde_json::json!({"interface": interface, "region": region, "region_id": region, "url": url})
            })
            .collect();
        serde_json::from_value(serde_json::json!([
            {"type": "identity", "endpoints": []},
            {"type": "image", "endpoints": endpoints},
        ]))
        .unwrap()
    }

    #[test]
    fn addresses_are_understood_with_and_without_a_version() {
        for (service, address, wanted) in [
            (Service::Image, "http://x:9292", "http://x:9292/v2"),
            (Service::Image, "http://x:9292/", "http://x:9292/v2"),
            (Service::Image, "http://x:9292/v2", "http://x:9292/v2"),
            (Service::Image, "http://x/image/v2.3/", "http://x/image/v2"),
            (Service::Image, "https://x/image", "https://x/image/v2"),
            (Service::Network, "http://x:9696", "http://x:9696/v2.0"),
            (Service::Network, "http://x:9696/v2.0/", "http://x:9696/v2.0"),
            (Service::Compute, "http://x:8774", "http://x:8774/v2.1"),
            (Service::Compute, "http://x:8774/v2.1/", "http://x:8774/v2.1"),
            (Service::Compute, "http://x:8774/v2.1/0123abc", "http://x:8774/v2.1/0123abc"),
            (Service::Compute, "http://x/compute/v2/0123abc", "http://x/compute/v2.1/0123abc"),
        ] {
            assert_eq!(versioned(service, address).unwrap().to_string(), wanted);
        }
    }

    #[test]
    fn the_wanted_interface_and_region_are_chosen() {
        let catalog = catalog(&[
            ("public", "One", "http://one"),
            ("internal", "One", "http://inner"),
            ("public", "Two", "http://two"),
        ]);
        let choose = |interface, region| catalog.endpoint(Service::Image, interface, region);
        assert_eq!(choose(Interface::Public, Some("Two")).unwrap().to_string(), "http://two/v2");
        assert_eq!(choose(Interface::Internal, None).unwrap().to_string(), "http://inner/v2");
        assert_eq!(choose(Interface::Public, None).unwrap().to_string(), "http://one/v2");
        assert_eq!(catalog.regions(Interface::Public), ["One", "Two"]);
        let unknown = choose(Interface::Public, Some("one")).unwrap_err();
        assert_eq!(unknown.kind(), ErrorKind::Configuration);
        let unknown = unknown.to_string();
        assert!(unknown.contains("\"one\"") && unknown.contains("One, Two"), "{unknown}");
        let admin = choose(Interface::Admin, None).unwrap_err().to_string();
        assert!(admin.contains("openstack-interface"), "{admin}");
        assert!(catalog.endpoint(Service::Compute, Interface::Public, None).is_err());
    }
}
