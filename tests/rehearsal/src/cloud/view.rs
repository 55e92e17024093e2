//! What a test sees of a cloud, without HTTP.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::core::Core;
use super::glance::{self, Image};
use super::neutron::{Group, Port};
use super::nova::{KeyPair, Server};
use super::region::Region;
use crate::instance::archive::ImageTree;
use crate::lock;

/// One project in one region.
pub struct ProjectView<'a> {
    core: &'a Core,
    region: Option<&'a Arc<Region>>,
    id: String,
}

impl<'a> ProjectView<'a> {
    pub(super) fn new(core: &'a Core, name: &str, region: &str) -> Self {
        let id =
            lock(&core.identity).projects.iter().find(|project| project.name == name).map(|p| p.id.clone());
        let region = core.regions.iter().find(|known| known.name == region);
        Self { core, region, id: id.unwrap_or_default() }
    }

    /// The project's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its images, oldest first.
    pub fn images(&self) -> Vec<Image> {
        let Some(region) = self.region else { return Vec::new() };
        lock(&region.images).iter().filter(|image| image.owner == self.id).cloned().collect()
    }

    /// Images of others that are shared with it, whatever it thinks of them.
    pub fn shared_images(&self) -> Vec<Image> {
        let Some(region) = self.region else { return Vec::new() };
        let images = lock(&region.images);
        let shared = images.iter().filter(|image| {
            image.visibility == "shared" && image.members.iter().any(|member| member.project == self.id)
        });
        shared.cloned().collect()
    }

    /// Its servers, oldest first.
    pub fn servers(&self) -> Vec<Server> {
        let Some(region) = self.region else { return Vec::new() };
        lock(&region.compute).servers.iter().filter(|server| server.project == self.id).cloned().collect()
    }

    /// Its security groups, without `default`.
    pub fn security_groups(&self) -> Vec<Group> {
        let Some(region) = self.region else { return Vec::new() };
        let networking = lock(&region.networking);
        let own =
            networking.groups.iter().filter(|group| group.project == self.id && group.name != "default");
        own.cloned().collect()
    }

    /// Its ports.
    pub fn ports(&self) -> Vec<Port> {
        let Some(region) = self.region else { return Vec::new() };
        lock(&region.networking).ports.iter().filter(|port| port.project == self.id).cloned().collect()
    }

    /// The bytes of an image, whoever owns it.
    pub fn image_bytes(&self, id: &str) -> io::Result<Vec<u8>> {
        let region = self.region.ok_or(io::ErrorKind::NotFound)?;
        fs::read(region.image_file(id))
    }

    /// What is in an image that is the snapshot of an instance.
    pub fn image_tree(&self, id: &str) -> io::Result<ImageTree> {
        let region = self.region.ok_or(io::ErrorKind::NotFound)?;
        ImageTree::read(&region.image_file(id))
    }

    /// Puts an active image into the project, as somebody else could have done.
    pub fn add_image(&self, name: &str, bytes: &[u8], properties: &[(&str, &str)]) -> io::Result<Image> {
        let region = self.region.ok_or(io::ErrorKind::NotFound)?;
        let mut image = Image::new(&self.id, Some(name.to_owned()));
        image.visibility = "private".into();
        image.disk_format = Some("qcow2".into());
        image.container_format = Some("bare".into());
        image.properties =
            properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let stored = glance::receive(&mut &*bytes, &region.image_file(&image.id))?;
        stored.complete(&mut image);
        lock(&region.images).push(image.clone());
        Ok(image)
    }

    /// Gives each user of the cloud a key pair of this name: key pairs are users', not projects'.
    pub fn add_key_pairs(&self, name: &str) {
        let Some(region) = self.region else { return };
        let users: Vec<String> = lock(&self.core.identity).users.iter().map(|user| user.id.clone()).collect();
        let key = |user| KeyPair { user, name: name.to_owned(), public_key: "ssh-ed25519 AAAA".to_owned() };
        lock(&region.compute).keys.extend(users.into_iter().map(key));
    }

