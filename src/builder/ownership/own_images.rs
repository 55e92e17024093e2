//! The application's snapshots and finished builds in the build project, listed once in a job for all targets.

use super::labels::{self, Stage};
use crate::model::Deadline;
use crate::openstack_cloud::{Cloud, Hidden, Image, OpenStackError};
use crate::record::Owner;

/// What the build project has of ours that a job may go on with; newest first, hidden images left out.
#[derive(Clone, Debug)]
pub struct OwnImages {
    /// Snapshots, whatever their state.
    pub snapshots: Vec<Image>,
    /// Finished builds, whatever their state.
    pub builds: Vec<Image>,
}

impl OwnImages {
    /// Asks the project of `cloud`.
    pub fn list(cloud: &Cloud, owner: &Owner, deadline: Deadline) -> Result<Self, OpenStackError> {
        let snapshots = labels::images(cloud, owner, Stage::Snapshot, None, deadline)?;
        let builds = labels::images(cloud, owner, Stage::Revision, None, deadline)?;
        Ok(Self { snapshots, builds })
    }

    /// As a sweep has listed them, if it could list both.
    pub fn of_sweep(snapshots: Option<Vec<Image>>, builds: Option<Vec<Image>>) -> Option<Self> {
        let (snapshots, mut builds) = snapshots.zip(builds)?;
        builds.retain(|image| image.hidden == Hidden::No);
        Some(Self { snapshots, builds })
    }
}
