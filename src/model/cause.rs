//! Why something failed, as a class: for people who count failures, and for alerts that tell one kind from another.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The class of a failure's cause. The words are stable: alerts and records name them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A user, password, project or right that a cloud does not accept.
    Credentials,
    /// A quota is used up.
    Quota,
    /// A cloud, or a machine in it, does not answer.
    Network,
    /// A flavor, network or host for a server that does not exist or has no room.
    Placement,
    /// A cloud refuses something else, or failed at it.
    Cloud,
    /// Ubuntu's cloud images: their server, signature or bytes.
    BaseImage,
    /// A step of the recipe failed.
    Recipe,
    /// The apt mirror, or another package source, does not serve.
    Mirror,
    /// The operator's script could not be fetched, or failed.
    Script,
    /// GitHub does not serve, refuses, or does not have a release.
    Github,
    /// The new image does not work.
    Image,
    /// The unit itself: its disk, packages or settings.
    Unit,
    /// None of these.
    #[default]
    Other,
}

/// An error that knows the class of its cause.
pub trait Classified: fmt::Display {
    /// The class of its cause.
    fn cause(&self) -> Cause {
        Cause::Other
    }

    /// The failure for a status: the cause first, in few words, then `; ` and the remedy where there is one. Commands,
    /// operations and URLs come last or are left out; the error itself has them.
    fn summary(&self) -> String {
        self.to_string()
    }
}

/// What is told in words only.
impl Classified for String {}

impl Cause {
    const ALL: [Self; 13] = [
        Self::Credentials,
        Self::Quota,
        Self::Network,
        Self::Placement,
        Self::Cloud,
        Self::BaseImage,
        Self::Recipe,
        Self::Mirror,
        Self::Script,
        Self::Github,
        Self::Image,
        Self::Unit,
        Self::Other,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Credentials => "credentials",
            Self::Quota => "quota",
            Self::Network => "network",
            Self::Placement => "placement",
            Self::Cloud => "cloud",
            Self::BaseImage => "base_image",
            Self::Recipe => "recipe",
            Self::Mirror => "mirror",
            Self::Script => "script",
            Self::Github => "github",
            Self::Image => "image",
            Self::Unit => "unit",
            Self::Other => "other",
        }
    }

    /// Whether it says more than that something failed.
    pub fn is_known(self) -> bool {
        self != Self::Other
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that only a newer version knows is another cause.
impl<'de> Deserialize<'de> for Cause {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        Ok(Self::ALL.into_iter().find(|cause| cause.as_str() == word).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_written_as_its_word_and_an_unknown_word_is_another_cause() {
        for cause in Cause::ALL {
            let written = serde_json::to_string(&cause).unwrap();
            assert_eq!(written, format!("\"{cause}\""));
            assert_eq!(serde_json::from_str::<Cause>(&written).unwrap(), cause);
        }
        assert_eq!(serde_json::from_str::<Cause>("\"weather\"").unwrap(), Cause::Other);
    }
}
