//! The releases that a builder can be.

/// A release (craft-providers: `BuilddBaseAlias`): those with long-term support, and the one in development.
///
/// The releases between them are not offered: their archive moves to old-releases.ubuntu.com within months, and moving an
/// instance's sources there is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuilddBaseAlias {
    /// Ubuntu 16.04.
    Xenial,
    /// Ubuntu 18.04.
    Bionic,
    /// Ubuntu 20.04.
    Focal,
    /// Ubuntu 22.04.
    Jammy,
    /// Ubuntu 24.04.
    Noble,
    /// Ubuntu 26.04.
    Resolute,
    /// The release in development, whatever its version.
    Devel,
}

impl BuilddBaseAlias {
    /// All of them, the oldest first.
    pub const ALL: [Self; 7] =
        [Self::Xenial, Self::Bionic, Self::Focal, Self::Jammy, Self::Noble, Self::Resolute, Self::Devel];

    /// The release with this codename or version.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|alias| word == alias.as_str() || Some(word) == alias.version())
    }

    /// The codename.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Xenial => "xenial",
            Self::Bionic => "bionic",
            Self::Focal => "focal",
            Self::Jammy => "jammy",
            Self::Noble => "noble",
            Self::Resolute => "resolute",
            Self::Devel => "devel",
        }
    }

    /// The version; the release in development has none yet.
    pub fn version(self) -> Option<&'static str> {
        Some(match self {
            Self::Xenial => "16.04",
            Self::Bionic => "18.04",
            Self::Focal => "20.04",
            Self::Jammy => "22.04",
            Self::Noble => "24.04",
            Self::Resolute => "26.04",
            Self::Devel => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_release_is_found_by_codename_and_by_version() {
        for alias in BuilddBaseAlias::ALL {
            assert_eq!(BuilddBaseAlias::parse(alias.as_str()), Some(alias));
            assert!(alias.version().is_none_or(|version| BuilddBaseAlias::parse(version) == Some(alias)));
        }
        assert_eq!(BuilddBaseAlias::parse("questing"), None);
        assert_eq!(BuilddBaseAlias::parse(""), None);
    }
}
