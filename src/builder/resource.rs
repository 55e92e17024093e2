//! What a build makes in clouds, noted before it is made and until it is gone or published.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::config::CloudName;
use super::journal::JournalError;
use super::progress::Progress;
use crate::deadline::Deadline;
use crate::openstack_cloud::{ImageId, Images};
use crate::target::Target;

/// How long the removal of an incomplete image may take.
const REMOVAL: Duration = Duration::from_secs(60);

/// What something in a cloud is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceKind {
    /// An Ubuntu image that is being copied to the build cloud.
    BaseImage,
    /// A builder VM.
    BuilderVm,
    /// A VM that was booted from a snapshot to look at it.
    VerificationVm,
    /// A snapshot of a builder VM.
    Snapshot,
    /// A copy of the snapshot that is not published yet.
    Copy,
}

impl ResourceKind {
    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BaseImage => "base image",
            Self::BuilderVm => "builder VM",
            Self::VerificationVm => "verification VM",
            Self::Snapshot => "snapshot",
            Self::Copy => "copy",
        }
    }
}

/// Something in a cloud that is there only because a build is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// What it is.
    pub kind: ResourceKind,
    /// Where it is.
    pub cloud: CloudName,
    /// Its name.
    pub name: String,
    /// Its id; absent until the cloud has told it.
    pub id: Option<String>,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.named(), self.cloud)
    }
}

impl Resource {
    /// What it is in its cloud.
    pub fn named(&self) -> String {
        let id = self.id.as_deref().unwrap_or("id not known");
        format!("{} {} ({id})", self.kind.as_str(), self.name)
    }
}

/// What one build makes, told to whoever keeps the journal.
#[derive(Clone, Copy)]
pub struct Ledger<'a> {
    /// Who keeps it.
    pub progress: &'a dyn Progress,
    /// What is built.
    pub target: Target,
}

impl Ledger<'_> {
    /// `resource` is about to be made. What cannot be noted must not be made.
    pub fn makes(&self, resource: &Resource) -> Result<(), JournalError> {
        self.progress.makes(self.target, resource)
    }

    /// `resource` is there, under this id.
    pub fn made(&self, resource: &mut Resource, id: &str) {
        resource.id = Some(id.to_owned());
        self.progress.made(self.target, resource);
    }

    /// Settles an image that is complete; what there is of one that is not is removed first, and stays noted when that
    /// fails. A creation whose answer was lost is a creation.
    pub fn conclude<T, E>(&self, images: &Images<'_>, id: &ImageId, noted: &Resource, result: &Result<T, E>) {
        let is_gone = || images.delete(id, Deadline::after(REMOVAL)).is_ok_and(|deletion| deletion.is_gone());
        if result.is_ok() || is_gone() {
            self.settled(noted);
        }
    }

    /// `resource` is gone, or published: no build has to care for it any more.
    pub fn settled(&self, resource: &Resource) {
        self.progress.settled(self.target, resource);
    }
}
