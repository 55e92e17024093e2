//! What a cloud looks like when it starts. Everything has a default that a small real cloud could have.

use std::time::Duration;

use super::quirks::Quirks;

/// A cloud before it runs.
#[derive(Clone, Debug)]
pub struct CloudSetup {
    /// Each has its own Glance, Nova and Neutron; Keystone is shared.
    pub regions: Vec<String>,
    /// Those of them that the catalog lists without a Glance.
    pub without_glance: Vec<String>,
    /// The interfaces in the catalog, all with the same URLs.
    pub interfaces: Vec<String>,
    /// Projects of the domain Default.
    pub projects: Vec<String>,
    /// Who may log in.
    pub users: Vec<UserSetup>,
    /// What may be used in the place of a user's password.
    pub application_credentials: Vec<ApplicationCredentialSetup>,
    /// The same in every region.
    pub flavors: Vec<FlavorSetup>,
    /// The same in every region.
    pub networks: Vec<NetworkSetup>,
    /// Nova's and Neutron's limits per project.
    pub quota: Quota,
    /// How long things take.
    pub latencies: Latencies,
    /// The port on which every instance answers ssh, at an address of its own; 0 takes a free one.
    pub ssh_port: u16,
    /// How long a token is good.
    pub token_lifetime: Duration,
    /// Whether Glance refuses to delete an image that a server was made from (as copy-on-write stores do).
    pub images_in_use: ImagesInUse,
    /// How many members Glance allows an image (`image_member_quota`).
    pub image_members: u64,
    /// What is unusual about it.
    pub quirks: Quirks,
}

impl CloudSetup {
    /// The same with `NAME-project` for each of these names, and its user `NAME-user` with the password `NAME-password`.
    pub fn with_projects(mut self, names: impl IntoIterator<Item = String>) -> Self {
        for name in names {
            self.users.push(member(&name));
            self.projects.push(format!("{name}-project"));
        }
        self
    }
}

/// The user of `NAME-project`.
fn member(name: &str) -> UserSetup {
    UserSetup {
        name: format!("{name}-user"),
        password: format!("{name}-password"),
        projects: vec![format!("{name}-project")],
        roles: vec!["member".into(), "reader".into()],
    }
}

/// A network.
#[derive(Clone, Debug)]
pub struct NetworkSetup {
    /// Its name.
    pub name: String,
    /// Who may use it.
    pub owner: NetworkOwner,
    /// Whether it leads outside; every project sees it then.
    pub external: bool,
    /// Whether its ports have security groups.
    pub port_security: bool,
    /// A subnet for each of these.
    pub families: Vec<Family>,
}

impl NetworkSetup {
    /// An inner network that all projects share, with one subnet of IPv4.
    pub fn shared(name: &str) -> Self {
        let owner = NetworkOwner::Everybody;
        Self { name: name.into(), owner, external: false, port_security: true, families: vec![Family::V4] }
    }
}

/// Who may use a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkOwner {
    /// A project that shares it with all.
    Everybody,
    /// A project of this name, alone.
    Project(String),
    /// The routers of the cloud; it belongs to no project.
    Routers,
}

/// A version of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Version 4.
    V4,
    /// Version 6. The addresses of its servers are those of version 4 as version 6 writes them (`::ffff:127.0.0.1`).
    V6,
}

/// What happens to an image that a server was made from when somebody deletes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImagesInUse {
    /// It goes, as with a file store.
    CanBeDeleted,
    /// 409, as with Ceph.
    AreKept,
}

/// A user of the domain Default.
#[derive(Clone, Debug)]
pub struct UserSetup {
    /// The name to log in with.
    pub name: String,
    /// The password.
    pub password: String,
    /// The projects on which the user has roles.
    pub projects: Vec<String>,
    /// `member` and `reader`, or `admin`.
    pub roles: Vec<String>,
}

/// An application credential, restricted as they are unless somebody asks otherwise.
#[derive(Clone, Debug)]
pub struct ApplicationCredentialSetup {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its secret.
    pub secret: String,
    /// The name of the user that it stands for.
    pub user: String,
    /// The name of the only project that it is for.
    pub project: String,
    /// Names of roles of its user.
    pub roles: Vec<String>,
}

