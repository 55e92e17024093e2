//! What tells projects apart: what a token proves, and nothing that a name says.

use super::ids::ProjectId;
use super::keystone::{CloudConfig, tokens_url};
use crate::http::Url;

/// A project: the Keystone that has given a token for it, with the certificates by which that was known, the id in that
/// token, and where the project's images are. Equal keys are one project, whoever the users are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectKey {
    keystone: String,
    trusted: Option<String>,
    id: ProjectId,
    images: Option<String>,
}

impl ProjectKey {
    /// The project `id` of the Keystone that gives tokens at `keystone`; `images` is its Glance, where there is one.
    pub(crate) fn new(keystone: &Url, trusted: Option<String>, id: ProjectId, images: Option<Url>) -> Self {
        Self { keystone: plain(keystone), trusted, id, images: images.map(|url| url.to_string()) }
    }
}

impl CloudConfig {
    /// Whether both name the same Keystone, however its address is written.
    pub fn has_keystone_of(&self, other: &Self) -> bool {
        let keystone = |config: &Self| tokens_url(&config.auth_url).ok().map(|url| plain(&url));
        keystone(self).is_some_and(|own| Some(own) == keystone(other))
    }
}

/// The one way to write the address of a Keystone.
pub(crate) fn plain(keystone: &Url) -> String {
    let default_port = if keystone.is_https() { ":443" } else { ":80" };
    let origin = keystone.origin().to_ascii_lowercase();
    let origin = origin.strip_suffix(default_port).unwrap_or(&origin);
    format!("{origin}{}", keystone.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(auth_url: &str, id: &str) -> ProjectKey {
        ProjectKey::new(&tokens_url(auth_url).unwrap(), None, id.parse().unwrap(), None)
    }

    #[test]
    fn one_keystone_is_one_however_its_address_is_written() {
        for (one, other) in [
            ("https://keystone.example/v3", "https://Keystone.EXAMPLE:443"),
            ("http://keystone:5000/identity/v3/", "http://keystone:5000/identity"),
            ("http://keystone:80/", "http://keystone"),
        ] {
            assert_eq!(key(one, "p"), key(other, "p"));
        }
    }

    #[test]
    fn a_project_is_another_at_another_keystone_or_of_another_id() {
        let ours = key("https://keystone.example:5000", "p");
        for other in [key("https://keystone.evil:5000", "p"), key("https://keystone.example:5000", "q")] {
            assert_ne!(ours, other);
        }
        assert_ne!(ours, key("http://keystone.example:5000", "p"), "nobody proves who answers without TLS");
    }
}
