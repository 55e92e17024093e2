//! Flavors and servers: Nova, version 2.1 of its API.

pub mod limits;
pub mod placement;
pub mod server_details;

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::catalog::Service;
use super::error::{ErrorKind, OpenStackError};
use super::ids::{FlavorId, ImageId, NetworkId, SecurityGroupId, ServerId};
use super::outcome::{Deletion, absent_as_none, deletion, or_default};
use super::session::{Call, Session, wait_for};
use crate::http::Method;
use crate::model::{Deadline, Secret};
use crate::openstack_cloud::compute::server_details::{Server, ServerStatus};

/// The longest user-data that Nova takes, in bytes.
const USER_DATA_LIMIT: usize = 65_535 / 4 * 3;

/// The compute service of one cloud.
#[derive(Clone, Copy, Debug)]
pub struct Compute<'a> {
    session: &'a Session,
}

/// A size of server.
#[derive(Clone, Debug, Deserialize)]
pub struct Flavor {
    /// Its id.
    pub id: FlavorId,
    /// Its name.
    pub name: String,
    /// Virtual processors.
    pub vcpus: u64,
    /// Memory in MB.
    pub ram: u64,
    /// Disk in GB; 0 when it is as large as the image.
    pub disk: u64,
    /// Whether new servers of this size are refused.
    #[serde(rename = "OS-FLV-DISABLED:disabled", default, deserialize_with = "or_default")]
    pub disabled: bool,
    /// Whether every project may use it.
    #[serde(rename = "os-flavor-access:is_public", default, deserialize_with = "or_default")]
    pub public: bool,
}

/// A server to be made.
#[derive(Clone, Debug)]
pub struct NewServer {
    /// Its name.
    pub name: String,
    /// The image on its disk.
    pub image: ImageId,
    /// Its size.
    pub flavor: FlavorId,
    /// Its only network.
    pub network: NetworkId,
    /// Its only security group; the project's default one when absent.
    pub security_group: Option<SecurityGroupId>,
    /// Whether cloud-init finds its data on a drive or asks the metadata service.
    pub metadata_source: MetadataSource,
    /// What cloud-init is given, at most 49,149 bytes.
    pub user_data: Secret<Vec<u8>>,
    /// Labels, at most 255 bytes each.
    pub metadata: BTreeMap<String, String>,
}

/// Where a server finds its metadata and user-data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetadataSource {
    /// A drive that only this server sees.
    ConfigDrive,
    /// The cloud's metadata service.
    Service,
}

impl<'a> Compute<'a> {
    pub(super) fn new(session: &'a Session) -> Self {
        Self { session }
    }

    /// All flavors that the project may use ("List flavors with details").
    pub fn flavors(&self, deadline: Deadline) -> Result<Vec<Flavor>, OpenStackError> {
        let call = || Call::new(Service::Compute, Method::Get, "listing flavors", "/flavors/detail");
        self.session.list(call, "flavors", "flavors_links", &|_| true, deadline)
    }

    /// Begins to make a server ("Create server"). Fails with [`ErrorKind::Invalid`] when flavor, image, network
    /// or security group do not exist or do not fit.
    pub fn create_server(&self, server: &NewServer, deadline: Deadline) -> Result<ServerId, OpenStackError> {
        let mut content = json!({"server": {
            "name": server.name,
            "imageRef": server.image,
            "flavorRef": server.flavor,
            "networks": [{"uuid": server.network}],
            "config_drive": server.metadata_source == MetadataSource::ConfigDrive,
            "user_data": BASE64_STANDARD.encode(server.user_data.expose()),
            "metadata": server.metadata,
        }});
        if let Some(group) = &server.security_group {
            content["server"]["security_groups"] = json!([{"name": group}]);
        }
        let operation = format!("creating server {}", server.name);
        let call = Call::new(Service::Compute, Method::Post, operation, "/servers").json(content);
        let size = server.user_data.expose().len();
        if size > USER_DATA_LIMIT {
            let message = format!("the user-data has {size} bytes, {USER_DATA_LIMIT} are allowed");
            return Err(call.failed(ErrorKind::Invalid, message));
        }
        let answer: OneServer<Identified<ServerId>> = self.session.read(&call, deadline)?;
        self.session.has_made(answer.server.id.as_str());
        Ok(answer.server.id)
    }

