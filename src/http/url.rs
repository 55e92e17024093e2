//! Addresses that are checked once, and that never show credentials or queries.

use std::fmt;
use std::str::FromStr;

use ureq::http::Uri;

use super::HttpError;

/// An absolute http or https address. Shows itself without its query, which may hold a signature.
#[derive(Clone, PartialEq, Eq)]
pub struct Url(Uri);

impl Url {
    /// This address with the path `more` (`/images/ID`, already encoded) after its own, and without a query.
    pub fn below(&self, more: &str) -> Result<Self, HttpError> {
        let path = self.0.path().trim_end_matches('/');
        format!("{}{path}{more}", self.origin()).parse()
    }

    /// This address with `pairs` as its query, percent-encoded.
    pub fn with_query(&self, pairs: &[(&str, &str)]) -> Result<Self, HttpError> {
        if pairs.is_empty() {
            return Ok(self.clone());
        }
        let query: Vec<String> =
            pairs.iter().map(|(key, value)| format!("{}={}", encoded(key), encoded(value))).collect();
        format!("{}{}?{}", self.origin(), self.0.path(), query.join("&")).parse()
    }

    /// Where `location`, as a redirect gives it, leads from here.
    pub fn joined(&self, location: &str) -> Result<Self, HttpError> {
        let location = location.trim();
        if location.contains("://") {
            location.parse()
        } else if location.starts_with("//") {
            format!("{}:{location}", self.scheme()).parse()
        } else if location.starts_with('/') {
            format!("{}{location}", self.origin()).parse()
        } else {
            let path = self.0.path();
            let folder = path.rfind('/').map_or("/", |end| &path[..=end]);
            format!("{}{folder}{location}", self.origin()).parse()
        }
    }

    /// Whether it is an https address.
    pub fn is_https(&self) -> bool {
        self.scheme() == "https"
    }

    /// The path, as it was given.
    pub fn path(&self) -> &str {
        self.0.path()
    }

    /// Host and port.
    pub fn authority(&self) -> String {
        self.0.authority().map(ToString::to_string).unwrap_or_default()
    }

    /// Scheme, host and port, without a slash at the end.
    pub fn origin(&self) -> String {
        format!("{}://{}", self.scheme(), self.authority())
    }

    pub(super) fn uri(&self) -> &Uri {
        &self.0
    }

    fn scheme(&self) -> &str {
        self.0.scheme_str().unwrap_or_default()
    }
}

impl FromStr for Url {
    type Err = HttpError;

    fn from_str(text: &str) -> Result<Self, HttpError> {
        let refused = |reason| HttpError::Address { address: shown(text), reason };
        let uri: Uri = text.trim().parse().map_err(|_| refused("it cannot be parsed"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(refused("it must begin with http:// or https://"));
        }
        match uri.authority() {
            Some(authority) if authority.as_str().contains('@') => {
                Err(refused("it must not contain user and password"))
            }
            Some(authority) if !authority.host().is_empty() => Ok(Self(uri)),
            _ => Err(refused("it names no host")),
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin(), self.0.path())
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// `text` as one part of a path or a query: everything but unreserved characters percent-encoded.
pub fn encoded(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            result.push(char::from(byte));
        } else {
            result.push_str(&format!("%{byte:02X}"));
        }
    }
    result
}

/// What may be shown of something that is not a URL: nothing before an `@`, nothing of a query.
pub(super) fn shown(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    let text = match text.rfind('@') {
        Some(at) => text.get(at + 1..).unwrap_or_default(),
        None => text,
    };
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_neither_credentials_nor_queries() {
        let url: Url = "https://files.example.com/a/b?X-Amz-Signature=hunter2".parse().unwrap();
        assert_eq!(url.to_string(), "https://files.example.com/a/b");
        assert!(!format!("{url:?}").contains("hunter2"));
        for bad in
            ["https://me:hunter2@x/", "ftp://me:hunter2@x/", "http://me:hunter2@ x", "me:hunter2@x?hunter2"]
        {
            let error = bad.parse::<Url>().unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{bad}");
        }
    }

    #[test]
    fn redirects_lead_where_a_browser_would_go() {
        let url: Url = "https://a.example/x/y?q=1".parse().unwrap();
        for (location, goal) in [
            ("http://b.example/z", "http://b.example/z"),
            ("//b.example/z", "https://b.example/z"),
            ("/z", "https://a.example/z"),
            ("z", "https://a.example/x/z"),
        ] {
            assert_eq!(url.joined(location).unwrap().to_string(), goal);
        }
    }

    #[test]
    fn names_arrive_as_they_were_meant() {
        let url: Url = "http://h:1/v2".parse().unwrap();
        let url = url.below("/images").unwrap().with_query(&[("name", "a b&c=ü")]).unwrap();
        assert_eq!(url.uri().to_string(), "http://h:1/v2/images?name=a%20b%26c%3D%C3%BC");
    }
}