    /// The names of the key pairs of all users.
    pub fn key_pairs(&self) -> Vec<String> {
        let Some(region) = self.region else { return Vec::new() };
        lock(&region.compute).keys.iter().map(|key| key.name.clone()).collect()
    }

    /// The directory of a server's files while it exists.
    pub fn server_tree(&self, id: &str) -> Option<std::path::PathBuf> {
        let machine = self.servers().into_iter().find(|server| server.id == id)?.machine?;
        Some(machine.tree().to_owned()).filter(|tree: &std::path::PathBuf| Path::exists(tree))
    }

    /// Gives a server another label, as its owner could.
    pub fn label_server(&self, id: &str, name: &str, value: &str) {
        let Some(region) = self.region else { return };
        for server in lock(&region.compute).servers.iter_mut().filter(|server| server.id == id) {
            server.metadata.insert(name.to_owned(), value.to_owned());
        }
    }

    /// Gives an image another label, as its owner could.
    pub fn label_image(&self, id: &str, name: &str, value: &str) {
        let Some(region) = self.region else { return };
        for image in lock(&region.images).iter_mut().filter(|image| image.id == id) {
            image.properties.insert(name.to_owned(), value.to_owned());
        }
    }

    /// Removes an image, as its owner could.
    pub fn remove_image(&self, id: &str) {
        let Some(region) = self.region else { return };
        lock(&region.images).retain(|image| image.id != id);
    }

    /// Kills a server's machine under it, as a failing host does: ssh dies, Nova notices later or never.
    pub fn crash_server(&self, id: &str) {
        if let Some(machine) = self.servers().into_iter().find(|s| s.id == id).and_then(|s| s.machine) {
            drop(machine.stop());
        }
    }

    /// The project's name.
    pub fn name(&self) -> String {
        project_name(self.core, &self.id)
    }
}

fn project_name(core: &Core, id: &str) -> String {
    let identity = lock(&core.identity);
    identity.projects.iter().find(|project| project.id == id).map_or(id.to_owned(), |p| p.name.clone())
}

/// Everything in all regions, one line per thing, sorted, without ids and dates.
pub(super) fn inventory(core: &Core) -> String {
    let mut lines = Vec::new();
    for region in &core.regions {
        let at = |project: &str| format!("{} {}", region.name, project_name(core, project));
        for image in lock(&region.images).iter() {
            let mut line = format!(
                "{} image {} {} {}",
                at(&image.owner),
                image.name.as_deref().unwrap_or("-"),
                image.status,
                image.visibility
            );
            if image.hidden {
                line.push_str(" hidden");
            }
            for member in &image.members {
                let _ =
                    write!(line, " shared-with={}:{}", project_name(core, &member.project), member.status);
            }
            lines.push(line);
        }
        for server in &lock(&region.compute).servers {
            lines.push(format!("{} server {} {}", at(&server.project), server.name, server.status()));
        }
        for key in &lock(&region.compute).keys {
            lines.push(format!("{} keypair {}", region.name, key.name));
        }
        let networking = lock(&region.networking);
        for group in networking.groups.iter().filter(|group| group.name != "default") {
            let line =
                format!("{} security-group {} rules={}", at(&group.project), group.name, group.rules.len());
            lines.push(line);
        }
        for port in &networking.ports {
            lines.push(format!("{} port", at(&port.project)));
        }
    }
    lines.sort();
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// An entry per user and project.
pub(super) fn clouds_yaml(core: &Core) -> String {
    let mut text = String::from("clouds:\n");
    let region = core.setup.regions.first().map_or("", String::as_str);
    for user in &core.setup.users {
        let name = user.name.trim_end_matches("-user");
        let project = user.projects.first().map_or("", String::as_str);
        let _ = write!(
            text,
            "  {name}:\n    region_name: {region}\n    identity_api_version: 3\n    auth:\n      auth_url: {}\n      \
             project_name: {project}\n      project_domain_name: Default\n      user_domain_name: Default\n      \
             username: {}\n      password: {}\n",
            core.auth_url(),
            user.name,
            user.password
        );
    }
    text
}