    /// One server, or none when there is none with this id ("Show server details").
    pub fn server(&self, id: &ServerId, deadline: Deadline) -> Result<Option<Server>, OpenStackError> {
        let operation = format!("getting server {id}");
        let call = Call::new(Service::Compute, Method::Get, operation, format!("/servers/{id}"));
        let answer: Option<OneServer<Server>> = absent_as_none(self.session.read(&call, deadline))?;
        Ok(answer.map(|answer| answer.server))
    }

    /// All servers of the project, or those of exactly this name ("List servers detailed").
    pub fn servers(&self, name: Option<&str>, deadline: Deadline) -> Result<Vec<Server>, OpenStackError> {
        let call = || {
            let call = Call::new(Service::Compute, Method::Get, "listing servers", "/servers/detail");
            match name {
                Some(name) => call.query("name", format!("^{}$", literal(name))),
                None => call,
            }
        };
        let wanted = |server: &Server| name.is_none_or(|name| server.name == name);
        self.session.list(call, "servers", "servers_links", &wanted, deadline)
    }

    /// Those of all servers of the project that are `wanted`; the others are not even held in memory.
    pub fn servers_that(
        &self,
        wanted: &dyn Fn(&Server) -> bool,
        deadline: Deadline,
    ) -> Result<Vec<Server>, OpenStackError> {
        let call = || Call::new(Service::Compute, Method::Get, "listing servers", "/servers/detail");
        self.session.list(call, "servers", "servers_links", wanted, deadline)
    }

    /// Waits until a server is in `status`. Fails at once, with Nova's reason, when it failed or disappeared.
    pub fn wait_for_server(
        &self,
        id: &ServerId,
        status: &ServerStatus,
        deadline: Deadline,
    ) -> Result<Server, OpenStackError> {
        let operation = format!("waiting for server {id} to become {status}");
        let failed = |message: &str| Err(OpenStackError::new(ErrorKind::Failed, &operation, message));
        wait_for(&operation, deadline, || match self.server(id, deadline)? {
            None => failed("it disappeared"),
            Some(server) if server.status == *status => Ok(Some(server)),
            Some(Server { status: ServerStatus::Deleted | ServerStatus::SoftDeleted, .. }) => {
                failed("it was deleted")
            }
            Some(Server { status: ServerStatus::Error, fault, .. }) => {
                failed(fault.as_deref().unwrap_or("it failed, and Nova gives no reason"))
            }
            Some(_) => Ok(None),
        })
    }

    /// Waits until a server has an address that `choose` takes, since it may be active minutes before Nova knows its
    /// addresses; none when it does not get one in time.
    pub fn wait_for_address<T>(
        &self,
        id: &ServerId,
        choose: impl Fn(Server) -> Option<T>,
        deadline: Deadline,
    ) -> Result<Option<T>, OpenStackError> {
        let operation = format!("waiting for an address of server {id}");
        let found = wait_for(&operation, deadline, || match self.server(id, deadline)? {
            None => Err(OpenStackError::new(ErrorKind::Failed, &operation, "it disappeared")),
            Some(server) => Ok(choose(server)),
        });
        match found {
            Err(_) if deadline.passed() => Ok(None),
            found => found.map(Some),
        }
    }

    /// Begins to stop a server ("Stop server (os-stop action)"). One that is stopped is [`ErrorKind::Conflict`].
    pub fn stop_server(&self, id: &ServerId, deadline: Deadline) -> Result<(), OpenStackError> {
        let call = self.action(id, "stopping", json!({"os-stop": null}));
        self.session.call(&call, deadline).map(drop)
    }

