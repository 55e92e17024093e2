//! Brings the charm onto a machine of its own: in one call a test is where it begins.

use std::fs;
use std::path::{Path, PathBuf};

use rehearsal::agent::{Deployment, JujuVersion, Model, Relation, Secret};
use rehearsal::fixture::{APPLICATION, assemble, copy_folder};
use tempfile::TempDir;

use crate::cloud::{self, Credentials};
use crate::machine::Site;

pub const PASSWORD: &str = "hunter2-of-the-build-project";

/// A deployment being described: one unit on Juju 3.6, all OpenStack options set, a cloud that hangs.
pub struct Plan {
    juju: JujuVersion,
    units: u32,
    pub keystone: String,
    options: Vec<(String, String)>,
    nameless: bool,
}

/// Runs the charm where all that is sent to the name server vanishes.
const NAMELESS: &str = r#"exec unshare --user --map-root-user --net --mount sh -euc '
ip link add in type veth peer name out
ip address add 192.0.2.1/24 dev in
ip link set in up
ip link set out up
ip neighbour add 192.0.2.53 lladdr 02:00:00:00:00:01 dev in
mount --bind "$0.resolv.conf" /etc/resolv.conf
exec "$0.real" "$@"' "$0" "$@""#;

impl Plan {
    pub fn new() -> Self {
        let keystone = cloud::hanging();
        Self { juju: JujuVersion::V3_6, units: 1, keystone, options: Vec::new(), nameless: false }
    }

    pub fn juju(self, juju: JujuVersion) -> Self {
        Self { juju, ..self }
    }

    pub fn units(self, units: u32) -> Self {
        Self { units, ..self }
    }

    pub fn keystone(self, url: &str) -> Self {
        Self { keystone: url.to_owned(), ..self }
    }

    pub fn option(mut self, name: &str, value: &str) -> Self {
        self.options.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Looks up names where no answer ever comes.
    pub fn nameless(self) -> Self {
        Self { nameless: true, ..self }
    }

    /// Deploys without any configuration.
    pub fn bare(&self) -> Site {
        self.deploy(|_| Vec::new())
    }

    /// Deploys with all options that are needed from the first hook on, while the secret that they name is not granted:
    /// Juju grants only to applications that exist.
    pub fn ungranted(&self) -> Site {
        self.deploy(|password| self.all_options(password))
    }

    fn deploy(&self, options: impl FnOnce(&Secret) -> Vec<(String, String)>) -> Site {
        let dir = tempfile::Builder::new().prefix("machine-").tempdir().unwrap();
        let charm = dir.path().join("charm");
        let sources = Path::new(env!("CARGO_MANIFEST_DIR"));
        assemble(&charm, sources, Path::new(env!("CARGO_BIN_EXE_dispatch"))).unwrap();
        if self.nameless {
            fs::rename(charm.join("dispatch"), charm.join("dispatch.real")).unwrap();
            fs::write(charm.join("dispatch.resolv.conf"), "nameserver 192.0.2.53\n").unwrap();
            script_file(&charm.join("dispatch"), NAMELESS);
        }
        let model = Model::new(self.juju).unwrap();
        let roots = dir.path().to_owned();
        let password = model.add_secret(&[("password", PASSWORD)]).unwrap();
        let deployment = model
            .deployment(&charm, APPLICATION)
            .units(self.units)
            .path_entry(package_tools(dir.path()))
            .env_for("RUNNER_IMAGE_BUILDER_ROOT", move |number| root(&roots, number));
        let configure =
            |deployment: Deployment, (name, value): (String, String)| deployment.config(&name, &value);
        let app = options(&password).into_iter().fold(deployment, configure).run().unwrap();
        Site { app, model, password, charm, dir }
    }

    /// Deploys with all options that are needed.
    pub fn configured(&self) -> Site {
        let site = self.bare();
        site.password.grant(&site.app).unwrap();
        let options = self.all_options(&site.password);
        let options: Vec<_> = options.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        site.app.set_config(&options).unwrap();
        site
    }

    fn all_options(&self, password: &Secret) -> Vec<(String, String)> {
        let needed = [
            ("architecture", "x64"),
            ("openstack-auth-url", &self.keystone),
            ("openstack-password-secret", &password.uri()),
            ("openstack-project-domain-name", "Default"),
            ("openstack-project-name", "Builders"),
            ("openstack-user-domain-name", "Default"),
            ("openstack-user-name", "Builder"),
        ];
        let needed = needed.map(|(name, value)| (name.to_owned(), value.to_owned()));
        needed.into_iter().chain(self.options.iter().cloned()).collect()
    }

    /// Deploys, and integrates with `runners`, whose first unit gives the credentials of a project in the same cloud.
    pub fn related(&self) -> (Site, Relation) {
        let site = self.configured();
        let relation = site.app.integrate("image", "runners", &[&self.project().data()]).unwrap();
        (site, relation)
    }

    /// A related, one whose worker has just had nothing to do: nobody works, and nothing is due.
    pub fn settled(&self) -> (Site, Relation) {
        let (site, relation) = self.related();
        site.settle();
        (site, relation)
    }

    /// What [`related`](Self::related) says in the relation.
    pub fn project(&self) -> Credentials {
        Credentials::new(&self.keystone, "runners")
    }
}

/// Where a unit's machine begins.
pub fn root(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("root-{number}"))
}

/// A folder with what the charm asks about packages: all are installed, and nothing more can be. So a test never
/// changes the machine that it runs on.
fn package_tools(dir: &Path) -> PathBuf {
    let folder = dir.join("tools");
    fs::create_dir_all(&folder).unwrap();
    for (tool, script) in [
        ("dpkg-query", "shift 2; printf '%s installed\\n' \"$@\""),
        ("apt-get", "echo offline >&2; exit 100"),
    ] {
        script_file(&folder.join(tool), script);
    }
    folder
}

/// Writes an executable shell script.
pub fn script_file(path: &Path, script: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

impl Site {
    /// Makes the machines lack all packages, while no package server answers.
    pub fn lose_packages(&self) {
        script_file(&self.dir.path().join("tools/dpkg-query"), "exit 1");
    }

    /// The folder of another version of the charm.
    pub fn next_charm(&self) -> TempDir {
        use std::io::Write;
        let next = tempfile::tempdir().unwrap();
        copy_folder(&self.charm, next.path()).unwrap();
        // An executable is as good with something behind its end.
        let mut dispatch = fs::OpenOptions::new().append(true).open(next.path().join("dispatch")).unwrap();
        dispatch.write_all(b"next").unwrap();
        next
    }
}