/// A flavor.
#[derive(Clone, Debug)]
pub struct FlavorSetup {
    /// Its name.
    pub name: String,
    /// Virtual CPUs.
    pub vcpus: u64,
    /// MiB.
    pub ram: u64,
    /// GiB.
    pub disk: u64,
    /// Extra specs, in order.
    pub extra_specs: Vec<(String, String)>,
}

/// Limits per project.
#[derive(Clone, Copy, Debug)]
pub struct Quota {
    /// Servers.
    pub instances: u64,
    /// Virtual CPUs.
    pub cores: u64,
    /// MiB.
    pub ram: u64,
    /// Security groups.
    pub security_groups: u64,
    /// Security group rules.
    pub security_group_rules: u64,
}

/// How long the asynchronous steps take.
#[derive(Clone, Copy, Debug)]
pub struct Latencies {
    /// BUILD to ACTIVE.
    pub build: Duration,
    /// ACTIVE to an answering ssh.
    pub boot: Duration,
    /// ssh to the end of cloud-init, besides what the user-data has to do.
    pub cloud_init: Duration,
    /// os-stop to SHUTOFF, and os-start or reboot to ACTIVE.
    pub power: Duration,
    /// createImage to the upload of the snapshot.
    pub snapshot: Duration,
    /// The last byte of an upload to the status active.
    pub image: Duration,
    /// DELETE of a server to its absence.
    pub delete: Duration,
}

impl Default for Latencies {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self {
            build: ms(40),
            boot: ms(20),
            cloud_init: ms(20),
            power: ms(20),
            snapshot: ms(30),
            image: ms(0),
            delete: ms(30),
        }
    }
}

impl Default for CloudSetup {
    /// One region, the projects `builder-project`, `upload-project` and `upload2-project` with a user each
    /// (`builder-user`, password `builder-password`, and so on) and an `admin`; `builder2-project`, which is also
    /// `builder-user`'s; an application credential of `builder-user` with the role `member`; flavors `builder` and `m1.tiny` and `no-disk`; the network `runner-net`.
    fn default() -> Self {
        let flavor = |name: &str, vcpus, ram, disk| FlavorSetup {
            name: name.into(),
            vcpus,
            ram,
            disk,
            extra_specs: Vec::new(),
        };
        let mut builder = member("builder");
        builder.projects.push("builder2-project".into());
        Self {
            regions: vec!["RegionOne".into()],
            without_glance: Vec::new(),
            interfaces: vec!["public".into(), "internal".into(), "admin".into()],
            projects: ["builder-project", "builder2-project", "upload-project", "upload2-project", "admin"]
                .map(Into::into)
                .into(),
            users: vec![
                builder,
                member("upload"),
                member("upload2"),
                UserSetup {
                    name: "admin".into(),
                    password: "admin-password".into(),
                    projects: vec!["admin".into(), "builder-project".into()],
                    roles: vec!["admin".into(), "member".into(), "reader".into()],
                },
            ],
            application_credentials: vec![ApplicationCredentialSetup {
                id: "5d2f6a0c9b8e4c71a3f0d6e7b1c2a394".into(),
                name: "image-builder".into(),
                secret: "builder-application-secret".into(),
                user: "builder-user".into(),
                project: "builder-project".into(),
                roles: vec!["member".into()],
            }],
            flavors: vec![
                flavor("m1.tiny", 1, 512, 1),
                flavor("builder", 2, 2048, 20),
                flavor("no-disk", 2, 4096, 0),
            ],
            networks: vec![NetworkSetup::shared("runner-net")],
            quota: Quota {
                instances: 10,
                cores: 20,
                ram: 51_200,
                security_groups: 10,
                security_group_rules: 100,
            },
            latencies: Latencies::default(),
            ssh_port: 0,
            token_lifetime: Duration::from_secs(24 * 3600),
            images_in_use: ImagesInUse::CanBeDeleted,
            image_members: 128,
            quirks: Quirks::default(),
        }
    }
}
