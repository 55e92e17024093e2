//! What an image says of itself beside whose it is: the properties that OpenStack's own documents name, and what is inside.
//! Nothing is decided by them. A cloud may protect properties from its users, so an image is as good without them.

use std::collections::BTreeMap;

use super::labels;
use crate::model::{Deadline, Target};
use crate::openstack_cloud::{ErrorKind, Image, ImageChange, ImageId, Images, OpenStackError};
use crate::record::{Contents, Manifest, Revision};

/// The SHA-256 of the image's manifest.
const MANIFEST: &str = "runner_image_builder_manifest";
/// The serial of its base image.
const BASE_SERIAL: &str = "runner_image_builder_base_serial";
/// The version of its runner.
const RUNNER: &str = "runner_image_builder_runner";
/// The user that Ubuntu's cloud images have.
const ADMIN_USER: &str = "ubuntu";
/// What the names of properties begin with that tell which hardware a machine gets.
const HARDWARE: &str = "hw_";
/// The hardware properties that are carried over at most.
const MOST: usize = 32;

/// What an image itself says of its content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// The serial of its base image.
    pub base_serial: Option<String>,
    /// The SHA-256 of its manifest.
    pub manifest: Option<String>,
}

impl Description {
    /// What `manifest` says.
    pub fn of_manifest(manifest: &Manifest) -> Self {
        let base_serial = manifest.inventory.base_serial.clone();
        Self { base_serial, manifest: Some(manifest.digest()) }
    }

    /// What a snapshot's labels say.
    pub fn of_image(snapshot: &Image) -> Self {
        let label = |name: &str| snapshot.properties.get(name).cloned();
        Self { base_serial: label(BASE_SERIAL), manifest: label(MANIFEST) }
    }

    /// The labels of a snapshot that say it.
    pub fn labels(self) -> impl Iterator<Item = (String, String)> {
        let labels = [(BASE_SERIAL, self.base_serial), (MANIFEST, self.manifest)];
        labels.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)))
    }
}

/// The properties of an image for `target`, as far as its `contents` are known.
pub fn properties(target: Target, contents: Option<&Contents>) -> BTreeMap<String, String> {
    let said = |value: fn(&Contents) -> Option<String>| contents.and_then(value);
    let properties = [
        ("os_distro", Some("ubuntu".to_owned())),
        ("os_version", Some(target.base.version().to_owned())),
        ("os_type", Some("linux".to_owned())),
        ("os_admin_user", Some(ADMIN_USER.to_owned())),
        (RUNNER, said(|contents| Some(contents.runner.clone()))),
        (BASE_SERIAL, said(|contents| contents.base_serial.clone())),
        (MANIFEST, said(|contents| contents.manifest.clone())),
    ];
    properties.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// Publishes image `id`, a complete copy of `build`, whose image in the build project is `image`.
pub fn publish_copy(
    images: &Images<'_>,
    id: &ImageId,
    build: &Revision,
    image: &Image,
    deadline: Deadline,
) -> Result<(), OpenStackError> {
    update(images, id, labels::publish(), of_copy(build, image), deadline).map(drop)
}

/// The properties of a copy of `build`, which is `image`: also the hardware that its machines get, which Nova carries over
/// from the base image.
fn of_copy(build: &Revision, image: &Image) -> BTreeMap<String, String> {
    let of_hardware = image.properties.iter().filter(|(name, _)| name.starts_with(HARDWARE));
    let of_hardware = of_hardware.take(MOST).map(|(name, value)| (name.clone(), value.clone()));
    properties(build.target, build.contents.as_ref()).into_iter().chain(of_hardware).collect()
}

/// The properties without which a copy of `image`, which is for `target`, would not boot as it does.
pub fn firmware(target: Target, image: &Image) -> BTreeMap<String, String> {
    const NAMES: [&str; 2] = ["hw_firmware_type", "hw_machine_type"];
    let property = |name: &str| Some((name.to_owned(), image.properties.get(name)?.clone()));
    let architecture = ("architecture".to_owned(), target.arch.glance().to_owned());
    NAMES.into_iter().filter_map(property).chain([architecture]).collect()
}

/// Makes `changes`, without which an image is not what it should be, and adds `properties` unless the cloud refuses them.
pub fn update(
    images: &Images<'_>,
    id: &ImageId,
    changes: Vec<ImageChange>,
    properties: BTreeMap<String, String>,
    deadline: Deadline,
) -> Result<Image, OpenStackError> {
    let described = properties.into_iter().map(|(name, value)| ImageChange::Add(name, value.into()));
    let described: Vec<ImageChange> = described.collect();
    match images.update(id, &[changes.as_slice(), &described].concat(), deadline) {
        Err(error) if is_refusal(&error) => {
            let changed = images.update(id, &changes, deadline)?;
            // Once more alone: what was refused may have been something else, and only once.
            Ok(images.update(id, &described, deadline).unwrap_or_else(|error| {
                log::warn!("image {id} is published without descriptive properties: {error}");
                changed
            }))
        }
        updated => updated,
    }
}

/// Whether a cloud does not take what it was sent. A refusal of the changes themselves shows at the second try.
fn is_refusal(error: &OpenStackError) -> bool {
    matches!(error.kind(), ErrorKind::Forbidden | ErrorKind::Invalid | ErrorKind::Quota | ErrorKind::Conflict)
}
