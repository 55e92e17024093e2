//! What has come of a build: in the clouds, on the host; and that no secret was told.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rehearsal::agent::{Model, Unit};
use rehearsal::cloud::{Image, RehearsalCloud};
use runner_image_builder::host::Host;

use crate::run::{PROJECTS, SECRETS};

/// What can be compared between runs: nothing random is in it.
pub struct Outcome {
    /// Each project's servers, ports, security groups and images, hidden ones too.
    clouds: Vec<String>,
    /// The trees of published images.
    images: BTreeMap<String, Vec<String>>,
    /// The files below the unit's root.
    files: Vec<String>,
    /// What is mounted below it.
    mounts: Vec<String>,
}

impl Outcome {
    pub fn of(cloud: &RehearsalCloud, root: &Path) -> Self {
        let mut clouds = Vec::new();
        let mut images = BTreeMap::new();
        for name in PROJECTS {
            let project = cloud.project(name);
            clouds.extend(project.servers().iter().map(|server| format!("{name} server {}", server.name)));
            clouds.extend(project.ports().iter().map(|_| format!("{name} port")));
            clouds
                .extend(project.security_groups().iter().map(|group| format!("{name} group {}", group.name)));
            clouds.extend(project.images().iter().map(|image| format!("{name} image {}", record(image))));
            for image in project.images().iter().filter(|image| image.status == "active" && !image.hidden) {
                // A base image is no tree of ours.
                let Ok(tree) = project.image_tree(&image.id) else { continue };
                let label = format!("{name} {}", image.name.as_deref().unwrap_or("-"));
                images.insert(label, tree.0.keys().cloned().collect());
            }
        }
        clouds.sort();
        Self { clouds, images, files: files(root), mounts: mounts(root) }
    }

    /// Whether `found` is the same; the error says what is not.
    pub fn compare(&self, found: &Self) -> Result<(), String> {
        same("the clouds", &self.clouds, &found.clouds)?;
        same("the host's files", &self.files, &found.files)?;
        same("the host's mounts", &self.mounts, &found.mounts)?;
        for (image, tree) in &self.images {
            same(image, tree, found.images.get(image).map_or(&[], Vec::as_slice))?;
        }
        Ok(())
    }
}

/// What Glance says of an image, but for what is different each time.
fn record(image: &Image) -> String {
    let labels: Vec<&String> = image.properties.keys().collect();
    let name = image.name.as_deref().unwrap_or("-");
    let members: Vec<&str> = image.members.iter().map(|member| member.status.as_str()).collect();
    format!("{name} {} {} {members:?} {labels:?}", image.status, image.visibility)
}

/// The files below a unit's root, without what is random in their names.
fn files(root: &Path) -> Vec<String> {
    let relative = |path: &PathBuf| {
        let path = path.strip_prefix(root).ok()?.display().to_string();
        // By the digest of an image or of what is in it, which is another in each fixture.
        let mut folders = ["manifests", "provenance"].into_iter();
        let by_digest = folders.find_map(|name| {
            let (folder, _) = path.split_once(&format!("/{name}/"))?;
            Some(format!("{folder}/{name}/DIGEST"))
        });
        Some(by_digest.unwrap_or(path))
    };
    let mut files: Vec<String> = walk(root).iter().filter_map(relative).collect();
    files.sort();
    files
}

fn mounts(root: &Path) -> Vec<String> {
    let root = root.display().to_string();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let below = mounts.lines().filter_map(|line| line.split(' ').nth(1)?.strip_prefix(&root));
    // The root itself may be a disk of ours.
    below.filter(|path| !path.is_empty()).map(str::to_owned).collect()
}

fn same(what: &str, wanted: &[String], found: &[String]) -> Result<(), String> {
    let without = |a: &[String], b: &[String]| {
        let mut rest = b.to_vec();
        let mut only: Vec<String> = Vec::new();
        for line in a {
            match rest.iter().position(|other| other == line) {
                Some(index) => drop(rest.swap_remove(index)),
                None => only.push(line.clone()),
            }
        }
        only
    };
    let (missing, more) = (without(wanted, found), without(found, wanted));
    if missing.is_empty() && more.is_empty() {
        return Ok(());
    }
    Err(format!("{what}: missing {missing:?}, left {more:?}"))
}

/// Whether nothing that the charm has written or said has one of [`SECRETS`].
pub fn tells_no_secret(model: &Model, unit: &Unit, root: &Path) -> Result<(), String> {
    let statuses = unit.statuses().map_err(|error| error.to_string())?;
    let mut outputs: Vec<(String, String)> =
        statuses.iter().map(|status| ("a status".to_owned(), status.message.clone())).collect();
    outputs.extend(model.debug_log().iter().map(|line| ("the debug-log".to_owned(), format!("{line:?}"))));
    for run in model.runs() {
        outputs.push((format!("the output of {}", run.name), format!("{}{}", run.stdout, run.stderr)));
        outputs
            .extend(run.calls.iter().map(|call| (format!("a call of {}", call.tool), call.argv.join(" "))));
    }
    let programs = Host::below(root).state_dir().join("bin");
    for path in walk(root) {
        // The credentials' own place; it is root's. And the worker's program: older than any secret, and long to read.
        if path.ends_with("clouds.yaml") || path.parent() == Some(&programs) {
            continue;
        }
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap_or_default()).into_owned();
        outputs.push((path.display().to_string(), text));
    }
    for (place, text) in &outputs {
        if let Some(secret) = SECRETS.iter().find(|secret| text.contains(**secret)) {
            return Err(format!("{place} tells {secret}"));
        }
    }
    Ok(())
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}