    /// Begins to make an image of a server's disk ("Create image (createImage action)") and returns its id. The
    /// labels become properties of the image.
    pub fn create_server_image(
        &self,
        id: &ServerId,
        name: &str,
        metadata: &BTreeMap<String, String>,
        deadline: Deadline,
    ) -> Result<ImageId, OpenStackError> {
        let content = json!({"createImage": {"name": name, "metadata": metadata}});
        let call = || self.action(id, "making an image of", content.clone());
        // From 2.45 on the answer names the image; before, a header points to it.
        let versioned = call().header("openstack-api-version", "compute 2.45");
        let answer = match self.session.call(&versioned, deadline) {
            Err(error) if error.status() == Some(406) => self.session.call(&call(), deadline)?,
            other => other?,
        };
        let located = || {
            let location = answer.header("location")?;
            location.trim_end_matches('/').rsplit('/').next()?.parse().ok()
        };
        let made = answer.json::<MadeImage>().ok().map(|made| made.image_id).or_else(located);
        let made: ImageId =
            made.ok_or_else(|| versioned.failed(ErrorKind::Protocol, "the answer does not name the image"))?;
        self.session.has_made(made.as_str());
        Ok(made)
    }

    /// Begins to delete a server ("Delete server").
    pub fn delete_server(&self, id: &ServerId, deadline: Deadline) -> Result<Deletion, OpenStackError> {
        let operation = format!("deleting server {id}");
        let call =
            Call::new(Service::Compute, Method::Delete, operation, format!("/servers/{id}")).repeatable();
        deletion(self.session.call(&call, deadline).map(drop))
    }

    /// Waits until a server is gone: not found any more, or kept only by the cloud's own soft deletion.
    pub fn wait_until_gone(&self, id: &ServerId, deadline: Deadline) -> Result<(), OpenStackError> {
        let operation = format!("waiting for the deletion of server {id}");
        wait_for(&operation, deadline, || match self.server(id, deadline)? {
            None | Some(Server { status: ServerStatus::SoftDeleted, .. }) => Ok(Some(())),
            Some(_) => Ok(None),
        })
    }

    /// Deletes a server, asking again while something else is done to it, and waits until it is gone.
    pub fn remove_server(&self, id: &ServerId, deadline: Deadline) -> Result<(), OpenStackError> {
        wait_for(&format!("deleting server {id}"), deadline, || match self.delete_server(id, deadline)? {
            Deletion::InUse(_) => Ok(None),
            Deletion::Deleted | Deletion::Absent => Ok(Some(())),
        })?;
        self.wait_until_gone(id, deadline)
    }

    /// Whether the user has a key pair of this name ("Show keypair details").
    pub fn has_key_pair(&self, name: &str, deadline: Deadline) -> Result<bool, OpenStackError> {
        let operation = format!("getting key pair {name}");
        let call = Call::new(Service::Compute, Method::Get, operation, format!("/os-keypairs/{name}"));
        Ok(absent_as_none(self.session.call(&call, deadline))?.is_some())
    }

    /// Deletes a key pair of the user ("Delete keypair").
    pub fn delete_key_pair(&self, name: &str, deadline: Deadline) -> Result<Deletion, OpenStackError> {
        let operation = format!("deleting key pair {name}");
        let path = format!("/os-keypairs/{name}");
        let call = Call::new(Service::Compute, Method::Delete, operation, path).repeatable();
        deletion(self.session.call(&call, deadline).map(drop))
    }

    /// The last `lines` of what a server wrote to its console ("Show console output (os-getConsoleOutput
    /// action)"), for reports of failures.
    pub fn console_output(
        &self,
        id: &ServerId,
        lines: u32,
        deadline: Deadline,
    ) -> Result<String, OpenStackError> {
        let content = json!({"os-getConsoleOutput": {"length": lines}});
        let call = self.action(id, "reading the console of", content).repeatable();
        let answer: Console = self.session.read(&call, deadline)?;
        Ok(answer.output.unwrap_or_default())
    }

    fn action(&self, id: &ServerId, verb: &str, content: Value) -> Call {
        let operation = format!("{verb} server {id}");
        Call::new(Service::Compute, Method::Post, operation, format!("/servers/{id}/action")).json(content)
    }
}

/// A regular expression that matches `text` itself, in the dialects of the databases below Nova.
fn literal(text: &str) -> String {
    let mut pattern = String::new();
    for character in text.chars() {
        if !character.is_alphanumeric() && !"-_ ".contains(character) {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

#[derive(Deserialize)]
struct OneServer<T> {
    server: T,
}

#[derive(Deserialize)]
struct Identified<T> {
    id: T,
}

#[derive(Deserialize)]
struct MadeImage {
    image_id: ImageId,
}

#[derive(Deserialize)]
struct Console {
    output: Option<String>,
}
