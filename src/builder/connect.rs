//! The clouds of a run, by the credentials in clouds.yaml.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::time::Duration;

use super::clouds_yaml::{Clouds, read_clouds_yaml};
use super::config::{BuildSecrets, BuilderRunConfig, CloudName};
use super::journal::Failure;
use super::outcome::Outcome;
use crate::deadline::Deadline;
use crate::host::Host;
use crate::http::HttpClient;
use crate::openstack_cloud::{Cloud, OpenStackError};

/// How long one cloud may take.
const LIMIT: Duration = Duration::from_secs(120);

/// A cloud could not be connected to.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Whatever named it is gone.
    #[error("its credentials are no longer in clouds.yaml")]
    Forgotten,
    /// It did not answer, or refused.
    #[error(transparent)]
    Cloud(#[from] OpenStackError),
}

impl ConnectError {
    /// Whether time alone will not mend it.
    pub fn operator_must_act(&self) -> bool {
        matches!(self, Self::Cloud(error) if error.operator_must_act())
    }
}

/// The door to the web, through the model's proxies.
pub fn http_client(secrets: &BuildSecrets) -> Result<HttpClient, Failure> {
    Ok(HttpClient::new(secrets.proxies.resolved().map_err(|error| Failure::of(&error, true))?))
}

/// Connects to each of these clouds, each within `deadline`, and does `work` with what came of it, side by side: one that
/// hangs uses up the time of no other. The results come in the order of the names.
pub fn in_each<T: Send>(
    known: &Clouds,
    names: &[&CloudName],
    http: &HttpClient,
    deadline: Deadline,
    work: impl Fn(&CloudName, Result<Cloud, ConnectError>) -> T + Sync,
) -> Vec<T> {
    let connect = |name: &CloudName| match known.get(name) {
        None => Err(ConnectError::Forgotten),
        Some(config) => Ok(Cloud::connect(config, http, deadline)?),
    };
    let visit = |name: &CloudName| work(name, connect(name));
    let visit = &visit;
    std::thread::scope(|scope| {
        let visits: Vec<_> = names.iter().map(|name| scope.spawn(move || visit(name))).collect();
        visits.into_iter().map(|visit| visit.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    })
}

/// Does `work` in each of these clouds side by side: one that hangs uses up the time of no other. The results come in the
/// order of the clouds.
pub fn visit_each<'c, T: Send>(
    clouds: impl IntoIterator<Item = (&'c CloudName, &'c Cloud)>,
    work: impl Fn(&'c CloudName, &'c Cloud) -> T + Sync,
) -> Vec<T> {
    let work = &work;
    std::thread::scope(|scope| {
        let clouds = clouds.into_iter();
        let visits: Vec<_> = clouds.map(|(name, cloud)| scope.spawn(move || work(name, cloud))).collect();
        visits.into_iter().map(|visit| visit.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    })
}

/// Connects to the build cloud and to the related clouds; one that does not answer is a failure of its own.
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
    let connections = in_each(&known, &names, http, deadline.at_most(LIMIT), |_, connection| connection);
    let mut clouds = BTreeMap::new();
    for (name, connection) in names.into_iter().zip(connections) {
        match connection {
            Ok(cloud) => drop(clouds.insert(name.clone(), cloud)),
            Err(error) => {
                let failure = Failure::of(&error, error.operator_must_act());
                outcome.fail(Failure { cloud: Some(name.clone()), ..failure });
            }
        }
    }
    clouds
}
