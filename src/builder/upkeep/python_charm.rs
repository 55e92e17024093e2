//! What the Python charm has left in the build project: base images, snapshots, builder VMs, its key pair and its security
//! group. They bear no labels, only names that another deployment may have given, too: so they are found and shown here, and
//! removed one by one, by id, when an operator says so.

use std::fmt;

use crate::builder::ownership::labels;
use crate::model::{BaseImage, Deadline};
use crate::openstack_cloud::{
    Cloud, Deletion, Image, ImageFilter, ImageId, OpenStackError, SecurityGroupId, Server, ServerId,
};

/// The security group that all deployments of the Python charm in a project share.
const SECURITY_GROUP: &str = "github-runner-image-builder-v1";

/// One thing that it has left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remnant {
    /// What it is.
    pub what: What,
    /// Its name.
    pub name: String,
    /// When it was made, where its service says so.
    pub created: String,
}

/// What was left, by the id that its service knows it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A base image.
    BaseImage(ImageId),
    /// A snapshot of a builder VM.
    Snapshot(ImageId),
    /// A builder VM.
    Server(ServerId),
    /// A key pair, whose id is its name.
    KeyPair(String),
    /// A security group.
    SecurityGroup(SecurityGroupId),
}

impl Remnant {
    /// The id, as an operator names it.
    pub fn id(&self) -> &str {
        match &self.what {
            What::BaseImage(id) | What::Snapshot(id) => id.as_str(),
            What::Server(id) => id.as_str(),
            What::KeyPair(name) => name,
            What::SecurityGroup(id) => id.as_str(),
        }
    }

    /// What it is, in OpenStack's words.
    pub fn kind(&self) -> &'static str {
        match self.what {
            What::BaseImage(_) => "base image",
            What::Snapshot(_) => "snapshot",
            What::Server(_) => "server",
            What::KeyPair(_) => "key pair",
            What::SecurityGroup(_) => "security group",
        }
    }

    /// The image that it is, if it is one.
    pub fn image(&self) -> Option<&ImageId> {
        match &self.what {
            What::BaseImage(id) | What::Snapshot(id) => Some(id),
            _ => None,
        }
    }
}

/// `base image rib-image-builder-base-noble-x64 (ID)`
impl fmt::Display for Remnant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.kind(), self.name, self.id())
    }
}

/// What bears the names that the Python charm gives for `application`, and no label of ours.
pub fn find(cloud: &Cloud, application: &str, deadline: Deadline) -> Result<Vec<Remnant>, OpenStackError> {
    let mut found = Vec::new();
    let filter = ImageFilter { owner: Some(cloud.project_id()), ..ImageFilter::default() };
    let mut images = cloud.images().list(&filter, deadline)?;
    images.sort_by(|one, other| one.name.cmp(&other.name));
    let is_own =
        |image: &&Image| image.owner.as_ref() == Some(&cloud.project_id()) && !labels::is_labelled(image);
    for image in images.iter().filter(is_own) {
        let what = if is_of_target(&image.name, &format!("{application}-image-builder-base-")) {
            What::BaseImage(image.id.clone())
        } else if is_of_target(&image.name, &format!("{application}-")) {
            What::Snapshot(image.id.clone())
        } else {
            continue;
        };
        found.push(Remnant { what, name: image.name.clone(), created: image.created_at.clone() });
    }
    let builder = format!("{application}-image-builder-");
    let is_builder = |server: &Server| is_of_target(&server.name, &builder) && server.metadata.is_empty();
    let servers = cloud.compute().servers_that(&is_builder, deadline)?;
    found.extend(servers.into_iter().map(|Server { id, name, created, .. }| Remnant {
        what: What::Server(id),
        name,
        created,
    }));
    let key_pair = format!("{application}-image-builder-ssh-key");
    if cloud.compute().has_key_pair(&key_pair, deadline)? {
        found.push(Remnant { what: What::KeyPair(key_pair.clone()), name: key_pair, created: String::new() });
    }
    let groups = cloud.network().security_groups(Some(SECURITY_GROUP), deadline)?;
    found.extend(groups.into_iter().map(|group| Remnant {
        what: What::SecurityGroup(group.id),
        name: group.name,
        created: String::new(),
    }));
    Ok(found)
}

/// Deletes it. Returns what came of it.
pub fn delete(cloud: &Cloud, remnant: &Remnant, deadline: Deadline) -> Result<Deletion, OpenStackError> {
    log::warn!("deleting {remnant}, as requested by an operator");
    match &remnant.what {
        What::BaseImage(id) | What::Snapshot(id) => cloud.images().delete(id, deadline),
        What::Server(id) => cloud.compute().delete_server(id, deadline),
        What::KeyPair(name) => cloud.compute().delete_key_pair(name, deadline),
        What::SecurityGroup(id) => cloud.network().delete_security_group(id, deadline),
    }
}

/// Whether a name is `beginning`, a base and an architecture: `noble-x64`.
fn is_of_target(name: &str, beginning: &str) -> bool {
    const ARCHITECTURES: [&str; 5] = ["x64", "arm64", "arm", "s390x", "ppc64le"];
    let target = name.strip_prefix(beginning).and_then(|target| target.split_once('-'));
    target.is_some_and(|(base, arch)| {
        BaseImage::ALL.iter().any(|known| known.as_str() == base) && ARCHITECTURES.contains(&arch)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_other_applications_and_of_ours_are_not_the_python_charms() {
        assert!(is_of_target("rib-image-builder-base-noble-x64", "rib-image-builder-base-"));
        assert!(is_of_target("rib-jammy-ppc64le", "rib-"));
        for name in ["rib-2-noble-x64", "rib-noble", "rib-warty-x64", "rib-noble-x64-2", "noble-x64"] {
            assert!(!is_of_target(name, "rib-"), "{name}");
        }
    }
}
