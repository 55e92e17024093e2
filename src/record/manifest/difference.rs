//! What differs between two images, by their manifests.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::{Component, Manifest};
use crate::instance::Package;

/// How many names a line has at most.
const NAMED: usize = 4;

/// What differs between an image and a later one. Displays as one line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What is no package: `runner`, `kernel`, `base image`, `recipe`, `script`, and tools by their path.
    pub parts: Vec<Change>,
    /// Debian packages.
    pub packages: Changes,
    /// Snaps; a version is the version and the revision.
    pub snaps: Changes,
    /// Global npm packages.
    pub npm: Changes,
}

/// What differs of one kind, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// Those that are there with another version.
    pub changed: Vec<Change>,
    /// Those that are new, with their version.
    pub added: Vec<Change>,
    /// Those that are gone, with the version that they had.
    pub removed: Vec<Change>,
}

/// One thing, before and after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Its name.
    pub name: String,
    /// What it was; absent when it is new.
    pub before: Option<String>,
    /// What it is; absent when it is gone.
    pub after: Option<String>,
}

impl Difference {
    /// What differs in `after`.
    pub fn between(before: &Manifest, after: &Manifest) -> Self {
        let (one, other) = (&before.inventory, &after.inventory);
        let base = |manifest: &Manifest| {
            let serial = manifest.inventory.base_serial.clone();
            serial.unwrap_or_else(|| manifest.base_image.signed.to_string())
        };
        let release = |component: &Component| (component.version.clone(), component.sha256.clone());
        let tools = |manifest: &Manifest| -> BTreeMap<String, (String, String)> {
            manifest.tools.iter().map(|tool| (tool.path.clone(), release(tool))).collect()
        };
        let mut parts = Parts::default();
        parts.compare("runner", release(&before.runner), release(&after.runner));
        parts.compare_maybe("kernel", one.kernel.clone(), other.kernel.clone());
        let digest = |manifest: &Manifest| manifest.base_image.sha256.clone();
        parts.compare("base image", (base(before), digest(before)), (base(after), digest(after)));
        let short = |digest: &str| digest.chars().take(12).collect::<String>();
        let recipe = |manifest: &Manifest| Some(short(&manifest.recipe_sha256));
        parts.compare_maybe("recipe", recipe(before), recipe(after));
        let script = |manifest: &Manifest| manifest.script_sha256.as_deref().map(short);
        parts.compare_maybe("script", script(before), script(after));
        let (had, has) = (tools(before), tools(after));
        for path in had.keys().chain(has.keys()).collect::<BTreeSet<_>>() {
            match (had.get(path), has.get(path)) {
                (Some(before), Some(after)) => parts.compare(path, before.clone(), after.clone()),
                (before, after) => {
                    let version = |tool: Option<&(String, String)>| tool.map(|(version, _)| version.clone());
                    parts.compare_maybe(path, version(before), version(after));
                }
            }
        }
        Self {
            parts: parts.0,
            packages: Changes::between(packages(before), packages(after)),
            snaps: Changes::between(
                one.snaps.iter().map(|snap| (snap.name.clone(), snap.release())).collect(),
                other.snaps.iter().map(|snap| (snap.name.clone(), snap.release())).collect(),
            ),
            npm: Changes::between(
                one.npm.iter().map(|package| (package.name.clone(), package.version.clone())).collect(),
                other.npm.iter().map(|package| (package.name.clone(), package.version.clone())).collect(),
            ),
        }
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty() && [&self.packages, &self.snaps, &self.npm].iter().all(|kind| kind.count() == 0)
    }

    /// Every change, a line each.
    pub fn lines(&self) -> Vec<String> {
        let of = |kind: &'static str, changes: &Changes| {
            changes.all().map(|change| format!("{kind} {change}")).collect::<Vec<_>>()
        };
        let parts = self.parts.iter().map(ToString::to_string);
        let kinds = [("package", &self.packages), ("snap", &self.snaps), ("npm", &self.npm)];
        parts.chain(kinds.into_iter().flat_map(|(kind, changes)| of(kind, changes))).collect()
    }
}

/// Packages by name; those of another architecture than the image's by both.
fn packages(manifest: &Manifest) -> BTreeMap<String, String> {
    let own = [manifest.target.arch.ubuntu(), "all"];
    let named = manifest.inventory.packages.iter().map(|package| {
        let Package { name, version, architecture } = package;
        let is_own = own.contains(&architecture.as_str());
        (if is_own { name.clone() } else { format!("{name}:{architecture}") }, version.clone())
    });
    named.collect()
}

#[derive(Default)]
struct Parts(Vec<Change>);

impl Parts {
    /// Compares versions and digests; where only the digest is another, that is said.
    fn compare(&mut self, name: &str, (before, old): (String, String), (after, new): (String, String)) {
        let other_bytes = before == after && old != new;
        let after = if other_bytes { format!("{after} (different content)") } else { after };
        self.compare_maybe(name, Some(before), Some(after));
    }

    fn compare_maybe(&mut self, name: &str, before: Option<String>, after: Option<String>) {
        if before != after {
            self.0.push(Change { name: name.to_owned(), before, after });
        }
    }
}

impl Changes {
    fn between(mut before: BTreeMap<String, String>, after: BTreeMap<String, String>) -> Self {
        let mut changes = Self::default();
        for (name, version) in after {
            match before.remove(&name) {
                Some(old) if old == version => (),
                Some(old) => changes.changed.push(Change { name, before: Some(old), after: Some(version) }),
                None => changes.added.push(Change { name, before: None, after: Some(version) }),
            }
        }
        let gone = before.into_iter().map(|(name, old)| Change { name, before: Some(old), after: None });
        changes.removed.extend(gone);
        changes
    }

    fn all(&self) -> impl Iterator<Item = &Change> {
        self.changed.iter().chain(&self.added).chain(&self.removed)
    }

    fn count(&self) -> usize {
        self.all().count()
    }

    /// The few that there are by name, or how many there are.
    fn summary(&self, one: &str, many: &str) -> Option<String> {
        let counted = |of: &[Change], what: &str| match of.len() {
            0 => None,
            1 => Some(format!("1 {one} {what}")),
            count => Some(format!("{count} {many} {what}")),
        };
        let counts = [
            counted(&self.changed, "changed"),
            counted(&self.added, "added"),
            counted(&self.removed, "removed"),
        ];
        match self.count() {
            0 => None,
            1..=NAMED => Some(self.all().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
            _ => Some(counts.into_iter().flatten().collect::<Vec<_>>().join(", ")),
        }
    }
}

/// `openssl 3.0.13-0ubuntu3.5 -> 3.0.13-0ubuntu3.6`, `zip 3.0-13 added`, `zip 3.0-13 removed`.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => write!(f, "{} {before} -> {after}", self.name),
            (None, Some(after)) => write!(f, "{} {after} added", self.name),
            (before, None) => write!(f, "{} {} removed", self.name, before.as_deref().unwrap_or_default()),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing that the manifests show");
        }
        let parts = self.parts.iter().take(NAMED + 1).map(ToString::to_string);
        let more = self.parts.len().saturating_sub(NAMED + 1);
        let more = (more > 0).then(|| format!("{more} more tools"));
        let kinds = [
            self.packages.summary("package", "packages"),
            self.snaps.summary("snap", "snaps"),
            self.npm.summary("npm package", "npm packages"),
        ];
        let kinds = kinds.into_iter().flatten();
        f.write_str(&parts.chain(more).chain(kinds).collect::<Vec<_>>().join(", "))
    }
}
