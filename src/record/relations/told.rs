//! Which images relations of any unit name, or may name once a hook has ended: none of them may go.

use std::collections::BTreeSet;

use super::peers::Peers;
use super::published::Published;
use crate::host::{FileError, Host};
use crate::openstack_cloud::ImageId;
use crate::record::run_config::CloudName;

/// The images that relations name. While that is not known, they may name any.
#[derive(Debug)]
pub struct Told {
    published: Option<Published>,
    named: BTreeSet<String>,
}

impl Told {
    /// What the last hooks have left.
    pub fn load(host: &Host) -> Result<Self, FileError> {
        let published = Published::known(host)?;
        let mut named = Peers::load(host)?.named_images();
        named.extend(published.iter().flat_map(Published::named_images));
        Ok(Self { published, named })
    }

    /// Whether it is known what relations of this unit name.
    pub fn is_known(&self) -> bool {
        self.published.is_some()
    }

    /// Whether a relation names it, as far as is known.
    pub fn names(&self, image: &ImageId) -> bool {
        self.published.is_none() || self.named.contains(image.as_str())
    }

    /// Whether this unit's relation to `cloud` names it, as far as is known.
    pub fn is_named_to(&self, cloud: &CloudName, image: &ImageId) -> bool {
        self.published.as_ref().is_none_or(|known| known.images_of(cloud).contains(image.as_str()))
    }
}
