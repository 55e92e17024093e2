//! Packages: sources, a mirror for the time of the build, upgrades, installation. apt works in an image that is not
//! booted as it does in a machine.

use super::fetching::fetch;
use super::{Done, Part, RunnerBase, UNPREDICTABLE};
use crate::instance::error::{BaseConfigurationError, ProviderError};
use crate::instance::executor::{Command, Executor, ExecutorError};
use crate::instance::recipe::{AptSource, Package, SourceKey};
use crate::model::Deadline;

/// Where the image's own apt sources lie while a mirror is used.
const SOURCES_ASIDE: &str = "/var/lib/runner-image-builder-sources";
/// The mirror's own source file.
const MIRROR_SOURCE: &str = "/etc/apt/sources.list.d/runner-image-builder.sources";

/// Fetches the key at `$1` into a keyring named `$2`, and says where: apt knows the form of a key by the file's ending.
const FETCH_KEY: &str = "new=$(mktemp); trap 'rm -f \"$new\"' EXIT
    curl --fail --silent --show-error --location --proto '=https' --connect-timeout 30 \
        --speed-limit 1 --speed-time 60 --max-filesize 1048576 --output \"$new\" -- \"$1\"
    ending=gpg
    ! grep -q -e '^-----BEGIN PGP PUBLIC KEY BLOCK-----' \"$new\" || ending=asc
    install -D --mode=0644 --owner=root --group=root \"$new\" \"/etc/apt/keyrings/$2.$ending\"
    echo \"/etc/apt/keyrings/$2.$ending\"";

/// Runs `$@`, a simulated installation, and names the packages that apt has nothing to install for. Other obstacles may go
/// with the upgrade, or are told by the installation itself.
pub(super) const NAME_ABSENT: &str = "said=$(\"$@\" 2>&1) && exit 0
    sed -nE \"s/^(E|Error): Unable to locate package //p; s/^(E|Error): Package '(.*)' has no installation candidate$/\\2/p\" \
        <<<\"$said\"";

impl RunnerBase {
    fn apt(&self, arguments: &[&str]) -> Command {
        self.command(&apt_words(arguments)).limit(UNPREDICTABLE)
    }

    /// Runs apt-get for something that it fetches. Packages that have vanished from a mirror have newer ones in its new lists.
    fn fetch_packages(&self, executor: &dyn Executor, arguments: &[&str], deadline: Deadline) -> Done {
        let attempt = |number| {
            if number > 1 && arguments != ["update"] {
                executor.run(self.apt(&["update"]), deadline)?;
            }
            executor.run(self.apt(arguments), deadline)
        };
        fetch(deadline, attempt).map(drop)
    }

    /// Chooses where packages come from, and makes sure that each of the recipe's comes from somewhere: nothing is changed
    /// in an image that cannot be completed.
    pub(super) fn choose_sources(
        &self,
        executor: &dyn Executor,
        deadline: Deadline,
    ) -> Result<(), ProviderError> {
        self.use_mirror(executor, deadline)?;
        self.recipe.apt_sources.iter().try_for_each(|source| self.add_source(source, executor, deadline))?;
        for architecture in self.foreign_architectures() {
            executor.run(self.command(&["dpkg", "--add-architecture", architecture]), deadline)?;
        }
        self.fetch_packages(executor, &["update"], deadline)?;
        let absent = self.absent_packages(executor, deadline)?;
        match absent.is_empty() {
            true => Ok(()),
            false => {
                let (packages, target) = (absent.join(", "), self.target);
                Err(BaseConfigurationError::NoCandidate { packages, target }.into())
            }
        }
    }

