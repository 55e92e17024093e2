//! The proxies of those who have no other way out.

use crate::http::{HttpError, Proxies};
use crate::instance::CommandEnvironment;
use crate::model::Secret;

/// The model's proxy settings, as Juju gives them (seed `openstack_manager`: `ProxyConfig`). The addresses may hold
/// credentials.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyConfig {
    /// The proxy for http URLs.
    pub http: Option<Secret<String>>,
    /// The proxy for https URLs.
    pub https: Option<Secret<String>>,
    /// Hosts that are reached directly, separated by commas.
    pub no_proxy: Option<String>,
}

impl ProxyConfig {
    /// The same for our own requests.
    pub fn resolved(&self) -> Result<Proxies, HttpError> {
        let text = |proxy: &Option<Secret<String>>| proxy.clone().unwrap_or_default();
        Proxies::parse(&text(&self.http), &text(&self.https), self.no_proxy.as_deref().unwrap_or_default())
    }

    /// The same for commands in an instance: programs disagree on the case of these variables, so both are set.
    pub fn environment(&self) -> CommandEnvironment {
        let no_proxy = self.no_proxy.clone().map(Secret::new);
        let pairs = [("http_proxy", &self.http), ("https_proxy", &self.https), ("no_proxy", &no_proxy)];
        let set = pairs.into_iter().filter_map(|(name, value)| Some((name, value.clone()?)));
        set.flat_map(|(name, value)| {
            [name.to_owned(), name.to_uppercase()].map(|name| (name, Some(value.clone())))
        })
        .collect()
    }
}

/// The same as texts, empty where there is none, as templates want them (seed `openstack_manager`: `ProxyStringValues`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyStringValues {
    /// The address of the proxy for http URLs.
    pub http: Secret<String>,
    /// The address of the proxy for https URLs.
    pub https: Secret<String>,
    /// Hosts that are reached directly, separated by commas; empty where there is no proxy.
    pub no_proxy: String,
}

impl From<Option<&ProxyConfig>> for ProxyStringValues {
    fn from(proxies: Option<&ProxyConfig>) -> Self {
        let Some(ProxyConfig { http, https, no_proxy }) = proxies else { return Self::default() };
        let text = |proxy: &Option<Secret<String>>| proxy.clone().unwrap_or_default();
        let no_proxy = no_proxy.clone().filter(|_| http.is_some() || https.is_some());
        Self { http: text(http), https: text(https), no_proxy: no_proxy.unwrap_or_default() }
    }
}

impl ProxyStringValues {
    /// Whether there is a proxy.
    pub fn is_set(&self) -> bool {
        !self.http.expose().is_empty() || !self.https.expose().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_set_is_an_empty_text() {
        let proxy = |address: &str| Some(Secret::new(address.to_owned()));
        for (http, https, no_proxy, expected) in [
            (None, None, None, ["", "", ""]),
            (None, None, Some("h"), ["", "", ""]),
            (proxy("http://p:1"), None, Some("h"), ["http://p:1", "", "h"]),
            (None, proxy("http://p:1"), None, ["", "http://p:1", ""]),
        ] {
            let config = ProxyConfig { http, https, no_proxy: no_proxy.map(str::to_owned) };
            let ProxyStringValues { http, https, no_proxy } = Some(&config).into();
            assert_eq!([http.expose(), https.expose(), &no_proxy], expected);
        }
        assert!(!ProxyStringValues::from(None).is_set());
    }
}
