//! A base image in the build cloud, to boot builder VMs from.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sha2::{Sha256, Sha512};

use super::{BaseImageError, Opened, UpstreamImage, open};
use crate::builder::image::format::Converter;
use crate::builder::ownership::description;
use crate::builder::ownership::labels::{self, DIGEST, Stage};
use crate::host::random_uuid;
use crate::http::HttpClient;
use crate::model::{Deadline, Digesting, DiskFormat, Elapsed, Metered, Target};
use crate::openstack_cloud::{Cloud, Image, ImageChange, ImageId, ImageStatus, NewImage};
use crate::record::{CloudName, Comparison, JobId, Owner, Proof, Resource, ResourceKind, ResourceTracker};

/// How long an image may take to be usable after its upload.
const SETTLE: Duration = Duration::from_secs(1800);
/// What is done meanwhile.
const COPYING: &str = "copying the base image";

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
    /// The format that copies are to have: none leaves those that are there, and makes new ones qcow2.
    pub format: Option<DiskFormat>,
    /// Whether it must be that; otherwise another does where there is trouble with it.
    pub is_required: bool,
    /// Makes raw images of what is offered, where these are wanted.
    pub converter: Option<&'a Converter>,
}

impl BaseImages<'_> {
    /// Brings the offered image to the build cloud, unless it is there; returns its id. Copies of older offers go, and those
    /// of another format.
    pub fn ensure(&self, offer: &UpstreamImage, deadline: Deadline) -> Result<ImageId, BaseImageError> {
        let name = base_image_name(&self.owner.application, self.tracker.target);
        let present = labels::images(self.cloud, self.owner, Stage::Base, Some(&name), deadline)?;
        let is_good = |image: &&Image| {
            image.status == ImageStatus::Active && image.properties.get(DIGEST) == Some(&offer.sha256)
        };
        let wanted = present.iter().filter(is_good).find(|image| self.is_wanted(image));
        let id = match wanted {
            Some(image) => image.id.clone(),
            None => match self.raw(offer, deadline) {
                Ok(raw) => self.upload(&name, offer, raw.as_deref(), deadline)?,
                Err(error) if self.is_required => return Err(error),
                Err(error) => {
                    log::warn!("{}: {error}; another format than raw is used", self.tracker.target);
                    match present.iter().find(is_good) {
                        Some(image) => image.id.clone(),
                        None => self.upload(&name, offer, None, deadline)?,
                    }
                }
            },
        };
        // What another unit is just bringing stays.
        let is_old = |image: &&Image| {
            let of_another_offer = image.properties.get(DIGEST).is_some_and(|digest| *digest != offer.sha256);
            let is_checked = image.properties.contains_key(DIGEST);
            let of_another_format = is_checked && !self.is_wanted(image);
            image.id != id
                && (of_another_offer || of_another_format || labels::is_abandoned(self.owner, image))
        };
        for old in present.iter().filter(is_old) {
            match self.cloud.images().delete(&old.id, deadline) {
                Ok(_) => log::info!("base image {} ({name}) deleted: replaced by {id}", old.id),
                Err(error) => log::warn!("an old base image could not be deleted: {error}"),
            }
        }
        Ok(id)
    }

    /// Whether a copy has the format that is wanted.
    fn is_wanted(&self, image: &Image) -> bool {
        self.format.is_none_or(|format| image.disk_format.as_deref() == Some(format.as_str()))
    }

    /// The offered image as a raw file, where that is wanted.
    fn raw(&self, offer: &UpstreamImage, deadline: Deadline) -> Result<Option<PathBuf>, BaseImageError> {
        self.converter.map(|converter| converter.raw(self.http, offer, deadline)).transpose()
    }

    /// Uploads the offered image, or the file that was made of it.
    fn upload(
        &self,
        name: &str,
        offer: &UpstreamImage,
        raw: Option<&Path>,
        deadline: Deadline,
    ) -> Result<ImageId, BaseImageError> {
        let target = self.tracker.target;
        let format = raw.map_or(DiskFormat::Qcow2, |_| DiskFormat::Raw);
        log::info!("{target}: copying base image {} to the build cloud as {}", offer.url, format.as_str());
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
            disk_format: format.as_str().into(),
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
        let result = created.and_then(|_| {
            match raw {
                None => self.send(&id, offer, deadline),
                Some(raw) => self.send_file(&id, offer, raw, deadline),
            }?;
            // As large as the disk, it is not kept for what comes next.
            raw.iter().zip(self.converter).for_each(|(raw, converter)| converter.is_done_with(raw));
            // It counts as checked once the digest is noted on it.
            let checked = vec![ImageChange::Add(DIGEST.into(), offer.sha256.as_str().into())];
            let described = description::properties(target, None);
            Ok(description::update(&images, &id, checked, described, deadline)?)
        });
        self.tracker.conclude(&images, &id, &noted, &result);
        result.map(|_| {
            log::info!("{target}: base image {id} is in the build cloud after {}", Elapsed::since(began));
            id
        })
    }

    /// One pass over the bytes: read, digested, sent.
    fn send(&self, id: &ImageId, offer: &UpstreamImage, deadline: Deadline) -> Result<(), BaseImageError> {
        let Opened { reader, size, .. } =
            open(self.http, &offer.url, 0, deadline).map_err(|error| error.at(&offer.url))?;
        let mut reader = Digesting::<_, Sha256>::new(Metered::new(reader, COPYING, size));
        let images = self.cloud.images();
        images.upload(id, size, &mut reader, deadline)?;
        let found = reader.hex();
        if found != offer.sha256 {
            let (url, promised) = (offer.url.clone(), offer.sha256.clone());
            return Err(BaseImageError::Digest { url, found, promised });
        }
        images.wait_until_active(id, deadline.at_most(SETTLE))?;
        Ok(())
    }

    /// Sends a file that was made of the offered image, and compares what has come of it.
    fn send_file(
        &self,
        id: &ImageId,
        offer: &UpstreamImage,
        file: &Path,
        deadline: Deadline,
    ) -> Result<(), BaseImageError> {
        let folder = || file.parent().unwrap_or(file).to_owned();
        let failed = |source| BaseImageError::Store { url: offer.url.clone(), folder: folder(), source };
        let opened = File::open(file).map_err(failed)?;
        let size = opened.metadata().map_err(failed)?.len();
        let mut reader = Digesting::<_, Sha512>::new(Metered::new(opened, COPYING, Some(size)));
        let images = self.cloud.images();
        images.upload(id, Some(size), &mut reader, deadline)?;
        let sent = Proof { sha512: reader.hex(), size };
        match sent.compare(&images.wait_until_active(id, deadline.at_most(SETTLE))?) {
            Comparison::Different => Err(BaseImageError::Changed { id: id.clone() }),
            Comparison::Same | Comparison::Unknown => Ok(()),
        }
    }
}

/// The name of an application's copy of a base image.
pub fn base_image_name(application: &str, target: Target) -> String {
    format!("{application}-image-builder-base-{target}")
}
