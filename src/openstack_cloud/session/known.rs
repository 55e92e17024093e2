//! What a session knows from its last token, without asking anybody.

use std::sync::Arc;

use super::Session;
use crate::model::Timestamp;
use crate::openstack_cloud::catalog::Service;
use crate::openstack_cloud::error::OpenStackError;

impl Session {
    /// Whether the catalog has an address of `service`.
    pub(in crate::openstack_cloud) fn serves(&self, service: Service) -> Result<(), OpenStackError> {
        let access = Arc::clone(&self.lock());
        self.endpoint(&access, service).map(drop)
    }

    /// What the cloud's clock said when it gave the last token, and ours.
    pub(in crate::openstack_cloud) fn clocks(&self) -> Option<(Timestamp, Timestamp)> {
        self.lock().clocks
    }
}
