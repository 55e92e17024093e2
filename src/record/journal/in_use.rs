//! Old revisions that something still used when they were to be deleted.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{Backoff, Timestamp};
use crate::openstack_cloud::ImageId;
use crate::record::CloudName;

/// The longest pause between two tries to delete an old revision.
pub(super) const PRUNE_PAUSE: Duration = Duration::from_secs(24 * 3600);

/// The pauses between two tries.
const PAUSES: Backoff = Backoff::growing(Duration::from_secs(3600), 2.0, PRUNE_PAUSE);

/// An old revision that could not be deleted: something still uses it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InUse {
    /// The cloud.
    pub cloud: CloudName,
    /// The image.
    pub image: ImageId,
    /// What the cloud has said.
    pub why: String,
    /// How often it was tried.
    pub tries: u32,
    /// When it was tried last.
    pub last: Timestamp,
}

impl InUse {
    /// An hour, doubled with each try, at most a day.
    pub(super) fn is_due(&self) -> bool {
        self.last.is_past(PAUSES.pause_after(self.tries))
    }
}
