//! Names of things in a cloud, each with a type of its own so that they are never mixed up.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Text that is no identifier: empty, too long, or with characters that none has.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0:?} is not a valid ID")]
pub struct NotAnId(String);

fn checked(text: &str) -> Result<String, NotAnId> {
    let sane = |byte: u8| byte.is_ascii_alphanumeric() || b"-_. ".contains(&byte);
    let fine = (1..=255).contains(&text.len())
        && text.bytes().all(sane)
        && text.trim() == text
        && text.bytes().any(|byte| byte.is_ascii_alphanumeric());
    match fine {
        true => Ok(text.to_owned()),
        false => Err(NotAnId(text.chars().take(40).collect())),
    }
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                checked(text).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NotAnId;

            fn try_from(text: String) -> Result<Self, NotAnId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+};
}

ids! {
    /// An image in Glance.
    ImageId
    /// A server in Nova.
    ServerId
    /// A flavor in Nova.
    FlavorId
    /// A network in Neutron.
    NetworkId
    /// A subnet in Neutron.
    SubnetId
    /// A security group in Neutron.
    SecurityGroupId
    /// A project in Keystone.
    ProjectId
    /// A user in Keystone.
    UserId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_identifiers_are_identifiers() {
        assert!("3fa1b2c4-0000-4000-8000-0123456789ab".parse::<ImageId>().is_ok());
        assert!("m1.tiny".parse::<FlavorId>().is_ok());
        for bad in ["", ".", "..", " x", "a/b", "a\nb", "a?b", "ü", &"x".repeat(256)] {
            assert!(bad.parse::<ImageId>().is_err(), "{bad:?}");
        }
        assert!(serde_json::from_str::<ServerId>("\"../images\"").is_err());
        assert_eq!(serde_json::to_string(&"a-b".parse::<ServerId>().unwrap()).unwrap(), "\"a-b\"");
    }
}
