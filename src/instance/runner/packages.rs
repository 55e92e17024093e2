//! Packages: sources, a mirror for the time of the build, upgrades, installation. apt works in an image that is not
//! booted as it does in a machine.

use super::{Done, RunnerBase, UNPREDICTABLE};
use crate::deadline::Deadline;
use crate::instance::executor::{Command, Executor};
use crate::instance::recipe::{AptSource, Package};

/// Where the image's own apt sources lie while a mirror is used.
const SOURCES_ASIDE: &str = "/var/lib/runner-image-builder-sources";
/// The mirror's own source file.
const MIRROR_SOURCE: &str = "/etc/apt/sources.list.d/runner-image-builder.sources";

impl RunnerBase {
    fn apt(&self, arguments: &[&str]) -> Command {
        let fixed = [
            "apt-get",
            "--yes",
            "--quiet",
            "--option=DPkg::Lock::Timeout=600",
            "--option=Dpkg::Use-Pty=0",
            "--option=Dpkg::Options::=--force-confold",
            "--option=APT::Update::Error-Mode=any",
            // A name that does not exist is an error, not a pattern that many others match.
            "--option=APT::Cmd::Pattern-Only=true",
        ];
        self.command(&[&fixed, arguments].concat()).limit(UNPREDICTABLE)
    }

    pub(super) fn choose_sources(&self, executor: &dyn Executor, deadline: Deadline) -> Done {
        self.use_mirror(executor, deadline)?;
        self.recipe.apt_sources.iter().try_for_each(|source| self.add_source(source, executor, deadline))
    }

    fn use_mirror(&self, executor: &dyn Executor, deadline: Deadline) -> Done {
        let Some(mirror) = &self.apt_mirror else { return Ok(()) };
        // Done once: what lies aside already is the image's own.
        let aside = format!(
            "[ ! -d {SOURCES_ASIDE} ] || exit 0
             mkdir -p {SOURCES_ASIDE}.new/d; cd /etc/apt
             [ ! -e sources.list ] || mv -f sources.list {SOURCES_ASIDE}.new/
             find sources.list.d -maxdepth 1 -type f -exec mv -f -t {SOURCES_ASIDE}.new/d {{}} +
             mv -T {SOURCES_ASIDE}.new {SOURCES_ASIDE}"
        );
        executor.run(self.shell(&aside), deadline)?;
        let base = self.target.base;
        let source = format!(
            "Types: deb\nURIs: {mirror}\nSuites: {base} {base}-updates {base}-security\n\
             Components: main restricted universe multiverse\n\
             Signed-By: /usr/share/keyrings/ubuntu-archive-keyring.gpg\n"
        );
        executor.push_file(MIRROR_SOURCE, 0o644, source.into_bytes(), deadline)
    }

    fn add_source(&self, source: &AptSource, executor: &dyn Executor, deadline: Deadline) -> Done {
        let key = format!("/etc/apt/keyrings/{}.asc", source.name);
        let words = |words: Vec<&str>| words.join(" ");
        let suites = match source.suites.as_slice() {
            [] => self.target.base.as_str().to_owned(),
            suites => words(suites.iter().map(|suite| suite.as_str()).collect()),
        };
        let components = words(source.components.iter().map(|component| component.as_str()).collect());
        let entry = format!(
            "Types: deb\nURIs: {}\nSuites: {suites}\nComponents: {components}\nSigned-By: {key}\n",
            source.url
        );
        let armour = source.key.as_str().as_bytes().to_vec();
        let list = format!("/etc/apt/sources.list.d/{}.sources", source.name);
        executor.push_file(&key, 0o644, armour, deadline)?;
        executor.push_file(&list, 0o644, entry.into_bytes(), deadline)
    }

    pub(super) fn leave_mirror(&self, executor: &dyn Executor, deadline: Deadline) -> Done {
        let back = format!(
            "rm -f {MIRROR_SOURCE}; [ -d {SOURCES_ASIDE} ] || exit 0; cd {SOURCES_ASIDE}
             [ ! -e sources.list ] || mv -f sources.list /etc/apt/
             find d -maxdepth 1 -type f -exec mv -f -t /etc/apt/sources.list.d {{}} +
             rm -rf {SOURCES_ASIDE} /var/lib/apt/lists/*"
        );
        executor.run(self.shell(&back), deadline).map(drop)
    }

    pub(super) fn upgrade(&self, executor: &dyn Executor, deadline: Deadline) -> Done {
        for architecture in self.foreign_architectures() {
            executor.run(self.command(&["dpkg", "--add-architecture", architecture]), deadline)?;
        }
        executor.run(self.apt(&["update"]), deadline)?;
        for Package { name, .. } in &self.recipe.removed_packages {
            let known = self.command(&["dpkg-query", "--show", name.as_str()]);
            if executor.execute(known, deadline)?.code == 0 {
                executor.run(self.apt(&["purge", name.as_str()]), deadline)?;
            }
        }
        executor.run(self.apt(&["dist-upgrade"]), deadline).map(drop)
    }

    /// The architectures of packages that are of another than the image's own, each once.
    fn foreign_architectures(&self) -> Vec<&str> {
        let named = self.recipe.packages.iter().filter_map(|package| package.name.as_str().split_once(':'));
        let mut foreign: Vec<&str> = named
            .map(|(_, architecture)| architecture)
            .filter(|architecture| {
                !["all", "any", "native", self.target.arch.ubuntu()].contains(architecture)
            })
            .collect();
        foreign.sort_unstable();
        foreign.dedup();
        foreign
    }

    pub(super) fn install_packages(&self, executor: &dyn Executor, deadline: Deadline) -> Done {
        let packages = self.recipe.packages.iter().map(|package| package.name.as_str());
        let arguments: Vec<&str> =
            ["install", "--no-install-recommends"].into_iter().chain(packages).collect();
        executor.run(self.apt(&arguments), deadline)?;
        executor.run(self.apt(&["clean"]), deadline).map(drop)
    }
}
