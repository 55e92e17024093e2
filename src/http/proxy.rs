//! Which proxy a request goes through, decided per address from Juju's three settings.
//!
//! Names are never looked up here: a CIDR in the no-proxy list matches addresses only. Nothing on this machine
//! is ever reached through a proxy.

use std::fmt;
use std::net::IpAddr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ipnet::IpNet;
use ureq::http::Uri;

use super::HttpError;
use crate::model::Secret;

/// Juju's proxy settings for this charm (`JUJU_CHARM_HTTP_PROXY`, `.._HTTPS_PROXY`, `.._NO_PROXY`).
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    direct: Vec<Direct>,
}

impl Proxies {
    /// Reads the settings: each proxy as `[http://][USER:PASSWORD@]HOST[:PORT]` (port 80 when none is given),
    /// empty when there is none; `no_proxy` as a list of names, domains, addresses and networks, separated by
    /// commas or blanks. Entries that can match nothing are left out.
    pub fn parse(http: &Secret<String>, https: &Secret<String>, no_proxy: &str) -> Result<Self, HttpError> {
        let direct = no_proxy.split([',', ' ', '\t', '\n']).filter_map(Direct::parse).collect();
        Ok(Self {
            http: Proxy::parse("http-proxy", http)?,
            https: Proxy::parse("https-proxy", https)?,
            direct,
        })
    }

    /// The proxy for `uri`, or none when it is reached directly.
    pub(super) fn choose(&self, uri: &Uri) -> Option<&Proxy> {
        let (proxy, default_port) = match uri.scheme_str() {
            Some("https") => (self.https.as_ref()?, 443),
            _ => (self.http.as_ref()?, 80),
        };
        let host = Host::parse(uri.host()?);
        let port = uri.port_u16().unwrap_or(default_port);
        if host.is_this_machine() || self.direct.iter().any(|entry| entry.covers(&host, port)) {
            return None;
        }
        Some(proxy)
    }
}

/// One proxy. Shows itself as host and port.
#[derive(Clone)]
pub(super) struct Proxy {
    uri: Uri,
    authorization: Option<Secret<String>>,
}

impl Proxy {
    fn parse(setting: &'static str, value: &Secret<String>) -> Result<Option<Self>, HttpError> {
        let refused = |reason| HttpError::ProxySetting { setting, reason };
        let value = value.expose().trim();
        if value.is_empty() {
            return Ok(None);
        }
        let rest = match value.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some(_) => return Err(refused("only proxies of the form http://HOST:PORT are supported")),
            None => value,
        };
        let (user, rest) = match rest.rsplit_once('@') {
            Some((user, rest)) => (Some(user), rest),
            None => (None, rest),
        };
        let place = rest.split('/').next().unwrap_or_default();
        let uri: Uri =
            format!("http://{place}/").parse().map_err(|_| refused("host or port is malformed"))?;
        if uri.host().is_none_or(str::is_empty) {
            return Err(refused("it names no host"));
        }
        let authorization = match user {
            Some(user) => {
                let user =
                    decoded(user).ok_or_else(|| refused("the user or password is not encoded correctly"))?;
                Some(Secret::new(format!("Basic {}", BASE64_STANDARD.encode(user))))
            }
            None => None,
        };
        Ok(Some(Self { uri, authorization }))
    }

    /// Where the proxy listens.
    pub(super) fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The value of Proxy-Authorization, when the setting has user and password.
    pub(super) fn authorization(&self) -> Option<&Secret<String>> {
        self.authorization.as_ref()
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.uri.host().unwrap_or_default(), self.uri.port_u16().unwrap_or(80))
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The host of an address: a name in lower case, or an IP address.
enum Host {
    Name(String),
    Address(IpAddr),
}

impl Host {
    fn parse(host: &str) -> Self {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        match bare.parse::<IpAddr>() {
            Ok(address) => Self::Address(address.to_canonical()),
            Err(_) => Self::Name(bare.trim_end_matches('.').to_ascii_lowercase()),
        }
    }

    fn is_this_machine(&self) -> bool {
        match self {
            Self::Name(name) => name == "localhost" || name.ends_with(".localhost"),
            Self::Address(address) => address.is_loopback(),
        }
    }
}

/// One entry of the no-proxy list.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Direct {
    place: Place,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Everything,
    Network(IpNet),
    /// A domain and everything below it.
    Domain(String),
}

impl Direct {
    fn parse(entry: &str) -> Option<Self> {
        let entry = entry.trim();
        if entry == "*" {
            return Some(Self { place: Place::Everything, port: None });
        }
        if let Some(network) = network(entry) {
            return Some(Self { place: Place::Network(network), port: None });
        }
        let (name, port) = match entry.rsplit_once(':') {
            Some((name, port)) => (name, Some(port.parse().ok()?)),
            None => (entry, None),
        };
        if let Some(network) = network(name) {
            return Some(Self { place: Place::Network(network), port });
        }
        let name = name.trim_start_matches('*').trim_matches('.').to_ascii_lowercase();
        let sane = !name.is_empty() && !name.contains(['/', ':', '*', '@']);
        sane.then_some(Self { place: Place::Domain(name), port })
    }