    /// The packages of the recipe that apt has no candidate for. apt itself decides: a virtual package with one provider
    /// has one.
    fn absent_packages(
        &self,
        executor: &dyn Executor,
        deadline: Deadline,
    ) -> Result<Vec<String>, ExecutorError> {
        if self.recipe.packages.is_empty() {
            return Ok(Vec::new());
        }
        let simulated = [&["--simulate"], self.installation().as_slice()].concat();
        let command = self.shell_with(NAME_ABSENT, &apt_words(&simulated)).limit(UNPREDICTABLE);
        let output = executor.run(command, deadline)?;
        Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
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
        let architectures = self.architectures_of_mirror();
        let source = format!(
            "Types: deb\nURIs: {mirror}\nSuites: {base} {base}-updates {base}-security\n\
             Components: main restricted universe multiverse\n{architectures}\
             Signed-By: /usr/share/keyrings/ubuntu-archive-keyring.gpg\n"
        );
        executor.push_file(MIRROR_SOURCE, 0o644, source.into_bytes(), deadline)
    }

    /// The line that keeps the mirror from being asked for architectures which the recipe has sources of its own for.
    fn architectures_of_mirror(&self) -> String {
        let sources = self.recipe.apt_sources.iter();
        let elsewhere: Vec<&str> =
            sources.flat_map(|source| &source.architectures).map(|word| word.as_str()).collect();
        let foreign = self.foreign_architectures();
        if !foreign.iter().any(|architecture| elsewhere.contains(architecture)) {
            return String::new();
        }
        let served = foreign.into_iter().filter(|architecture| !elsewhere.contains(architecture));
        let words: Vec<&str> = [self.target.arch.ubuntu()].into_iter().chain(served).collect();
        format!("Architectures: {}\n", words.join(" "))
    }

    fn add_source(&self, source: &AptSource, executor: &dyn Executor, deadline: Deadline) -> Done {
        let key = self.add_key(source, executor, deadline)?;
        let words = |words: Vec<&str>| words.join(" ");
        let suites = match source.suites.as_slice() {
            [] => self.target.base.as_str().to_owned(),
            suites => words(suites.iter().map(|suite| suite.as_str()).collect()),
        };
        let components = words(source.components.iter().map(|component| component.as_str()).collect());
        let architectures = match source.architectures.as_slice() {
            [] => String::new(),
            some => format!("Architectures: {}\n", words(some.iter().map(|word| word.as_str()).collect())),
        };
        let entry = format!(
            "Types: deb\nURIs: {}\nSuites: {suites}\nComponents: {components}\n{architectures}Signed-By: {key}\n",
            source.url
        );
        let list = format!("/etc/apt/sources.list.d/{}.sources", source.name);
        executor.push_file(&list, 0o644, entry.into_bytes(), deadline)
    }

    /// Puts the key of a source into the image. Returns its path.
    fn add_key(
        &self,
        source: &AptSource,
        executor: &dyn Executor,
        deadline: Deadline,
    ) -> Result<String, ExecutorError> {
        match &source.key {
            SourceKey::Present(keyring) => Ok(keyring.to_string()),
            SourceKey::Armoured(armour) => {
                let path = format!("/etc/apt/keyrings/{}.asc", source.name);
                executor.push_file(&path, 0o644, armour.as_str().as_bytes().to_vec(), deadline)?;
                Ok(path)
            }
            SourceKey::Fetched(url) => {
                let arguments = [url.as_str(), source.name.as_str()];
                let output = self.fetch_with(executor, FETCH_KEY, &arguments, deadline)?;
                Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
            }
        }
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
        // In a prepared image they are gone, unless what was installed since depends on them.
        let removed = self.recipe.removed_packages.iter().filter(|_| self.part != Part::OnPrepared);
        for Package { name, .. } in removed {
            let known = self.command(&["dpkg-query", "--show", name.as_str()]);
            if executor.execute(known, deadline)?.code == 0 {
                executor.run(self.apt(&["purge", name.as_str()]), deadline)?;
            }
        }
        self.fetch_packages(executor, &["dist-upgrade"], deadline)
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
        self.fetch_packages(executor, &self.installation(), deadline)?;
        executor.run(self.apt(&["clean"]), deadline).map(drop)
    }

    fn installation(&self) -> Vec<&str> {
        let packages = self.recipe.packages.iter().map(|package| package.name.as_str());
        ["install", "--no-install-recommends"].into_iter().chain(packages).collect()
    }
}

/// apt-get with these arguments, as a build wants it.
fn apt_words<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
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
    [&fixed, arguments].concat()
}
