//! The newest images that a cloud has of ours.

use std::time::Duration;

use super::clouds_yaml::{CloudsYamlError, read_clouds_yaml};
use super::connect::door;
use super::names::entry;
use crate::builder::ownership::labels::{self, Stage};
use crate::host::Host;
use crate::http::HttpClient;
use crate::model::{Arch, BaseImage, Deadline, Target};
use crate::openstack_cloud::{Cloud, Image, ImageId, ImageStatus, OpenStackError};
use crate::record::{CloudName, Journal, Owner, RecordError};

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
    /// What was delivered to it is not known.
    #[error("looking for the latest images: {0}")]
    Journal(#[from] RecordError),
}

/// Fetches the latest images (seed `builder`: `get_latest_image`): for each base the image that was delivered last to the
/// cloud's project, if it is there, active, and nothing says that its bytes are others. What else is there, whatever its
/// labels, is somebody else's. Bases without one are left out.
pub fn get_latest_image(
    host: &Host,
    http: &HttpClient,
    arch: Arch,
    bases: impl IntoIterator<Item = BaseImage>,
    cloud_name: &CloudName,
) -> Result<Vec<GetLatestImageResult>, GetLatestImageError> {
    let deadline = Deadline::after(LIMIT);
    let clouds = read_clouds_yaml(host)?;
    let config = entry(&clouds, cloud_name)
        .ok_or_else(|| CloudsYamlError::UnknownCloud(cloud_name.as_str().to_owned()))?;
    let cloud = Cloud::connect(config, &door(&clouds, cloud_name, http), deadline)?;
    let journal = Journal::load(host)?;
    let mut results = Vec::new();
    for base in bases {
        let Some(image) = journal.image(Target { base, arch }, cloud_name) else { continue };
        let found = cloud.images().get(&image.result.id, deadline)?;
        let is_good = |found: &Image| match journal.proof_of(image) {
            Some(proof) if image.is_shared() => proof.holds(found),
            Some(proof) => proof.holds_for(found, &cloud.project_id()),
            None => found.status == ImageStatus::Active && found.owner.as_ref() == Some(&cloud.project_id()),
        };
        if found.is_some_and(|found| is_good(&found)) {
            let config = GetLatestImageConfig { arch, base, cloud_name: cloud_name.clone() };
            results.push(GetLatestImageResult { id: image.result.id.clone(), config });
        }
    }
    Ok(results)
}

/// The published, active images of a target in a cloud, newest first.
pub fn published(
    cloud: &Cloud,
    owner: &Owner,
    target: Target,
    deadline: Deadline,
) -> Result<Vec<Image>, OpenStackError> {
    let name = crate::model::image_name(&owner.application, target);
    let deadline = deadline.at_most(LIST_LIMIT);
    let mut images = labels::images(cloud, owner, Stage::Published, Some(&name), deadline)?;
    images.retain(|image| image.status == ImageStatus::Active);
    Ok(images)
}
