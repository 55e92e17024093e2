//! Where an address that a stranger has given must not lead: to this machine itself, or to what only its link has, the
//! metadata service of the cloud that it runs in above all. Names are looked at once they are resolved, so the connection is
//! made to the very address that was looked at. A name behind a proxy is the proxy's affair.

use std::net::{IpAddr, Ipv4Addr};

use ureq::http::Uri;

use super::url::Url;

/// How near an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Near {
    /// This machine itself.
    Machine,
    /// What is on the same link, and has no address elsewhere.
    Link,
}

impl Near {
    /// How near `address` is; `None` when it is an ordinary one.
    pub(super) fn of(address: IpAddr) -> Option<Self> {
        match address.to_canonical() {
            // All of 0.0.0.0/8 is this host.
            IpAddr::V4(address) if address.is_loopback() || address.octets()[0] == 0 => Some(Self::Machine),
            IpAddr::V4(address) if address.is_link_local() => Some(Self::Link),
            IpAddr::V6(address) if address.is_loopback() || address.is_unspecified() => Some(Self::Machine),
            IpAddr::V6(address) if address.is_unicast_link_local() => Some(Self::Link),
            _ => None,
        }
    }

    /// How near the host of `uri` is by its own words: an address, or the name that this machine has everywhere.
    pub(super) fn of_host(uri: &Uri) -> Option<Self> {
        let host = uri.host()?.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
        if let Ok(address) = host.parse::<IpAddr>() {
            return Self::of(address);
        }
        let name = host.to_ascii_lowercase();
        let is_local = name == "localhost" || name.ends_with(".localhost");
        // `127.1`, `0x7f000001` and the like, which only the system's resolver takes for an address.
        let is_old = || name.parse::<u32>().ok().map(Ipv4Addr::from);
        if is_local { Some(Self::Machine) } else { is_old().and_then(|address| Self::of(address.into())) }
    }
}

impl Url {
    /// How near the address is by its own words, without looking up any name.
    pub fn near(&self) -> Option<Near> {
        Near::of_host(self.uri())
    }
}

/// Why an address is refused.
pub(super) const REFUSED: &str = "it leads to the unit's own machine or link, which is accepted only if \
                                  openstack-auth-url does, too";

/// What keeps strangers' addresses away from here, unless one of the operator's own leads to the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Guard {
    /// The operator's own.
    pub(super) exempt: Vec<Url>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_near(url: &str, near: Option<Near>) {
        assert_eq!(url.parse::<Url>().unwrap().near(), near, "{url}");
    }

    #[test]
    fn addresses_of_the_machine_and_its_link_are_known_however_they_are_written() {
        for url in [
            "http://127.0.0.1:5000/v3",
            "http://127.8.9.10",
            "http://0.0.0.0:5000",
            "http://[::1]:5000",
            "http://[::]/",
            "http://[::ffff:127.0.0.1]/",
            "http://localhost/",
            "https://Keystone.LOCALHOST./v3",
            "http://2130706433/",
        ] {
            assert_near(url, Some(Near::Machine));
        }
        for url in
            ["http://169.254.169.254/", "http://[fe80::a9fe:a9fe]/", "http://[::ffff:169.254.169.254]/"]
        {
            assert_near(url, Some(Near::Link));
        }
        for url in [
            "https://keystone.example/",
            "http://10.0.0.1/",
            "http://[fd00::1]/",
            "http://localhost.example/",
        ] {
            assert_near(url, None);
        }
    }
}
