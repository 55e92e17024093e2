//! A base image in the build cloud, to boot builder VMs from.

use std::time::{Duration, Instant};

use sha2::Sha256;

use super::{BaseImageError, Opened, UpstreamImage, open};
use crate::builder::ownership::description;
use crate::builder::ownership::labels::{self, DIGEST, Stage};
use crate::host::random_uuid;
use crate::http::HttpClient;
use crate::model::{Deadline, Digesting, Elapsed, Metered, Target};
use crate::openstack_cloud::{Cloud, ImageChange, ImageId, ImageStatus, NewImage};
use crate::record::{CloudName, JobId, Owner, Resource, ResourceKind, ResourceTracker};

/// The build cloud's copies of base images.
pub struct BaseImages<'a> {
    /// The build cloud.
    pub cloud: &'a Cloud,
    /// Its name.
    pub cloud_name: &'a CloudName,
    /// The door to the web.
    pub http: &'a HttpClient,
    /// Whose the copies are.
    pub owner: &'a Owner,
    /// The job that needs them.
    pub job: &'a JobId,
    /// Where a copy is noted, and the target that it is for.
    pub tracker: ResourceTracker<'a>,
}

impl BaseImages<'_> {
    /// Brings the offered image to the build cloud, unless it is there; returns its id. Copies of older offers go.
    pub fn ensure(&self, offer: &UpstreamImage, deadline: Deadline) -> Result<ImageId, BaseImageError> {
        let name = base_image_name(&self.owner.application, self.tracker.target);
        let present = labels::images(self.cloud, self.owner, Stage::Base, Some(&name), deadline)?;
        let is_good = |image: &&crate::openstack_cloud::Image| {
            image.status == ImageStatus::Active && image.properties.get(DIGEST) == Some(&offer.sha256)
        };
        let id = match present.iter().find(is_good) {
            Some(image) => image.id.clone(),
            None => self.upload(&name, offer, deadline)?,
        };
        // What another unit is just bringing stays.
        let is_old = |image: &&crate::openstack_cloud::Image| {
            let of_another_offer = image.properties.get(DIGEST).is_some_and(|digest| *digest != offer.sha256);
            image.id != id && (of_another_offer || labels::is_abandoned(self.owner, image))
        };
        for old in present.iter().filter(is_old) {
            match self.cloud.images().delete(&old.id, deadline) {
                Ok(_) => log::info!("base image {} ({name}) deleted: replaced by {id}", old.id),
                Err(error) => log::warn!("an old base image could not be deleted: {error}"),
            }
        }
        Ok(id)
    }

    fn upload(
        &self,
        name: &str,
        offer: &UpstreamImage,
        deadline: Deadline,
    ) -> Result<ImageId, BaseImageError> {
        let target = self.tracker.target;
        log::info!("{target}: copying base image {} to the build cloud", offer.url);
        let Ok(id) = random_uuid().parse::<ImageId>() else {
            return Err(BaseImageError::Fetch {
                url: offer.url.clone(),
                problem: "generating an image ID failed".into(),
            });
        };
        let mut properties = labels::of_image(self.owner, self.job, Stage::Base, &id);
        properties.insert("architecture".into(), target.arch.glance().into());
        let image = NewImage {
            id: Some(id.clone()),
            name: name.to_owned(),
            disk_format: "qcow2".into(),
            container_format: "bare".into(),
            min_disk: 0,
            min_ram: 0,
            properties,
        };
        let noted = Resource {
            kind: ResourceKind::BaseImage,
            cloud: self.cloud_name.clone(),
            name: name.to_owned(),
            id: Some(id.to_string()),
            revision: None,
        };
        self.tracker.makes(&noted)?;
        let (images, began) = (self.cloud.images(), Instant::now());
        let created = images.create(&image, deadline).map_err(BaseImageError::from);
        let result = created.and_then(|_| transfer(self.cloud, self.http, &id, (offer, target), deadline));
        self.tracker.conclude(&images, &id, &noted, &result);
        result.map(|()| {
            log::info!("{target}: base image {id} is in the build cloud after {}", Elapsed::since(began));
            id
        })
    }
}

/// The name of an application's copy of a base image.
pub fn base_image_name(application: &str, target: Target) -> String {
    format!("{application}-image-builder-base-{target}")
}

/// One pass over the bytes: read, digested, sent. The image counts as checked once its digest is noted on it.
fn transfer(
    cloud: &Cloud,
    http: &HttpClient,
    id: &ImageId,
    (offer, target): (&UpstreamImage, Target),
    deadline: Deadline,
) -> Result<(), BaseImageError> {
    let Opened { reader, size, .. } =
        open(http, &offer.url, 0, deadline).map_err(|error| error.at(&offer.url))?;
    let mut reader = Digesting::<_, Sha256>::new(Metered::new(reader, "copying the base image", size));
    let images = cloud.images();
    images.upload(id, size, &mut reader, deadline)?;
    let found = reader.hex();
    if found != offer.sha256 {
        let (url, promised) = (offer.url.clone(), offer.sha256.clone());
        return Err(BaseImageError::Digest { url, found, promised });
    }
    images.wait_until_active(id, deadline.at_most(Duration::from_secs(1800)))?;
    let checked = vec![ImageChange::Add(DIGEST.into(), found.into())];
    description::update(&images, id, checked, description::properties(target, None), deadline)?;
    Ok(())
}
