//! Images: Glance, version 2 of its API.

pub mod image_details;
pub mod members;

use std::collections::BTreeMap;
use std::io::Read;

use serde_json::{Map, Value, json};

use super::catalog::Service;
use super::error::{ErrorKind, OpenStackError};
use super::ids::{ImageId, ProjectId};
use super::outcome::{Deletion, absent_as_none, deletion};
use super::session::{Call, Session, wait_for};
use crate::http::{Incoming, Method, Outgoing};
use crate::model::Deadline;
use crate::openstack_cloud::image::image_details::{Hidden, Image, ImageStatus};

/// The image service of one cloud.
#[derive(Clone, Copy, Debug)]
pub struct Images<'a> {
    session: &'a Session,
}

/// Which images to list: those that fit everything that is given.
#[derive(Clone, Debug, Default)]
pub struct ImageFilter {
    /// Exactly this name.
    pub name: Option<String>,
    /// In this status.
    pub status: Option<ImageStatus>,
    /// Owned by this project.
    pub owner: Option<ProjectId>,
    /// With these properties of these values.
    pub properties: Vec<(String, String)>,
    /// The listed or the hidden ones.
    pub hidden: Hidden,
}

/// More properties than Glance allows an image by default (`image_property_quota`).
const PROPERTIES: usize = 128;

impl ImageFilter {
    /// Whether `image` is one of those that were asked for: a cloud may answer anything, and what is not wanted is not held.
    fn fits(&self, image: &Image) -> bool {
        let Self { name, status, owner, properties, hidden: _ } = self;
        let has = |(key, value): &(String, String)| image.properties.get(key) == Some(value);
        name.as_ref().is_none_or(|name| image.name == *name)
            && status.as_ref().is_none_or(|status| image.status == *status)
            && owner.as_ref().is_none_or(|owner| image.owner.as_ref() == Some(owner))
            && properties.iter().all(has)
            && image.properties.len() <= PROPERTIES
    }
}

/// An image to be made, private to its project, without data yet.
#[derive(Clone, Debug)]
pub struct NewImage {
    /// Its id, or none to let Glance choose one.
    pub id: Option<ImageId>,
    /// Its name.
    pub name: String,
    /// The format of the data: `qcow2`, `raw`.
    pub disk_format: String,
    /// The format around it: `bare`.
    pub container_format: String,
    /// The smallest disk that it fits, in GB.
    pub min_disk: u64,
    /// The least memory that it needs, in MB.
    pub min_ram: u64,
    /// Further properties, such as `architecture`. `self` and other names of Glance's own are refused by it.
    pub properties: BTreeMap<String, String>,
}

/// One change of an image's fields or properties.
#[derive(Clone, Debug)]
pub enum ImageChange {
    /// Sets a property, whether it is there or not.
    Add(String, Value),
    /// Sets a property or field that is there, such as `name`, `visibility` or `os_hidden`.
    Replace(String, Value),
    /// Removes a property that is there.
    Remove(String),
}

impl<'a> Images<'a> {
    pub(super) fn new(session: &'a Session) -> Self {
        Self { session }
    }

    /// All images that fit `filter` ("List images").
    pub fn list(&self, filter: &ImageFilter, deadline: Deadline) -> Result<Vec<Image>, OpenStackError> {
        let call = || {
            let mut call = Call::new(Service::Image, Method::Get, "listing images", "/images");
            let fields = [
                ("name", filter.name.clone()),
                ("status", filter.status.as_ref().map(ToString::to_string)),
                ("owner", filter.owner.as_ref().map(ToString::to_string)),
                ("os_hidden", (filter.hidden == Hidden::Yes).then(|| "true".to_owned())),
            ];
            for (key, value) in fields {
                if let Some(value) = value {
                    call = call.query(key, value);
                }
            }
            filter.properties.iter().fold(call, |call, (key, value)| call.query(key, value))
        };
        self.session.list(call, "images", "next", &|image| filter.fits(image), deadline)
    }

    /// One image, or none when there is none with this id that we may see ("Show image").
    pub fn get(&self, id: &ImageId, deadline: Deadline) -> Result<Option<Image>, OpenStackError> {
        let call =
            Call::new(Service::Image, Method::Get, format!("getting image {id}"), format!("/images/{id}"));
        absent_as_none(self.session.read(&call, deadline))
    }

