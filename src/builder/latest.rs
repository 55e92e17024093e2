//! The newest images that a cloud has of ours.

use std::time::Duration;

use super::clouds_yaml::{CloudsYamlError, entry, read_clouds_yaml};
use super::config::{CloudName, Owner};
use super::connect::door;
use super::labels::{self, Stage};
use crate::deadline::Deadline;
use crate::host::Host;
use crate::http::HttpClient;
use crate::openstack_cloud::{Cloud, Image, ImageId, ImageStatus, OpenStackError};
use crate::target::{Arch, BaseImage, Target};

/// How long the search may take.
const LIMIT: Duration = Duration::from_secs(120);

/// How long one project may take to list its images of one target.
const LIST_LIMIT: Duration = Duration::from_secs(60);

/// Which image was asked for (seed `builder`: `GetLatestImageConfig`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetLatestImageConfig {
    /// The machine architecture.
    pub arch: Arch,
    /// The Ubuntu base.
    pub base: BaseImage,
    /// The cloud, by its name in clouds.yaml.
    pub cloud_name: CloudName,
}

/// The newest image (seed `builder`: `GetLatestImageResult`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetLatestImageResult {
    /// Its id.
    pub id: ImageId,
    /// What was asked for.
    pub config: GetLatestImageConfig,
}

/// The newest images could not be found (seed `builder`: `GetLatestImageError`).
#[derive(Debug, thiserror::Error)]
pub enum GetLatestImageError {
    /// The cloud is not known.
    #[error("looking for the latest images: {0}")]
    CloudsYaml(#[from] CloudsYamlError),
    /// The cloud did not tell.
    #[error("looking for the latest images: {0}")]
    Cloud(#[from] OpenStackError),
}

/// Fetches the latest images (seed `builder`: `get_latest_image`): for each base the newest image of `owner` in the
/// cloud's project that is active and was published. Bases without one are left out.
pub fn get_latest_image(
    host: &Host,
    http: &HttpClient,
    owner: &Owner,
    arch: Arch,
    bases: impl IntoIterator<Item = BaseImage>,
    cloud_name: &CloudName,
) -> Result<Vec<GetLatestImageResult>, GetLatestImageError> {
    let deadline = Deadline::after(LIMIT);
    let clouds = read_clouds_yaml(host)?;
    let config = entry(&clouds, cloud_name)
        .ok_or_else(|| CloudsYamlError::UnknownCloud(cloud_name.as_str().to_owned()))?;
    let cloud = Cloud::connect(config, &door(&clouds, cloud_name, http), deadline)?;
    let mut results = Vec::new();
    for base in bases {
        let newest = published(&cloud, owner, Target { base, arch }, deadline)?.into_iter().next();
        results.extend(newest.map(|image| GetLatestImageResult {
            id: image.id,
            config: GetLatestImageConfig { arch, base, cloud_name: cloud_name.clone() },
        }));
    }
    Ok(results)
}

/// The published, active images of a target in a cloud, newest first.
pub(super) fn published(
    cloud: &Cloud,
    owner: &Owner,
    target: Target,
    deadline: Deadline,
) -> Result<Vec<Image>, OpenStackError> {
    let name = super::image_name(&owner.application, target);
    let deadline = deadline.at_most(LIST_LIMIT);
    let mut images = labels::images(cloud, owner, Stage::Published, Some(&name), deadline)?;
    images.retain(|image| image.status == ImageStatus::Active);
    Ok(images)
}
