//! The options that are addresses, and how far what is fetched from there may be believed.

use std::fmt::Display;

use super::{Checked, InvalidOption, Options};

impl Options {
    /// The external script. Root runs it: https, or http with `#sha256=HEX` appended.
    pub fn script_url(&self) -> Checked<Option<String>> {
        let Some(text) = self.text("script-url")? else { return Ok(None) };
        let plain =
            || InvalidOption("Invalid script URL, must contain scheme and hostname. (script-url)".into());
        let url = Url::parse(&text).ok_or_else(plain)?;
        if url.has_credentials() {
            return Err(InvalidOption(
                "Invalid script URL, remove the user and password: everyone with read access to the model sees them. \
                 (script-url)"
                    .into(),
            ));
        }
        let digest = text.split_once('#').map(|(_, fragment)| fragment);
        let pinned = digest
            .and_then(|fragment| fragment.strip_prefix("sha256="))
            .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
        if digest.is_some() && !pinned {
            return Err(InvalidOption(
                "Invalid script URL, the fragment must be #sha256=HEX. (script-url)".into(),
            ));
        }
        if !pinned && !url.is_tamper_proof() {
            return Err(InvalidOption(
                "Invalid script URL, plain http is not tamper-proof and the script runs as root: use https, or append \
                 #sha256=HEX. (script-url)"
                    .into(),
            ));
        }
        Ok(Some(text))
    }

    /// The root of the cloud-image tree. Plain http and files will do: what they bring is signed.
    pub fn base_image_source(&self) -> Checked<String> {
        let text = self.text("base-image-source")?.unwrap_or_default();
        if !text.starts_with("file:///") {
            check_url("base-image-source", &text)?;
        }
        Ok(text.trim_end_matches('/').to_owned())
    }

    /// An optional http or https URL.
    pub fn web_url(&self, name: &str) -> Checked<Option<String>> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        check_url(name, &text)?;
        Ok(Some(text.trim_end_matches('/').to_owned()))
    }

    /// An http or https URL.
    pub fn required_web_url(&self, name: &str) -> Checked<String> {
        self.web_url(name)?.ok_or_else(|| InvalidOption(format!("Option {name} must be a URL.")))
    }

    /// A URL whose answers are believed as they are: https, or http on this very machine.
    pub fn trusted_url(&self, name: &str) -> Checked<String> {
        let text = self.required_web_url(name)?;
        if Url::parse(&text).is_some_and(|url| url.is_tamper_proof()) {
            Ok(text)
        } else {
            Err(InvalidOption(format!("Invalid {name}: its digests are trusted, so use https.")))
        }
    }
}

/// Refuses what is no http or https URL, and credentials in one.
pub(super) fn check_url(option: &str, text: &str) -> Checked<()> {
    let refusal = |problem: &dyn Display| InvalidOption(format!("Invalid {option}: {problem}."));
    let url = Url::parse(text).ok_or_else(|| refusal(&"use http:// or https:// and a host"))?;
    // The option can be read by every reader of the model, and its text goes into errors.
    if url.has_credentials() {
        return Err(refusal(&"remove the user and password from the URL"));
    }
    Ok(())
}

/// An http or https URL with a host.
struct Url(ureq::http::Uri);

impl Url {
    fn parse(text: &str) -> Option<Self> {
        let uri: ureq::http::Uri = text.split('#').next().unwrap_or_default().parse().ok()?;
        let host = uri.host().filter(|host| !host.is_empty())?;
        let bracketed = host.starts_with('[');
        if bracketed && host.trim_matches(['[', ']']).parse::<std::net::Ipv6Addr>().is_err() {
            return None;
        }
        matches!(uri.scheme_str(), Some("http" | "https")).then_some(Self(uri))
    }

    fn has_credentials(&self) -> bool {
        self.0.authority().is_some_and(|authority| authority.as_str().contains('@'))
    }

    fn is_tamper_proof(&self) -> bool {
        self.0.scheme_str() == Some("https") || self.0.host().is_some_and(is_this_machine)
    }
}

fn is_this_machine(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}
