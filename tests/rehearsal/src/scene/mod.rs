//! Where tests and the show begin: a cloud, the web around it, and a model with machines for the charm's units.
//!
//! A unit's machine is a folder of its own ([`Scene::root`]); the packages that a charm installs there are noted, never
//! installed on the host.

mod charm_folder;
mod machine;

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::agent::{AgentError, Application, JujuVersion, Model, Relation, Secret, Unit};
use crate::cloud::{CloudSetup, RehearsalCloud};
use crate::servers::{Site, SiteSetup};

pub use self::charm_folder::{CHARM_VARIABLE, assemble, copy_folder};

/// The application's name.
pub const APPLICATION: &str = "image-builder";
/// The project in which builder VMs run.
pub const BUILD_PROJECT: &str = "builder-project";

/// A scene could not be set.
#[derive(Debug, thiserror::Error)]
pub enum SceneError {
    /// Something of this machine.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// What went wrong.
        source: io::Error,
    },
    /// The agent refused or could not.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// This machine cannot run instances.
    #[error("{0}")]
    NoInstances(String),
}

fn doing(doing: &'static str) -> impl FnOnce(io::Error) -> SceneError {
    move |source| SceneError::Io { doing, source }
}

/// Everything around the charm. Dropping it ends and removes all of it.
pub struct Scene {
    /// The model: first to go, so that no worker is left when the cloud ends.
    pub model: Model,
    /// The OpenStack.
    pub cloud: RehearsalCloud,
    /// Ubuntu's, GitHub's and the operator's own web sites.
    pub site: Site,
    directory: TempDir,
}

impl Scene {
    /// Starts all of it.
    pub fn set(juju: JujuVersion, cloud: CloudSetup, site: SiteSetup) -> Result<Self, SceneError> {
        let cloud = RehearsalCloud::start(cloud).map_err(doing("starting the cloud"))?;
        if let Some(why) = cloud.instances_unavailable() {
            return Err(SceneError::NoInstances(why));
        }
        let site = Site::start(site).map_err(doing("starting the web sites (is gpg installed?)"))?;
        let directory =
            tempfile::Builder::new().prefix("rib-").tempdir().map_err(doing("making a folder"))?;
        machine::install_tools(directory.path()).map_err(doing("making the machines' package tools"))?;
        Ok(Self { model: Model::new(juju)?, cloud, site, directory })
    }

    /// Deploys one unit of the unpacked charm in `charm`, without configuration.
    pub fn deploy(&self, charm: &Path) -> Result<Application, SceneError> {
        self.deploy_as(APPLICATION, charm, root)
    }

    /// The same for another application, which has machines of its own ([`Scene::neighbours_root`]).
    pub fn deploy_neighbour(&self, name: &str, charm: &Path) -> Result<Application, SceneError> {
        self.deploy_as(name, charm, neighbours_root)
    }

    fn deploy_as(
        &self,
        name: &str,
        charm: &Path,
        root: fn(&Path, u32) -> PathBuf,
    ) -> Result<Application, SceneError> {
        let directory = self.directory.path().to_owned();
        let deployment = self
            .model
            .deployment(charm, name)
            .path_entry(machine::tools(self.directory.path()))
            .env_for("RUNNER_IMAGE_BUILDER_ROOT", move |unit| root(&directory, unit));
        Ok(deployment.run()?)
    }

    /// Where a unit's machine begins.
    pub fn root(&self, unit: u32) -> PathBuf {
        root(self.directory.path(), unit)
    }

    /// Where the machine of a neighbour's unit begins.
    pub fn neighbours_root(&self, unit: u32) -> PathBuf {
        neighbours_root(self.directory.path(), unit)
    }

    /// The folder that goes with the scene, for whatever else has to be there.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// What the charm has to be told of this scene: where the cloud and the web sites are.
    pub fn options(&self, password: &Secret) -> Vec<(&'static str, String)> {
        vec![
            ("architecture", "amd64".into()),
            ("base-image-source", self.site.images_url()),
            ("base-image-keyring", self.site.keyring().display().to_string()),
            ("github-api-url", self.site.github_api_url()),
            ("runner-source", self.site.github_url()),
            ("ssh-options", format!("Port={}", self.cloud.ssh_port())),
            ("openstack-auth-url", self.cloud.auth_url()),
            ("openstack-password-secret", password.uri()),
            ("openstack-project-domain-name", "Default".into()),
            ("openstack-project-name", BUILD_PROJECT.into()),
            ("openstack-user-domain-name", "Default".into()),
            ("openstack-user-name", "builder-user".into()),
        ]
    }

    /// Integrates with a consumer, `NAME-runners`, that wants its images in `NAME-project`.
    pub fn integrate(&self, app: &Application, name: &str) -> Result<Relation, AgentError> {
        let (user, password) = (format!("{name}-user"), format!("{name}-password"));
        let (project, auth_url) = (format!("{name}-project"), self.cloud.auth_url());
        let data = [
            ("auth_url", auth_url.as_str()),
            ("username", &user),
            ("password", &password),
            ("user_domain_name", "Default"),
            ("project_name", &project),
            ("project_domain_name", "Default"),
        ];
        app.integrate("image", &format!("{name}-runners"), &[&data])
    }

    /// What a databag of ours says under `key`.
    pub fn told(&self, relation: &Relation, unit: &Unit, key: &str) -> Option<String> {
        relation.written_by(unit).ok()?.get(key).cloned()
    }

    /// What is in the build project beside images that stay (base images, finished builds) and hidden ones: servers, groups,
    /// snapshots.
    pub fn leftovers(&self) -> Vec<String> {
        let project = self.cloud.project(BUILD_PROJECT);
        let servers = project.servers().into_iter().map(|server| format!("server {}", server.name));
        let groups = project.security_groups().into_iter().map(|group| group.name);
        let groups = groups.filter(|name| name != "default").map(|name| format!("group {name}"));
        let images =
            project.images().into_iter().filter(|image| !image.hidden).filter_map(|image| image.name);
        let stays = ["-image-builder-base-", "-image-builder-revision-"];
        let images = images.filter(|name| !stays.iter().any(|stays| name.contains(stays)));
        servers.chain(groups).chain(images.map(|name| format!("image {name}"))).collect()
    }
}

fn root(directory: &Path, unit: u32) -> PathBuf {
    directory.join(format!("machine-{unit}"))
}

// Short: ssh wants a socket below it, whose path may have 107 bytes.
fn neighbours_root(directory: &Path, unit: u32) -> PathBuf {
    directory.join(format!("next-{unit}"))
}

/// Waits until `condition` gives something, for `patience` at most.
pub fn wait_for<T>(patience: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let started = Instant::now();
    loop {
        let found = condition();
        if found.is_some() || started.elapsed() >= patience {
            return found;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
