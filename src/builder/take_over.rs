//! Images that the leader has announced, looked at with our own eyes before any relation names them: there, active, the
//! application's own, and of the announced bytes.

use std::collections::BTreeMap;
use std::time::Duration;

use super::clouds_yaml::read_clouds_yaml;
use super::config::{BuildSecrets, CloudName, Owner};
use super::connect::{http_client, in_each};
use super::journal::{Failure, Image};
use super::labels;
use super::progress::Progress;
use crate::deadline::Deadline;
use crate::host::Host;
use crate::openstack_cloud::{Cloud, OpenStackError};
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
    // Of what is in a cloud whose relation has gone since nobody asks any more.
    by_cloud.retain(|name, _| clouds.contains_key(*name));
    let names: Vec<&CloudName> = by_cloud.keys().copied().collect();
    let deadline = Deadline::after(LIMIT);
    let failures = in_each(&clouds, &names, &http, deadline, |name, connection| {
        let failures = match connection {
            Ok(cloud) => in_cloud(&cloud, owner, &by_cloud[name], progress, deadline),
            Err(error) => vec![Failure::of(&error, error.operator_must_act())],
        };
        let of_it = failures.into_iter().map(|failure| Failure { cloud: Some(name.clone()), ..failure });
        of_it.inspect(|failure| log::error!("{failure}")).collect::<Vec<_>>()
    });
    failures.into_iter().flatten().collect()
}

fn in_cloud(
    cloud: &Cloud,
    owner: &Owner,
    images: &[&Image],
    progress: &dyn Progress,
    deadline: Deadline,
) -> Vec<Failure> {
    let mut failures = Vec::new();
    for image in images {
        match check(cloud, owner, image, deadline) {
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
