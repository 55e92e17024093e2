//! The projects that an image is shared with: its members.

use serde::Deserialize;
use serde_json::json;

use super::Images;
use crate::http::Method;
use crate::model::Deadline;
use crate::openstack_cloud::catalog::Service;
use crate::openstack_cloud::error::{ErrorKind, OpenStackError};
use crate::openstack_cloud::ids::{ImageId, ProjectId};
use crate::openstack_cloud::outcome::{Deletion, absent_as_none, deletion};
use crate::openstack_cloud::session::Call;

/// What a member has decided. It can use the image by its id in any case; its lists show what it has accepted.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum MemberStatus {
    /// Nothing yet.
    Pending,
    /// To see it.
    Accepted,
    /// Not to see it, or something else.
    Other(String),
}

impl From<String> for MemberStatus {
    fn from(text: String) -> Self {
        match text.as_str() {
            "pending" => Self::Pending,
            "accepted" => Self::Accepted,
            _ => Self::Other(text),
        }
    }
}

#[derive(Deserialize)]
struct Members {
    members: Vec<Member>,
}

#[derive(Deserialize)]
struct Member {
    member_id: ProjectId,
    status: MemberStatus,
}

impl Images<'_> {
    /// Lets another project use a shared image by its id ("Create image member"). The image's visibility must be
    /// `shared`. Sharing twice is no error.
    pub fn share(&self, id: &ImageId, project: &ProjectId, deadline: Deadline) -> Result<(), OpenStackError> {
        let operation = format!("sharing image {id} with project {project}");
        let call = Call::new(Service::Image, Method::Post, operation, format!("/images/{id}/members"))
            .json(json!({"member": project}))
            .repeatable();
        match self.session.call(&call, deadline) {
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(()),
            other => other.map(drop),
        }
    }

    /// What a project has decided about an image that is shared with it; none when it is no member ("Show image member
    /// details").
    pub fn membership(
        &self,
        id: &ImageId,
        project: &ProjectId,
        deadline: Deadline,
    ) -> Result<Option<MemberStatus>, OpenStackError> {
        let operation = format!("checking whether image {id} is shared with project {project}");
        let call = Call::new(Service::Image, Method::Get, operation, member_path(id, project));
        let member = absent_as_none(self.session.read::<Member>(&call, deadline))?;
        Ok(member.map(|member| member.status))
    }

    /// Accepts an image that is shared with the project that is worked in ("Update image member").
    pub fn accept(&self, id: &ImageId, deadline: Deadline) -> Result<(), OpenStackError> {
        let project = self.session.project();
        let operation = format!("accepting image {id} for project {project}");
        let call = Call::new(Service::Image, Method::Put, operation, member_path(id, &project))
            .json(json!({"status": "accepted"}))
            .repeatable();
        self.session.call(&call, deadline).map(drop)
    }

    /// The projects that an image is shared with ("List image members"); its visibility must be `shared`.
    pub fn members(&self, id: &ImageId, deadline: Deadline) -> Result<Vec<ProjectId>, OpenStackError> {
        let operation = format!("listing the members of image {id}");
        let call = Call::new(Service::Image, Method::Get, operation, format!("/images/{id}/members"));
        let listed: Members = self.session.read(&call, deadline)?;
        Ok(listed.members.into_iter().map(|member| member.member_id).collect())
    }

    /// Shares an image with a project no more ("Delete image member").
    pub fn unshare(
        &self,
        id: &ImageId,
        project: &ProjectId,
        deadline: Deadline,
    ) -> Result<Deletion, OpenStackError> {
        let operation = format!("ending the sharing of image {id} with project {project}");
        let call =
            Call::new(Service::Image, Method::Delete, operation, member_path(id, project)).repeatable();
        deletion(self.session.call(&call, deadline).map(drop))
    }
}

fn member_path(id: &ImageId, project: &ProjectId) -> String {
    format!("/images/{id}/members/{project}")
}
