//! What the services of one cloud share: identity, regions, and where everything listens.

use std::sync::{Arc, Mutex, OnceLock};

use serde_json::{Value, json};

use super::identity::{Identity, Token, hex_id};
use super::quirks::nameless;
use super::region::Region;
use super::setup::CloudSetup;
use crate::instance::Hypervisor;
use crate::lock;
use crate::servers::http::{Faults, Request};

/// How a service's URL in the catalog comes from its region.
type UrlOf = fn(&Region) -> String;

/// The heart of a cloud.
pub(super) struct Core {
    pub setup: CloudSetup,
    pub identity: Mutex<Identity>,
    pub regions: Vec<Arc<Region>>,
    pub faults: Arc<Faults>,
    pub hypervisor: Hypervisor,
    pub keystone_url: OnceLock<String>,
    endpoint_ids: Vec<String>,
}

impl Core {
    pub fn new(
        setup: CloudSetup,
        identity: Identity,
        regions: Vec<Arc<Region>>,
        faults: Arc<Faults>,
        hypervisor: Hypervisor,
    ) -> Self {
        let endpoints = 4 * setup.regions.len() * setup.interfaces.len() + 4;
        Self {
            identity: Mutex::new(identity),
            endpoint_ids: (0..endpoints).map(|_| hex_id()).collect(),
            keystone_url: OnceLock::new(),
            setup,
            regions,
            faults,
            hypervisor,
        }
    }

    /// Keystone's URL, with its version.
    pub fn auth_url(&self) -> String {
        format!("{}/v3", self.keystone_url.get().map_or("", String::as_str))
    }

    /// The token that a request carries, while it is good and for a project.
    pub fn caller(&self, request: &Request<'_>) -> Option<Token> {
        let id = request.header("x-auth-token")?;
        lock(&self.identity).token(id).filter(|token| token.project.is_some())
    }

    /// The service catalog.
    pub fn catalog(&self) -> Value {
        let services: [(&str, &str, UrlOf); 3] = [
            ("compute", "nova", |region| format!("{}/v2.1", region.url("nova"))),
            ("image", "glance", |region| region.url("glance")),
            ("network", "neutron", |region| region.url("neutron")),
        ];
        let mut ids = self.endpoint_ids.iter();
        let lacks_glance = |region: &Region| self.setup.without_glance.contains(&region.name);
        let mut endpoints_of = |kind: &str, url: &dyn Fn(&Region) -> String| -> Vec<Value> {
            let mut endpoints = Vec::new();
            for region in self.regions.iter().filter(|region| kind != "image" || !lacks_glance(region)) {
                for interface in &self.setup.interfaces {
                    endpoints
                        .push(json!({"id": ids.next(), "interface": interface, "region_id": region.name,
                        "region": region.name, "url": url(region)}));
                }
            }
            endpoints
        };
        let mut catalog = vec![json!({"type": "identity", "name": "keystone",
            "endpoints": endpoints_of("identity", &|_| self.auth_url())})];
        for (kind, name, url) in services {
            catalog.push(json!({"type": kind, "name": name, "endpoints": endpoints_of(kind, &url)}));
        }
        for (entry, id) in catalog.iter_mut().zip(self.endpoint_ids.iter().rev()) {
            entry["id"] = json!(id);
        }
        if self.setup.quirks.nulls {
            catalog.push(nameless());
        }
        Value::Array(catalog)
    }
}
