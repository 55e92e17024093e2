//! Where an offer is: `[CONTROLLER:][USER/]MODEL.OFFER[:ENDPOINT]`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::api::USER;

/// Where an offer is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferUrl {
    /// The controller, if one is named.
    pub controller: Option<String>,
    /// The model's owner, if one is named.
    pub user: Option<String>,
    /// The model.
    pub model: String,
    /// The offer.
    pub offer: String,
    /// One of its endpoints, if one is named.
    pub endpoint: Option<String>,
}

impl OfferUrl {
    /// Reads one; nothing if the word is none, such as the name of an application.
    pub fn parse(word: &str) -> Option<Self> {
        let (path, rest) = word.split_once('.')?;
        let (controller, path) = match path.split_once(':') {
            Some((controller, path)) => (Some(controller.to_owned()), path),
            None => (None, path),
        };
        let (user, model) = match path.split_once('/') {
            Some((user, model)) => (Some(user.to_owned()), model),
            None => (None, path),
        };
        let (offer, endpoint) = match rest.split_once(':') {
            Some((offer, endpoint)) => (offer, Some(endpoint.to_owned())),
            None => (rest, None),
        };
        if model.is_empty() || offer.is_empty() {
            return None;
        }
        Some(Self { controller, user, model: model.to_owned(), offer: offer.to_owned(), endpoint })
    }
}

/// The path on its controller: `USER/MODEL.OFFER`.
impl fmt::Display for OfferUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}.{}", self.user.as_deref().unwrap_or(USER), self.model, self.offer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_is_told_from_an_application() {
        for word in ["image-builder", "image-builder:image", "", ".x", "x."] {
            assert_eq!(OfferUrl::parse(word), None, "{word}");
        }
        let url = OfferUrl::parse("prod:admin/images.image-builder:image").unwrap();
        assert_eq!(url.controller.as_deref(), Some("prod"));
        assert_eq!((url.model.as_str(), url.endpoint.as_deref()), ("images", Some("image")));
        assert_eq!(url.to_string(), "admin/images.image-builder");
        assert_eq!(OfferUrl::parse("images.image-builder").unwrap().to_string(), url.to_string());
    }
}
