//! The fixes that security pockets have for what is in images: `security-fixes.json`, written by the worker and read by it, by
//! metrics and by `show-image`. It has nothing of a pocket but the packages that some image has. Without it the next look
//! reads the pockets anew.

mod version;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::version::is_newer_version;
use super::file::{RecordError, read_json_or_default, write_json};
use super::journal::evidence::Revision;
use super::manifest::Manifest;
use super::run_config::BuilderRunConfig;
use super::upstream::Validator;
use crate::host::Host;
use crate::instance::Package;
use crate::model::{Target, Timestamp};

const FILE: &str = "security-fixes.json";

/// How long what a pocket had counts after its mirror last answered.
const YOUNG: Duration = Duration::from_secs(7 * 86_400);

/// How long a fix may take from its pocket to the mirror that builder VMs install from.
const LAG: Duration = Duration::from_secs(3600);

/// What is known of all pockets that images use, by their addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SecurityFixes {
    /// The pockets, by the URL of the suite.
    pub pockets: BTreeMap<String, SecurityPocket>,
}

/// A security pocket of a mirror.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityPocket {
    /// The keyring that its list was verified with.
    pub keyring: String,
    /// By which the mirror tells whether its list has changed.
    #[serde(default)]
    pub validator: Validator,
    /// The date of that list; an older one is refused. None before one was verified.
    #[serde(default)]
    pub dated: Option<Timestamp>,
    /// Until when that list may be used, where it says so.
    #[serde(default)]
    pub valid_until: Option<Timestamp>,
    /// When the mirror last had this list.
    #[serde(default)]
    pub confirmed: Option<Timestamp>,
    /// Whether package lists are to be fetched by their digests.
    #[serde(default)]
    pub by_hash: bool,
    /// The package lists that it names, by component and architecture: `main/binary-amd64`.
    #[serde(default)]
    pub listed: BTreeMap<String, ListedFile>,
    /// What was taken from them, by the same.
    #[serde(default)]
    pub packages: BTreeMap<String, PackageList>,
    /// The kind of trouble that operators were told of; none while there is none.
    #[serde(default)]
    pub trouble: Option<String>,
}

/// A package list as the signed list names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedFile {
    /// The SHA-256 of its compressed bytes.
    pub sha256: String,
    /// The number of its compressed bytes.
    pub size: u64,
    /// The number of its bytes, where that is named.
    #[serde(default)]
    pub unpacked: Option<u64>,
}

/// What was taken from a package list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageList {
    /// The SHA-256 of its compressed bytes.
    pub sha256: String,
    /// The SHA-256 of the names that were looked for.
    pub wanted: String,
    /// When a list with these bytes was first seen.
    pub seen: Timestamp,
    /// The packages, by name.
    pub packages: BTreeMap<String, Fix>,
}

/// A version of a package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fix {
    /// The version.
    pub version: String,
    /// Since when the pocket has had it, as far as is known.
    pub appeared: Timestamp,
}

/// A package of an image of which a pocket has a newer version. Displays as `openssl 3.0.13-0ubuntu3.5 -> 3.0.13-0ubuntu3.6`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OpenFix {
    /// Its name.
    pub package: String,
    /// The version in the image.
    pub installed: String,
    /// The version in the pocket.
    pub fixed: String,
    /// Since when the pocket has had it.
    pub appeared: Timestamp,
}

impl OpenFix {
    /// Since when a new build may bring what `build` lacks: the moment that it appeared, if `build` had begun by then; if `build`
    /// began soon after it, once the mirrors must have it. None before that, and where `build` has tried that already.
    pub fn due_since(&self, build: &Revision) -> Option<Timestamp> {
        let everywhere = Timestamp(self.appeared.0.saturating_add(LAG.as_secs()));
        let begun = build.contents.as_ref().and_then(|contents| contents.begun);
        match begun {
            Some(begun) if begun >= everywhere => None,
            Some(begun) if begun >= self.appeared => Some(everywhere).filter(|due| *due <= Timestamp::now()),
            _ => Some(self.appeared),
        }
    }
}

