//! The charm's life, written once for every cloud: hooks in, images out, nothing left behind.
//!
//! A [`Scenario`] runs case by case, in order, since a build may take minutes: each case is a promise with a name
//! of its own. What is particular to a cloud is its [`Environment`].

mod failures;
pub mod inventory;
mod kills;
mod life;
mod prepared;
mod sharing;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use rehearsal::agent::Relation;

use crate::deployed::{APPLICATION, Deployed};

#[allow(unused_imports, reason = "only some tests roll")]
pub use self::kills::Dice;

/// The project in which builder VMs run.
pub const BUILD_PROJECT: &str = "builder-project";
/// Two consumers; the project of each is `NAME-project`.
pub const CONSUMERS: [&str; 2] = ["upload", "upload2"];
/// The image's name.
pub const IMAGE: &str = "image-builder-noble-x64";
/// How many revisions are kept.
pub const HISTORY: usize = 2;

/// A charm on a machine, and a cloud that it works in.
pub trait Environment: Deployed {
    /// What the charm has to be told of this cloud: whatever it cannot do without.
    fn options(&self) -> Vec<(&'static str, String)>;

    /// The URI of the secret with the script's secret.
    fn script_secret(&self) -> String;

    /// Integrates with a consumer that wants its images in `NAME-project`.
    fn integrate(&self, name: &str) -> Relation;

    /// Serves an operator's script, one of [`scripts`]; its URL.
    fn serve_script(&self, name: &str) -> String;

    /// All that a project sees: `server ID NAME...`, `image ID NAME STATUS VISIBILITY own|other [hidden]`,
    /// `security-group ID NAME...`, `port ID...`.
    fn inventory(&self, project: &str) -> BTreeSet<String>;

    /// An image as the project sees it.
    fn image(&self, project: &str, id: &str) -> Option<Image>;

    /// Makes an image that is somebody else's; its id.
    fn add_image(&self, project: &str, name: &str) -> String;

    /// Removes an image.
    fn remove_image(&self, project: &str, id: &str);

    /// Where in an image one of these texts stands; `anywhere`: also where no file is any more.
    fn find_in_image(&self, project: &str, id: &str, texts: &[String], anywhere: bool) -> Option<String>;

    /// What builder VMs are told of the machine's surroundings, and no image may remember.
    fn surroundings(&self) -> Vec<String>;
}

/// What there is to know of an image.
pub struct Image {
    pub name: String,
    pub status: String,
    pub properties: BTreeMap<String, String>,
}

/// The folder of an operator's scripts.
#[allow(dead_code, reason = "not every cloud serves them")]
pub fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenario/scripts")
}

/// The name of a consumer's project.
pub fn project_of(consumer: &str) -> String {
    format!("{consumer}-project")
}

/// Runs one case, and prints its name and how long it took.
pub fn case<T>(name: &str, run: impl FnOnce() -> T) -> T {
    println!("--- {name}");
    let started = Instant::now();
    let result = run();
    println!("    ok, {} s", started.elapsed().as_secs());
    result
}

/// The charm, its cloud, and what has happened so far.
pub struct Scenario<E: Environment> {
    pub environment: E,
    relations: Vec<Relation>,
    /// What was in the build project and in the consumers' before the charm came.
    before: Vec<BTreeSet<String>>,
    /// An image of the same name that somebody else made.
    foreign: String,
    /// The ids of the first consumer's images, oldest first.
    pub revisions: Vec<String>,
    /// The first builder VM's two public keys: ours for it, and its host key.
    pub keys: [String; 2],
    /// The image that failed last.
    rejected: Option<String>,
}

impl<E: Environment> Drop for Scenario<E> {
    fn drop(&mut self) {
        self.environment.remove_image(&project_of(CONSUMERS[0]), &self.foreign);
    }
}

impl<E: Environment> Scenario<E> {
    pub fn begin(environment: E) -> Self {
        let foreign = environment.add_image(&project_of(CONSUMERS[0]), IMAGE);
        let mut scenario = Self {
            environment,
            relations: Vec::new(),
            before: Vec::new(),
            foreign,
            revisions: Vec::new(),
            keys: Default::default(),
            rejected: None,
        };
        scenario.before = scenario.inventories();
        scenario
    }