    /// Makes an image without data ("Create image"). Fails with [`ErrorKind::Conflict`] when its id is taken.
    pub fn create(&self, image: &NewImage, deadline: Deadline) -> Result<Image, OpenStackError> {
        let mut fields: Map<String, Value> =
            image.properties.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
        fields.insert("name".to_owned(), json!(image.name));
        fields.insert("disk_format".to_owned(), json!(image.disk_format));
        fields.insert("container_format".to_owned(), json!(image.container_format));
        fields.insert("visibility".to_owned(), json!("private"));
        fields.insert("min_disk".to_owned(), json!(image.min_disk));
        fields.insert("min_ram".to_owned(), json!(image.min_ram));
        if let Some(id) = &image.id {
            fields.insert("id".to_owned(), json!(id));
        }
        let operation = format!("creating image {}", image.name);
        let call = Call::new(Service::Image, Method::Post, operation, "/images").json(Value::Object(fields));
        let made: Image = self.session.read(&call, deadline)?;
        self.session.has_made(made.id.as_str());
        Ok(made)
    }

    /// Sends the data of a queued image ("Upload binary image data"), `size` bytes, or until `reader` ends when
    /// the size is not known. Constant in memory. What `reader` itself fails with comes back as
    /// [`ErrorKind::Source`]; data that is shorter or longer than `size` is such a failure.
    pub fn upload(
        &self,
        id: &ImageId,
        size: Option<u64>,
        reader: &mut dyn Read,
        deadline: Deadline,
    ) -> Result<(), OpenStackError> {
        // Data can be sent once: a replica that does not know the image yet is not the one to send it to.
        if self.session.has_just_made(id.as_str()) {
            self.get(id, deadline)?;
        }
        let operation = format!("uploading image {id}");
        let call = Call::new(Service::Image, Method::Put, operation, format!("/images/{id}/file"))
            .header("content-type", "application/octet-stream");
        self.session.upload(&call, Outgoing { size, reader }, deadline).map(drop)
    }

    /// The data of an image ("Download binary image data"), to be read as it arrives: constant in memory. The
    /// deadline holds until the last byte; a broken connection is a read error. An image without data is
    /// [`ErrorKind::Conflict`].
    pub fn download(&self, id: &ImageId, deadline: Deadline) -> Result<Incoming, OpenStackError> {
        let operation = format!("downloading image {id}");
        let call = Call::new(Service::Image, Method::Get, operation, format!("/images/{id}/file"));
        match self.session.open_stream(&call, deadline) {
            Err(error) if error.status() == Some(204) => {
                Err(call.failed(ErrorKind::Conflict, "it has no data yet"))
            }
            other => other,
        }
    }

    /// Changes fields and properties ("Update image").
    pub fn update(
        &self,
        id: &ImageId,
        changes: &[ImageChange],
        deadline: Deadline,
    ) -> Result<Image, OpenStackError> {
        let path = |name: &str| format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        let patch: Vec<Value> = changes
            .iter()
            .map(|change| match change {
                ImageChange::Add(name, value) => json!({"op": "add", "path": path(name), "value": value}),
                ImageChange::Replace(name, value) => {
                    json!({"op": "replace", "path": path(name), "value": value})
                }
                ImageChange::Remove(name) => json!({"op": "remove", "path": path(name)}),
            })
            .collect();
        let call =
            Call::new(Service::Image, Method::Patch, format!("updating image {id}"), format!("/images/{id}"))
                .json_of_type("application/openstack-images-v2.1-json-patch", Value::Array(patch));
        let removes = changes.iter().any(|change| matches!(change, ImageChange::Remove(_)));
        self.session.read(&if removes { call } else { call.repeatable() }, deadline)
    }

    /// Deletes an image ("Delete image"). One whose data others build upon is [`Deletion::InUse`].
    pub fn delete(&self, id: &ImageId, deadline: Deadline) -> Result<Deletion, OpenStackError> {
        let call = Call::new(
            Service::Image,
            Method::Delete,
            format!("deleting image {id}"),
            format!("/images/{id}"),
        )
        .repeatable();
        deletion(self.session.call(&call, deadline).map(drop))
    }

    /// Waits until an image is active. Fails at once when it never will be.
    pub fn wait_until_active(&self, id: &ImageId, deadline: Deadline) -> Result<Image, OpenStackError> {
        let operation = format!("waiting for image {id} to become active");
        wait_for(&operation, deadline, || {
            let failed = |message: &str| Err(OpenStackError::new(ErrorKind::Failed, &operation, message));
            match self.get(id, deadline)? {
                None => failed("it disappeared"),
                Some(image) => match image.status {
                    ImageStatus::Active => Ok(Some(image)),
                    ImageStatus::Killed
                    | ImageStatus::Deleted
                    | ImageStatus::PendingDelete
                    | ImageStatus::Deactivated => failed(&format!("it is {}", image.status)),
                    _ => Ok(None),
                },
            }
        })
    }
}