impl fmt::Display for OpenFix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} -> {}", self.package, self.installed, self.fixed)
    }
}

impl SecurityPocket {
    /// One that was not looked at yet.
    pub fn new(keyring: &str) -> Self {
        Self {
            keyring: keyring.to_owned(),
            validator: Validator::default(),
            dated: None,
            valid_until: None,
            confirmed: None,
            by_hash: false,
            listed: BTreeMap::new(),
            packages: BTreeMap::new(),
            trouble: None,
        }
    }
}

impl SecurityFixes {
    /// What is known; nothing when the file is gone or not understood.
    pub fn load(host: &Host) -> Self {
        read_json_or_default(host, FILE).unwrap_or_default()
    }

    /// Keeps it.
    pub fn save(&self, host: &Host) -> Result<(), RecordError> {
        write_json(host, FILE, self)
    }

    /// When the pocket for packages of the target's own architecture was last known to be as it is recorded.
    pub fn confirmed(&self, config: &BuilderRunConfig, target: Target) -> Option<Timestamp> {
        self.pocket(config, target, target.arch.ubuntu())?.confirmed
    }

    fn pocket(
        &self,
        config: &BuilderRunConfig,
        target: Target,
        architecture: &str,
    ) -> Option<&SecurityPocket> {
        self.pockets.get(&config.security_pocket(target.base, architecture))
    }

    /// The packages of an image of which the pockets have a newer version, by name. None while that is not known.
    pub fn open(&self, config: &BuilderRunConfig, manifest: &Manifest) -> Option<Vec<OpenFix>> {
        let target = manifest.target;
        self.confirmed(config, target).filter(|confirmed| confirmed.age() <= YOUNG)?;
        let open = manifest.inventory.packages.iter().filter_map(|package| {
            let architecture = list_of(manifest, package);
            let pocket = self.pocket(config, target, architecture)?;
            let lists =
                pocket.packages.iter().filter(|(list, _)| list.ends_with(&format!("/binary-{architecture}")));
            let newer = lists
                .filter_map(|(_, list)| list.packages.get(&package.name))
                .filter(|fix| is_newer_version(&fix.version, &package.version));
            let Fix { version, appeared } = newer.max_by_key(|fix| fix.appeared)?.clone();
            let (name, installed) = (package.name.clone(), package.version.clone());
            Some(OpenFix { package: name, installed, fixed: version, appeared })
        });
        Some(open.collect())
    }

    /// Those of `build` that a new build may bring: they appeared after it had begun, or so shortly before that a mirror may not
    /// have had them. What a build did not bring that began later, another would not bring either.
    pub fn due(
        &self,
        host: &Host,
        config: &BuilderRunConfig,
        build: &Revision,
    ) -> Result<Vec<OpenFix>, RecordError> {
        if !config.rebuild_on.security() {
            return Ok(Vec::new());
        }
        let Some(manifest) = Manifest::of(host, build)? else { return Ok(Vec::new()) };
        let mut open = self.open(config, &manifest).unwrap_or_default();
        open.retain(|fix| fix.due_since(build).is_some());
        Ok(open)
    }
}

/// The architecture whose package lists have `package`, in Debian's word.
pub fn list_of<'m>(manifest: &'m Manifest, package: &'m Package) -> &'m str {
    if package.architecture == "all" { manifest.target.arch.ubuntu() } else { &package.architecture }
}

/// The first few of them, and how many there are besides: for a line of a log.
pub fn first_few(fixes: &[OpenFix]) -> String {
    const FEW: usize = 5;
    let mut words: Vec<String> = fixes.iter().take(FEW).map(ToString::to_string).collect();
    if fixes.len() > FEW {
        words.push(format!("{} more", fixes.len() - FEW));
    }
    words.join(", ")
}

#[cfg(test)]
mod tests;