    /// What is in the build project and in the consumers'.
    fn inventories(&self) -> Vec<BTreeSet<String>> {
        let projects = [BUILD_PROJECT.to_owned()].into_iter().chain(CONSUMERS.map(project_of));
        projects.map(|project| self.environment.inventory(&project)).collect()
    }

    /// What the charm has made in the build project.
    fn made(&self) -> Vec<String> {
        added(&self.before[0], &self.environment.inventory(BUILD_PROJECT))
    }

    /// What each relation names.
    fn published(&self) -> Vec<Option<String>> {
        self.relations.iter().map(|relation| self.environment.told(relation, "id")).collect()
    }

    fn note_revision(&mut self) {
        self.revisions.extend(self.published().swap_remove(0));
    }

    /// The ids of a consumer's images of our name, anybody's.
    fn images(&self, consumer: &str) -> BTreeSet<String> {
        let images = self.environment.inventory(&project_of(consumer));
        let id = |line: &String| match line.split(' ').collect::<Vec<_>>()[..] {
            ["image", id, IMAGE, ..] => Some(id.to_owned()),
            _ => None,
        };
        images.iter().filter_map(id).collect()
    }

    /// Published images, the builds that they are copies of, the base image for the next build, an image that failed:
    /// nothing else is there.
    pub fn no_leftovers(&self) {
        let (rejected, rest): (Vec<String>, Vec<String>) =
            self.made().into_iter().partition(|line| line.ends_with(" hidden"));
        let kept = |word: &str| format!(" {APPLICATION}-image-builder-{word}-noble-x64");
        let (prepared, rest): (Vec<String>, Vec<String>) =
            rest.into_iter().partition(|line| line.contains(&kept("prepared")));
        assert!(prepared.len() <= 1, "{prepared:?}");
        let (builds, rest): (Vec<String>, Vec<String>) =
            rest.into_iter().partition(|line| line.contains(&kept("revision")));
        assert_eq!(builds.len(), self.revisions.len().min(HISTORY), "{builds:?}");
        assert!(matches!(&rest[..], [base] if base.contains(&kept("base"))), "{rest:?}");
        assert_eq!(rejected.len(), usize::from(self.rejected.is_some()), "{rejected:?}");
        for (line, id) in rejected.iter().zip(&self.rejected) {
            assert!(line.contains(&kept("rejected")) && line.contains(id), "{line}");
        }
        for (before, consumer) in self.before[1..].iter().zip(CONSUMERS) {
            let lines = added(before, &self.environment.inventory(&project_of(consumer)));
            assert_eq!(lines.len(), self.revisions.len().min(HISTORY), "{lines:?}");
            assert!(lines.iter().all(|line| line.contains(IMAGE)), "{lines:?}");
        }
        assert_eq!(self.environment.run_files(), [] as [String; 0], "on the machine");
    }
}

/// The lines of `after` that are not in `before`; nothing may be missing.
pub fn added(before: &BTreeSet<String>, after: &BTreeSet<String>) -> Vec<String> {
    assert!(before.is_subset(after), "missing: {:?}", before.difference(after).collect::<Vec<_>>());
    after.difference(before).cloned().collect()
}

/// The base64 part of a private key's public one.
fn public_key(private: &Path) -> Option<String> {
    let output = Command::new("ssh-keygen").arg("-yf").arg(private).output().expect("ssh-keygen");
    word(&String::from_utf8_lossy(&output.stdout), 1)
}

fn word(line: &str, index: usize) -> Option<String> {
    line.split_whitespace().nth(index).map(str::to_owned)
}

/// The base64 parts of the two public keys of the running build: ours, and the builder VM's host key.
fn builder_keys(run_dir: &Path) -> Option<[String; 2]> {
    let folders = std::fs::read_dir(run_dir).ok()?.flatten().map(|entry| entry.path());
    let folder = folders.into_iter().find(|folder| folder.join("known_hosts").exists())?;
    let theirs = std::fs::read_to_string(folder.join("known_hosts")).ok()?;
    Some([public_key(&folder.join("key"))?, word(&theirs, 2)?])
}
