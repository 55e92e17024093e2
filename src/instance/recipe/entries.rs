//! The entries of a recipe's sections. Each may say for which bases and architectures it is.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde::de::{self, Deserialize, Deserializer, Visitor};

use super::lists::{Shorthand, some};
use super::words::{
    AccountName, AssetName, Channel, DownloadUrl, FilePath, Mode, NpmName, Owner, PackageName, Repository,
    Script, Sha256, SnapName, Version, Word,
};
use crate::model::{Arch, BaseImage, Target};

/// For which images an entry is: for all where it says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Only {
    /// For these architectures.
    #[serde(default, deserialize_with = "some", skip_serializing_if = "Vec::is_empty")]
    pub arch: Vec<Arch>,
    /// For these bases.
    #[serde(default, deserialize_with = "some", skip_serializing_if = "Vec::is_empty")]
    pub base: Vec<BaseImage>,
}

impl Only {
    pub(super) fn is_everything(&self) -> bool {
        self.arch.is_empty() && self.base.is_empty()
    }

    fn includes(&self, target: Target) -> bool {
        (self.arch.is_empty() || self.arch.contains(&target.arch))
            && (self.base.is_empty() || self.base.contains(&target.base))
    }
}

/// An entry that may be for some images only.
pub trait Conditional {
    /// Which.
    fn only(&self) -> &Only;

    /// Whether it is for this one.
    fn is_for(&self, target: Target) -> bool {
        self.only().includes(target)
    }
}

macro_rules! entries {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $kind,)*
            /// For which images it is.
            #[serde(default, skip_serializing_if = "Only::is_everything")]
            pub only: Only,
        }

        impl Conditional for $name {
            fn only(&self) -> &Only {
                &self.only
            }
        }
    )*};
}

entries! {
    /// A package of an apt archive.
    Package {
        /// Its name.
        name: PackageName,
    }

    /// A snap of the store.
    Snap {
        /// Its name.
        name: SnapName,
        /// Where it comes from.
        #[serde(default = "stable")]
        channel: Channel,
        /// Whether it may see the whole system.
        #[serde(default)]
        classic: bool,
        /// Whether it is installed and then switched off.
        #[serde(default)]
        disabled: bool,
    }

    /// A package of the npm registry, installed for everybody.
    NpmPackage {
        /// Its name.
        name: NpmName,
        /// Its version; the newest where none is named.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<Version>,
    }

    /// A user, made when there is none of that name.
    User {
        /// The name.
        name: AccountName,
        /// The groups that the user is in beside the own one.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        groups: Vec<AccountName>,
        /// Whether the user's services run without a login.
        #[serde(default)]
        linger: bool,
    }

    /// A file of the image.
    File {
        /// Where it lies.
        path: FilePath,
        /// Its permissions.
        #[serde(default = "readable")]
        mode: Mode,
        /// Who owns it.
        #[serde(default = "root")]
        owner: Owner,
        /// What it says.
        content: String,
    }

    /// A piece of bash, run as root.
    RecipeCommand {
        /// What is run.
        run: Script,
        /// How long it may take.
        #[serde(default = "ten")]
        minutes: Minutes,
    }

    /// The runner application's releases.
    RunnerRelease {
        /// The repository that releases it.
        github: Repository,
        /// Its version without `v`, unless option runner-version names one; the latest where neither does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<Version>,
    }
}

/// A program that is one file, fetched and checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(try_from = "ToolEntry", into = "ToolEntry")]
pub struct Tool {
    /// Where it lies in the image.
    pub path: FilePath,
    /// Its version; of a release on GitHub, the tag.
    pub version: Version,
    /// Where it comes from.
    pub origin: ToolOrigin,
    /// For which images it is.
    pub only: Only,
}

impl Conditional for Tool {
    fn only(&self) -> &Only {
        &self.only
    }
}

/// Where a tool comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolOrigin {
    /// A file of a release on GitHub.
    Release {
        /// The repository.
        github: Repository,
        /// The file.
        asset: AssetName,
        /// The digest that it must have; the one that GitHub publishes where there is none.
        sha256: Option<Sha256>,
    },
    /// A file anywhere.
    Address {
        /// Where.
        url: DownloadUrl,
        /// The digest that it must have.
        sha256: Sha256,
    },
}

/// A tool as it is written.
#[derive(Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct ToolEntry {
    path: FilePath,
    version: Version,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    github: Option<Repository>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    asset: Option<AssetName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url: Option<DownloadUrl>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<Sha256>,
    #[serde(default, skip_serializing_if = "Only::is_everything")]
    only: Only,
}

impl TryFrom<ToolEntry> for Tool {
    type Error = String;

    fn try_from(entry: ToolEntry) -> Result<Self, String> {
        let ToolEntry { path, version, github, asset, url, sha256, only } = entry;
        let origin = match (github, asset, url, sha256) {
            (Some(github), Some(asset), None, sha256) => ToolOrigin::Release { github, asset, sha256 },
            (None, None, Some(url), Some(sha256)) => ToolOrigin::Address { url, sha256 },
            _ => {
                return Err(format!(
                    "{path} requires either a release on GitHub (github, asset), or a URL with its digest (url, sha256)"
                ));
            }
        };
        Ok(Self { path, version, origin, only })
    }
}

impl From<Tool> for ToolEntry {
    fn from(tool: Tool) -> Self {
        let Tool { path, version, origin, only } = tool;
        let (github, asset, url, sha256) = match origin {
            ToolOrigin::Release { github, asset, sha256 } => (Some(github), Some(asset), None, sha256),
            ToolOrigin::Address { url, sha256 } => (None, None, Some(url), Some(sha256)),
        };
        Self { path, version, github, asset, url, sha256, only }
    }
}

/// How long a command may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Minutes(u64);

impl Minutes {
    /// The same as a duration.
    pub fn duration(self) -> Duration {
        Duration::from_secs(self.0 * 60)
    }
}

impl<'de> Deserialize<'de> for Minutes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = Minutes;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of minutes from 1 to 60")
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Minutes, E> {
                match number {
                    1..=60 => Ok(Minutes(number)),
                    _ => Err(E::custom(format!("{number} minutes: use 1 to 60"))),
                }
            }
        }
        deserializer.deserialize_u64(Number)
    }
}

fn stable() -> Channel {
    Word::known("latest/stable")
}

fn readable() -> Mode {
    Word::known("0644")
}

fn root() -> Owner {
    Word::known("root:root")
}

fn ten() -> Minutes {
    Minutes(10)
}

impl Shorthand for Package {
    fn from_word(text: &str) -> Result<Self, String> {
        Ok(Self { name: PackageName::parse(text)?, only: Only::default() })
    }
}

impl Shorthand for Snap {
    fn from_word(text: &str) -> Result<Self, String> {
        let name = SnapName::parse(text)?;
        Ok(Self { name, channel: stable(), classic: false, disabled: false, only: Only::default() })
    }
}

impl Shorthand for NpmPackage {
    fn from_word(text: &str) -> Result<Self, String> {
        Ok(Self { name: NpmName::parse(text)?, version: None, only: Only::default() })
    }
}

impl Shorthand for RecipeCommand {
    fn from_word(text: &str) -> Result<Self, String> {
        Ok(Self { run: Script::parse(text)?, minutes: ten(), only: Only::default() })
    }
}