    fn covers(&self, host: &Host, port: u16) -> bool {
        let place = match (&self.place, host) {
            (Place::Everything, _) => true,
            (Place::Network(network), Host::Address(address)) => network.contains(address),
            (Place::Domain(domain), Host::Name(name)) => {
                name.strip_suffix(domain.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
            _ => false,
        };
        place && self.port.is_none_or(|wanted| wanted == port)
    }
}

/// An address (with or without brackets) or a network.
fn network(text: &str) -> Option<IpNet> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Some(IpNet::from(address.to_canonical()));
    }
    bare.parse().ok()
}

/// Percent-decoding of a user and password.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut result = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = char::from(bytes.next()?).to_digit(16)?;
            let low = char::from(bytes.next()?).to_digit(16)?;
            result.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            result.push(byte);
        }
    }
    Some(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(http: &str, https: &str, no_proxy: &str) -> Proxies {
        Proxies::parse(&Secret::new(http.into()), &Secret::new(https.into()), no_proxy).unwrap()
    }

    fn choice(proxies: &Proxies, url: &str) -> String {
        proxies.choose(&url.parse().unwrap()).map_or("direct".to_owned(), ToString::to_string)
    }

    #[test]
    fn each_scheme_has_its_own_proxy() {
        let both = proxies("10.0.0.1:3128", "http://10.0.0.2:3129", "");
        assert_eq!(choice(&both, "http://example.com/"), "10.0.0.1:3128");
        assert_eq!(choice(&both, "https://example.com/"), "10.0.0.2:3129");
        let one = proxies("", "squid", "");
        assert_eq!(choice(&one, "http://example.com/"), "direct");
        assert_eq!(choice(&one, "https://example.com/"), "squid:80");
    }

    #[test]
    fn no_proxy_entries_match_what_operators_mean_by_them() {
        let cases: &[(&str, &str, bool)] = &[
            ("", "http://example.com/", false),
            ("*", "http://example.com/", true),
            ("example.com", "http://example.com/", true),
            ("EXAMPLE.com", "http://Example.COM/", true),
            ("example.com", "http://example.com./", true),
            ("example.com", "http://api.example.com/", true),
            (".example.com", "http://api.example.com/", true),
            ("*.example.com", "http://api.example.com/", true),
            ("*.example.com", "http://example.com/", true),
            ("example.com", "http://notexample.com/", false),
            ("example.com", "http://example.com.evil.test/", false),
            ("example.com:5000", "http://example.com:5000/", true),
            ("example.com:5000", "http://example.com:5001/", false),
            ("example.com:443", "https://example.com/", true),
            ("example.com:80", "https://example.com/", false),
            ("10.0.0.7", "http://10.0.0.7:9292/", true),
            ("10.0.0.7:9292", "http://10.0.0.7:9292/", true),
            ("10.0.0.7:9292", "http://10.0.0.7:9696/", false),
            ("10.0.0.7", "http://10.0.0.70/", false),
            ("10.0.0.0/8", "http://10.255.0.1/", true),
            ("10.0.0.0/8", "http://11.0.0.1/", false),
            ("10.0.0.0/8", "http://ten.example.com/", false),
            ("192.168.0.0/16", "http://192.169.0.1/", false),
            ("fd00::/8", "http://[fd12::1]:5000/", true),
            ("fd00::/8", "http://[fe80::1]/", false),
            ("2001:db8::7", "http://[2001:db8::7]/", true),
            ("[2001:db8::7]:5000", "http://[2001:db8::7]:5000/", true),
            ("[2001:db8::7]:5000", "http://[2001:db8::7]/", false),
            ("10.0.0.0/8", "http://[::ffff:10.1.2.3]/", true),
            ("a.test, b.test c.test", "http://c.test/", true),
            ("10.0.0.0/99,::x/3,:,@,b:notaport", "http://10.0.0.1/", false),
        ];
        for (no_proxy, url, direct) in cases {
            let proxies = proxies("proxy:3128", "proxy:3128", no_proxy);
            assert_eq!(choice(&proxies, url) == "direct", *direct, "{no_proxy} for {url}");
        }
    }

    #[test]
    fn this_machine_is_never_reached_through_a_proxy() {
        let proxies = proxies("proxy:3128", "proxy:3128", "");
        for url in ["http://localhost:5000/", "http://127.8.9.10/", "https://[::1]/", "http://a.localhost/"] {
            assert_eq!(choice(&proxies, url), "direct", "{url}");
        }
    }

    #[test]
    fn credentials_are_used_and_never_shown() {
        let proxies = proxies("http://me:hunt%40er2@squid.test:3128/", "me:hunter2@10.0.0.1:3128", "");
        let proxy = proxies.choose(&"http://example.com/".parse().unwrap()).unwrap();
        assert_eq!(proxy.to_string(), "squid.test:3128");
        assert_eq!(proxy.authorization().unwrap().expose(), "Basic bWU6aHVudEBlcjI=");
        let shown = format!("{proxies:?}");
        assert!(!shown.contains("hunt") && !shown.contains("bWU6"), "{shown}");
    }

    #[test]
    fn an_unusable_setting_is_named_without_its_value() {
        for bad in [
            "https://me:hunter2@x:3128",
            "socks5://me:hunter2@x",
            "me:hunter2@",
            "me:hunter2@a b",
            "me:%zz@x",
        ] {
            let error = Proxies::parse(&Secret::default(), &Secret::new(bad.into()), "").unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(shown.contains("https-proxy") && !shown.contains("hunter2"), "{bad}: {shown}");
        }
    }
}
