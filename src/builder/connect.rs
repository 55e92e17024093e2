//! The clouds of a run, by the credentials in clouds.yaml.

use std::panic::resume_unwind;

use super::clouds_yaml::Clouds;
use super::config::{BuildSecrets, CloudName};
use super::journal::Failure;
use crate::deadline::Deadline;
use crate::http::HttpClient;
use crate::openstack_cloud::{Cloud, OpenStackError};

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
