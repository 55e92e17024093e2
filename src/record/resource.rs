//! What a build makes in clouds, noted before it is made and until it is gone or published.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::run_config::CloudName;
use crate::openstack_cloud::ImageId;

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
    /// A build that is being uploaded to the build cloud.
    Revision,
    /// A copy of a build that is not published yet.
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
            Self::Revision => "revision",
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
    /// The build that it is a copy of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<ImageId>,
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
