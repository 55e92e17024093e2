//! Clouds that are of no use, and what related applications say of theirs.

use std::net::TcpListener;
use std::thread;

use rehearsal::agent::Relation;
use runner_image_builder::builder::{former_cloud_name, related_cloud_name};
use runner_image_builder::model::Secret;
use runner_image_builder::openstack_cloud::{CloudConfig, Interface};
use runner_image_builder::record::CloudName;

/// A Keystone that nobody runs: connections are refused at once.
pub const NOBODY: &str = "http://127.0.0.1:1/v3";

/// A Keystone that takes every connection and never answers: a worker that asks it stays busy.
pub fn hanging() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v3", listener.local_addr().unwrap());
    thread::spawn(move || listener.incoming().collect::<Vec<_>>());
    url
}

/// What a related application says.
pub struct Credentials {
    pub auth_url: String,
    pub project: String,
    pub password: String,
}

impl Credentials {
    pub fn new(auth_url: &str, project: &str) -> Self {
        let [auth_url, project, password] = [auth_url, project, "correct horse"].map(str::to_owned);
        Self { auth_url, project, password }
    }

    /// As it stands in the databag.
    pub fn data(&self) -> [(&str, &str); 6] {
        [
            ("auth_url", &self.auth_url),
            ("project_name", &self.project),
            ("project_domain_name", "Default"),
            ("user_domain_name", "Default"),
            ("username", "ci"),
            ("password", &self.password),
        ]
    }

    /// The name in clouds.yaml of what the first image relation of a site says.
    pub fn cloud(&self) -> CloudName {
        related_cloud_name(&self.config(), "image:1")
    }

    /// The same of another relation.
    pub fn cloud_of(&self, relation: &Relation) -> CloudName {
        related_cloud_name(&self.config(), &relation.id().unwrap())
    }

    /// The name that earlier revisions of the charm have given to it.
    pub fn former_cloud(&self) -> CloudName {
        former_cloud_name(&self.config())
    }

    fn config(&self) -> CloudConfig {
        CloudConfig {
            auth_url: self.auth_url.clone(),
            region_name: None,
            interface: Interface::Public,
            ca_certificate: None,
            project_name: self.project.clone(),
            project_domain_name: "Default".into(),
            user_domain_name: "Default".into(),
            username: "ci".into(),
            application_credential: None,
            password: Secret::default(),
        }
    }
}
