//! Images that the leader has announced, looked at with our own eyes before any relation names them: there, active, the
//! application's own, and of the announced bytes.

use std::collections::BTreeMap;
use std::time::Duration;

use super::clouds_yaml::read_clouds_yaml;
use super::config::{BuildSecrets, CloudName, Owner};
use super::connect::http_client;
use super::journal::{Failure, Image};
use super::labels;
use super::progress::Progress;
use super::side_by_side::side_by_side;
use crate::deadline::Deadline;
use crate::host::Host;
use crate::http::HttpClient;
use crate::openstack_cloud::{Cloud, CloudConfig, OpenStackError};
use crate::target::Target;

/// How long one cloud may take.
const LIMIT: Duration = Duration::from_secs(300);

/// An announced image cannot be taken over.
#[derive(Debug, thiserror::Error)]
enum TakeOverError {
    /// The cloud did not tell.
    #[error(transparent)]
    Cloud(#[from] OpenStackError),
    /// It is not what the leader says.
    #[error("checking announced image {id}: {problem}; the last one stays published")]
    Refused {
        /// The image.
        id: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// Checks each of `images` in its cloud and tells `progress` of those that are good. Returns what went wrong.
pub fn take_over(
    host: &Host,
    secrets: &BuildSecrets,
    owner: &Owner,
    images: &[Image],
    progress: &dyn Progress,
) -> Vec<Failure> {
    let (http, clouds) = match (http_client(secrets), read_clouds_yaml(host)) {
        (Ok(http), Ok(clouds)) => (http, clouds),
        (Err(refused), _) => return vec![refused],
        (_, Err(error)) => return vec![Failure::of(&error, false)],
    };
    let mut by_cloud: BTreeMap<&CloudName, Vec<&Image>> = BTreeMap::new();
    for image in images {
        by_cloud.entry(&image.result.config.cloud_name).or_default().push(image);
    }
    let by_cloud: Vec<_> = by_cloud.into_iter().collect();
    let failures = side_by_side(&by_cloud, |(name, images)| match clouds.get(*name) {
        // Its relation has gone since; nobody asks for its images any more.
        None => Vec::new(),
        Some(config) => in_cloud(&http, config, owner, images, progress),
    });
    let failures = failures.into_iter().zip(&by_cloud).flat_map(|(failures, (name, _))| {
        failures.into_iter().map(|failure| Failure { cloud: Some((*name).clone()), ..failure })
    });
    failures.inspect(|failure| log::error!("{}", failure.message)).collect()
}

fn in_cloud(
    http: &HttpClient,
    config: &CloudConfig,
    owner: &Owner,
    images: &[&Image],
    progress: &dyn Progress,
) -> Vec<Failure> {
    let deadline = Deadline::after(LIMIT);
    let cloud = match Cloud::connect(config, http, deadline) {
        Ok(cloud) => cloud,
        Err(error) => return vec![Failure::of(&error, error.operator_must_act())],
    };
    let mut failures = Vec::new();
    for image in images {
        match check(&cloud, owner, image, deadline) {
            Ok(()) => progress.published((*image).clone()),
            Err(error) => {
                let place = &image.result.config;
                let target = Some(Target { base: place.base, arch: place.arch });
                failures.push(Failure { target, ..Failure::of(&error, false) });
            }
        }
    }
    failures
}

fn check(cloud: &Cloud, owner: &Owner, image: &Image, deadline: Deadline) -> Result<(), TakeOverError> {
    let found = cloud.images().get(&image.result.id, deadline)?;
    let refused = |problem| Err(TakeOverError::Refused { id: image.result.id.to_string(), problem });
    match found {
        None => refused("its cloud has no such image"),
        Some(found) if !labels::is_published(owner, &cloud.project_id().to_string(), &found) => {
            refused("it is not an active image of this application")
        }
        Some(found) if found.hash != image.hash => refused("it has other bytes than the leader delivered"),
        Some(_) => Ok(()),
    }
}
