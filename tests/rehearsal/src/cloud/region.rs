//! One region: the state of its Glance, Nova and Neutron, and where they listen.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};

use super::glance::Image;
use super::identity::Identity;
use super::neutron::Networking;
use super::nova::Compute;
use super::quirks::Front;
use super::setup::CloudSetup;
use crate::lock;

/// A region.
pub(super) struct Region {
    pub name: String,
    pub images: Mutex<Vec<Image>>,
    pub compute: Mutex<Compute>,
    pub networking: Mutex<Networking>,
    /// Where the bytes of images lie.
    pub store: PathBuf,
    /// What answers before the services do.
    pub front: Front,
    urls: OnceLock<BTreeMap<&'static str, String>>,
}

impl Region {
    pub fn new(name: &str, setup: &CloudSetup, identity: &Identity, store: PathBuf) -> Self {
        Self {
            name: name.to_owned(),
            images: Mutex::new(Vec::new()),
            compute: Mutex::new(Compute::new(setup)),
            networking: Mutex::new(Networking::new(setup, identity)),
            store,
            front: Front::new(&setup.quirks),
            urls: OnceLock::new(),
        }
    }

    /// Says, once, where the services listen.
    pub fn listens_at(&self, urls: BTreeMap<&'static str, String>) {
        drop(self.urls.set(urls));
    }

    /// The base URL of `glance`, `nova` or `neutron`.
    pub fn url(&self, service: &str) -> String {
        self.urls.get().and_then(|urls| urls.get(service)).cloned().unwrap_or_default()
    }

    /// The file that holds an image's bytes.
    pub fn image_file(&self, id: &str) -> PathBuf {
        self.store.join(id)
    }

    /// A copy of an image's record.
    pub fn image(&self, id: &str) -> Option<Image> {
        lock(&self.images).iter().find(|image| image.id == id).cloned()
    }

    /// Changes an image's record, when it is there.
    pub fn with_image<T>(&self, id: &str, change: impl FnOnce(&mut Image) -> T) -> Option<T> {
        lock(&self.images).iter_mut().find(|image| image.id == id).map(change)
    }
}
