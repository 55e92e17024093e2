//! What goes into a runner image, as data: the default lies beside this file, and an operator may write another.
//!
//! A recipe is checked when it is read, with line and column in the error; what has been read may go into commands and
//! files as it is. How it gets into an image is the matter of [`RunnerBase`](super::RunnerBase).

mod apt_source;
mod entries;
#[cfg(test)]
mod hostile;
mod lists;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use apt_source::{AptSource, SourceKey};
pub use entries::{
    Conditional, File, NpmPackage, Package, RecipeCommand, RunnerRelease, Snap, Tool, ToolOrigin, User,
};
pub use words::{AccountName, SysctlName, SysctlValue, UnitName};

use crate::model::{Arch, BaseImage, Target};

/// The recipe that is used when the operator gives none.
pub const DEFAULT_RECIPE: &str = include_str!("default.yaml");

/// The longest recipe, and the most brackets that may be open in it: the reader's time grows with the square of both,
/// and a hook waits for it.
const LONGEST: usize = 64 << 10;
const DEEPEST: usize = 500;

/// A recipe makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// It is not written as a recipe is; says where.
    #[error("{}", placed(.0))]
    Syntax(#[from] serde_yaml::Error),
    /// It is too long.
    #[error("it is longer than 64 KiB; fetch large content with a command")]
    TooLong,
    /// It is nested like no recipe is.
    #[error("more than 500 brackets are open at line {line}; close them")]
    TooDeep {
        /// Where.
        line: usize,
    },
}

/// The problem and its place; the reader leaves out the place where it is the very first.
fn placed(error: &serde_yaml::Error) -> String {
    let problem = error.to_string();
    match error.location() {
        Some(place) if !problem.contains(" at line ") => {
            format!("{problem} at line {} column {}", place.line(), place.column())
        }
        _ => problem,
    }
}

/// What goes into a runner image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Packages that are installed.
    #[serde(default, deserialize_with = "lists::short")]
    pub packages: Vec<Package>,
    /// Packages of the base image that are purged.
    #[serde(default, deserialize_with = "lists::short")]
    pub removed_packages: Vec<Package>,
    /// Apt archives beside the base image's own.
    #[serde(default)]
    pub apt_sources: Vec<AptSource>,
    /// Snaps.
    #[serde(default, deserialize_with = "lists::short")]
    pub snaps: Vec<Snap>,
    /// Packages of the npm registry.
    #[serde(default, deserialize_with = "lists::short")]
    pub npm: Vec<NpmPackage>,
    /// Programs that are one file.
    #[serde(default)]
    pub tools: Vec<Tool>,
    /// Units of systemd that never start.
    #[serde(default)]
    pub masked_units: Vec<UnitName>,
    /// Kernel parameters, set at each boot.
    #[serde(default)]
    pub sysctl: BTreeMap<SysctlName, SysctlValue>,
    /// System groups.
    #[serde(default)]
    pub groups: Vec<AccountName>,
    /// Users.
    #[serde(default)]
    pub users: Vec<User>,
    /// Files.
    #[serde(default)]
    pub files: Vec<File>,
    /// Commands, run in this order after all else is there.
    #[serde(default, deserialize_with = "lists::short")]
    pub commands: Vec<RecipeCommand>,
    /// The runner application: one release for each image.
    #[serde(deserialize_with = "runners")]
    pub runner: Vec<RunnerRelease>,
}

impl Recipe {
    /// What of it a preparation reads: packages and snaps, where they come from, and what must not disturb.
    pub fn preparation(&self) -> Self {
        Self {
            packages: self.packages.clone(),
            removed_packages: self.removed_packages.clone(),
            apt_sources: self.apt_sources.clone(),
            snaps: self.snaps.clone(),
            npm: self.npm.clone(),
            masked_units: self.masked_units.clone(),
            tools: Vec::new(),
            sysctl: BTreeMap::new(),
            groups: Vec::new(),
            users: Vec::new(),
            files: Vec::new(),
            commands: Vec::new(),
            runner: Vec::new(),
        }
    }

    /// What of it is for `target`: nothing that is left depends on base or architecture any more.
    pub fn of(&self, target: Target) -> Self {
        fn chosen<T: Conditional + Clone>(entries: &[T], target: Target) -> Vec<T> {
            entries.iter().filter(|entry| entry.is_for(target)).cloned().collect()
        }
        Self {
            packages: chosen(&self.packages, target),
            removed_packages: chosen(&self.removed_packages, target),
            apt_sources: chosen(&self.apt_sources, target),
            snaps: chosen(&self.snaps, target),
            npm: chosen(&self.npm, target),
            tools: chosen(&self.tools, target),
            masked_units: self.masked_units.clone(),
            sysctl: self.sysctl.clone(),
            groups: self.groups.clone(),
            users: chosen(&self.users, target),
            files: chosen(&self.files, target),
            commands: chosen(&self.commands, target),
            runner: chosen(&self.runner, target),
        }
    }

    /// Whether there are files to be written into the image.
    pub fn writes_files(&self) -> bool {
        !self.files.is_empty() || !self.sysctl.is_empty()
    }
}

impl FromStr for Recipe {
    type Err = RecipeError;

    fn from_str(text: &str) -> Result<Self, RecipeError> {
        if text.len() > LONGEST {
            return Err(RecipeError::TooLong);
        }
        match too_deep(text) {
            Some(line) => Err(RecipeError::TooDeep { line }),
            None => Ok(serde_yaml::from_str(text)?),
        }
    }
}

/// The line where too many brackets are open. Those in comments and texts count as well, which harms no sane ones.
fn too_deep(text: &str) -> Option<usize> {
    let mut open = 0_usize;
    let deep = text.find(|c: char| {
        match c {
            '[' | '{' => open += 1,
            ']' | '}' => open = open.saturating_sub(1),
            _ => {}
        }
        open > DEEPEST
    });
    deep.map(|at| text[..at].matches('\n').count() + 1)
}

/// The releases of the runner: not two for one image.
fn runners<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<RunnerRelease>, D::Error> {
    lists::checked(deserializer, |runners: &[RunnerRelease]| {
        for base in BaseImage::ALL {
            for arch in Arch::ALL {
                let target = Target { base, arch };
                if runners.iter().filter(|runner| runner.is_for(target)).count() > 1 {
                    return Err(format!("more than one runner for {target}: tell them apart with `only`"));
                }
            }
        }
        Ok(())
    })
}
