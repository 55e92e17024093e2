//! The parts of a configuration that are one of a few words.

use serde::{Deserialize, Serialize};

/// What makes an image due that is made of the same as the last one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RebuildOn {
    /// A fix of a package that it has.
    Security,
    /// Its age.
    Age,
    /// Either.
    #[default]
    SecurityOrAge,
}

impl RebuildOn {
    /// Whether fixes are looked for.
    pub fn security(self) -> bool {
        self != Self::Age
    }

    /// Whether age counts.
    pub fn age(self) -> bool {
        self != Self::Security
    }

    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Where images are built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BuildMode {
    /// In a builder VM of the build cloud.
    #[default]
    External,
    /// On this machine.
    Local,
}

/// How related projects get their images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// The build project's image is shared where that is possible, and copied where it is not.
    #[default]
    Auto,
    /// It is shared, and nothing else; copied only above Glance's limit of members.
    Share,
    /// Each project gets a copy of its own.
    Copy,
}

impl Delivery {
    pub(super) fn is_auto(&self) -> bool {
        *self == Self::Auto
    }
}

/// Whether prepared images are kept, which have packages and snaps already and on which builds begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PreparedImages {
    /// One of each target.
    #[default]
    Kept,
    /// None.
    Off,
}

impl PreparedImages {
    pub(super) fn are_kept(&self) -> bool {
        *self == Self::Kept
    }
}

/// What an image that was built on this machine is looked at in before it is delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LocalVerification {
    /// In the chroot that it was built in, as far as a system that is not booted can tell.
    #[default]
    Chroot,
    /// There, and in a VM of the build project that is booted from it.
    Vm,
}

impl LocalVerification {
    pub(super) fn is_chroot(&self) -> bool {
        *self == Self::Chroot
    }
}

/// The format of the images that are uploaded: base images and local builds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageFormat {
    /// Raw where Nova has made the last snapshot in it, qcow2 elsewhere.
    #[default]
    Auto,
    /// Small, and converted by hosts whose disks are of another format.
    Qcow2,
    /// Cloned at once by hosts whose disks are in the same Ceph cluster as the images.
    Raw,
}

impl ImageFormat {
    pub(super) fn is_auto(&self) -> bool {
        *self == Self::Auto
    }
}
