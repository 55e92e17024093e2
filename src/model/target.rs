//! What an image is for: an Ubuntu base and a machine architecture, under the names that operators, Ubuntu,
//! OpenStack and GitHub each have for them.

use std::fmt;

use super::{Cause, Classified};

use serde::{Deserialize, Serialize};

/// A machine architecture, by GitHub's name for it (seed `openstack_manager`: `Arch`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// 64-bit ARM.
    Arm64,
    /// 32-bit ARM programs on an arm64 base image (armhf multiarch).
    Arm,
    /// 64-bit x86.
    X64,
    /// IBM Z.
    S390x,
    /// 64-bit little-endian POWER.
    Ppc64le,
}

impl Arch {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::X64, Self::Arm64, Self::Arm, Self::S390x, Self::Ppc64le];

    /// The architecture that an operator's word means; every spelling that the Python charm took is taken.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word.to_ascii_lowercase().as_str() {
            "aarch64" | "arm64" => Self::Arm64,
            "armhf" | "arm" | "armv7l" => Self::Arm,
            "x86_64" | "amd64" | "x64" => Self::X64,
            "s390x" => Self::S390x,
            "ppc64le" | "ppc64el" => Self::Ppc64le,
            _ => return None,
        })
    }

    /// The name in image names, tags and runner tarballs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Arm64 => "arm64",
            Self::Arm => "arm",
            Self::X64 => "x64",
            Self::S390x => "s390x",
            Self::Ppc64le => "ppc64le",
        }
    }

    /// The value of Glance's `architecture` property, which Nova's scheduler matches against its hosts.
    pub fn glance(self) -> &'static str {
        match self {
            Self::Arm64 | Self::Arm => "aarch64",
            Self::X64 => "x86_64",
            Self::S390x => "s390x",
            Self::Ppc64le => "ppc64le",
        }
    }

    /// The architecture in the file names of Ubuntu's cloud images.
    pub fn ubuntu(self) -> &'static str {
        match self {
            Self::Arm64 | Self::Arm => "arm64",
            Self::X64 => "amd64",
            Self::S390x => "s390x",
            Self::Ppc64le => "ppc64el",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An Ubuntu release to build on (seed `openstack_manager`: `BaseImage`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BaseImage {
    /// Ubuntu 20.04.
    Focal,
    /// Ubuntu 22.04.
    Jammy,
    /// Ubuntu 24.04.
    Noble,
    /// Ubuntu 26.04.
    Resolute,
}

impl BaseImage {
    /// All of them, oldest first.
    pub const ALL: [Self; 4] = [Self::Focal, Self::Jammy, Self::Noble, Self::Resolute];

    /// The release with this codename or version.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word.to_ascii_lowercase().as_str() {
            "focal" | "20.04" => Self::Focal,
            "jammy" | "22.04" => Self::Jammy,
            "noble" | "24.04" => Self::Noble,
            "resolute" | "26.04" => Self::Resolute,
            _ => return None,
        })
    }

    /// The codename, as it stands in image names, tags and archive suites.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Focal => "focal",
            Self::Jammy => "jammy",
            Self::Noble => "noble",
            Self::Resolute => "resolute",
        }
    }

    /// The version, as `/etc/os-release` says it.
    pub fn version(self) -> &'static str {
        match self {
            Self::Focal => "20.04",
            Self::Jammy => "22.04",
            Self::Noble => "24.04",
            Self::Resolute => "26.04",
        }
    }
}

impl fmt::Display for BaseImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One image to build: a base for an architecture. Displays as `noble-x64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Target {
    /// The Ubuntu release.
    pub base: BaseImage,
    /// The machine architecture.
    pub arch: Arch,
}

/// There is no such image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "Unsupported arch='{}' for base {}: {} images exist for {}. Change architecture or base-image.",
    .0.arch,
    .0.base,
    .0.arch,
    Target::bases_for(.0.arch)
)]
pub struct UnsupportedTarget(Target);

impl Classified for UnsupportedTarget {
    fn cause(&self) -> Cause {
        Cause::Unit
    }
}

impl Target {
    /// The target of a word such as `noble-x64`.
    pub fn parse(word: &str) -> Option<Self> {
        let (base, arch) = word.split_once('-')?;
        Some(Self { base: BaseImage::parse(base)?, arch: Arch::parse(arch)? })
    }

    /// This one, unless there is no such image: what 32-bit ARM needs, Ubuntu has from noble on.
    pub fn supported(self) -> Result<Self, UnsupportedTarget> {
        match self.is_supported() {
            true => Ok(self),
            false => Err(UnsupportedTarget(self)),
        }
    }

    fn is_supported(self) -> bool {
        self.arch != Arch::Arm || self.base >= BaseImage::Noble
    }

    fn bases_for(arch: Arch) -> String {
        let bases = BaseImage::ALL.into_iter().filter(|base| Self { base: *base, arch }.is_supported());
        bases.map(BaseImage::as_str).collect::<Vec<_>>().join(", ")
    }

    /// The tags by which consumers of the image relation choose, for example `x64,noble`.
    pub fn tags(self) -> String {
        format!("{},{}", self.arch, self.base)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.base, self.arch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_every_spelling_of_an_architecture() {
        for (word, arch) in [
            ("aarch64", Arch::Arm64),
            ("ARM64", Arch::Arm64),
            ("armhf", Arch::Arm),
            ("arm", Arch::Arm),
            ("armv7l", Arch::Arm),
            ("x86_64", Arch::X64),
            ("amd64", Arch::X64),
            ("x64", Arch::X64),
            ("s390x", Arch::S390x),
            ("ppc64le", Arch::Ppc64le),
            ("ppc64el", Arch::Ppc64le),
        ] {
            assert_eq!(Arch::parse(word), Some(arch), "{word}");
        }
        assert_eq!(Arch::parse("riscv64"), None);
        assert_eq!(Arch::parse(""), None);
    }

    #[test]
    fn takes_bases_by_codename_and_by_version() {
        for (codename, version) in
            [("focal", "20.04"), ("jammy", "22.04"), ("noble", "24.04"), ("resolute", "26.04")]
        {
            let base = BaseImage::parse(codename).unwrap();
            assert_eq!(base.as_str(), codename);
            assert_eq!(BaseImage::parse(version), Some(base));
            assert_eq!(base.version(), version);
        }
        assert_eq!(BaseImage::parse("bionic"), None);
    }

    #[test]
    fn arm_exists_from_noble_on_and_the_refusal_names_both_options() {
        for base in BaseImage::ALL {
            for arch in Arch::ALL {
                let target = Target { base, arch };
                let refused = arch == Arch::Arm && matches!(base, BaseImage::Focal | BaseImage::Jammy);
                assert_eq!(target.supported().is_err(), refused, "{target}");
            }
        }
        let refusal = Target { base: BaseImage::Jammy, arch: Arch::Arm }.supported().unwrap_err().to_string();
        assert_eq!(
            refusal,
            "Unsupported arch='arm' for base jammy: arm images exist for noble, resolute. Change architecture or \
             base-image."
        );
    }

    #[test]
    fn a_target_names_images_and_tags() {
        let target = Target { base: BaseImage::Noble, arch: Arch::X64 };
        assert_eq!(target.to_string(), "noble-x64");
        assert_eq!(target.tags(), "x64,noble");
    }
}
