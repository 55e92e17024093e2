//! The clouds of a run, by the credentials in clouds.yaml.

use std::collections::BTreeMap;
use std::time::Duration;

use super::clouds_yaml::read_clouds_yaml;
use super::config::{BuildSecrets, BuilderRunConfig, CloudName};
use super::journal::Failure;
use super::outcome::Outcome;
use super::side_by_side::side_by_side;
use crate::deadline::Deadline;
use crate::host::Host;
use crate::http::HttpClient;
use crate::openstack_cloud::Cloud;

/// How long one cloud may take.
const LIMIT: Duration = Duration::from_secs(120);

/// The door to the web, through the model's proxies.
pub fn http_client(secrets: &BuildSecrets) -> Result<HttpClient, Failure> {
    Ok(HttpClient::new(secrets.proxies.resolved().map_err(|error| Failure::of(&error, true))?))
}

/// Connects to the build cloud and to the related clouds, side by side; one that does not answer is a failure of its
/// own and holds up no other.
pub fn connect(
    host: &Host,
    config: &BuilderRunConfig,
    http: &HttpClient,
    outcome: &Outcome,
    deadline: Deadline,
) -> BTreeMap<CloudName, Cloud> {
    let known = match read_clouds_yaml(host) {
        Ok(known) => known,
        Err(error) => {
            outcome.fail(Failure::of(&error, false));
            return BTreeMap::new();
        }
    };
    // The build cloud last: its failure is the one that the run ends with.
    let related = config.clouds.iter().filter(|name| **name != config.build_cloud);
    let names: Vec<&CloudName> = related.chain([&config.build_cloud]).collect();
    let connections = side_by_side(&names, |name| match known.get(*name) {
        None => Err(Failure::of(&"its credentials are no longer in clouds.yaml", false)),
        Some(cloud) => Cloud::connect(cloud, http, deadline.at_most(LIMIT))
            .map_err(|error| Failure::of(&error, error.operator_must_act())),
    });
    let mut clouds = BTreeMap::new();
    for (name, connection) in names.into_iter().zip(connections) {
        match connection {
            Ok(cloud) => drop(clouds.insert(name.clone(), cloud)),
            Err(failure) => outcome.fail(Failure { cloud: Some(name.clone()), ..failure }),
        }
    }
    clouds
}
