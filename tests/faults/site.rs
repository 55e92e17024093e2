//! The places where a build meets the world: calls over HTTP, told apart by method and path with ids left out; steps
//! over ssh; hook tools.

use std::collections::BTreeSet;
use std::fmt;

use rehearsal::cloud::{LogEntry, RehearsalCloud};

/// Who answers a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answerer {
    Keystone,
    Glance,
    Nova,
    Neutron,
    /// The mirror of cloud images, GitHub, and the server of the script.
    Web,
}

/// One place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Site {
    /// A call, its path with `{id}` for ids.
    Http { answerer: Answerer, method: String, path: String },
    /// The nth command that goes to an instance over ssh.
    Ssh { nth: u32 },
    /// A hook tool.
    Tool { name: &'static str },
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { answerer, method, path } => write!(f, "{answerer:?} {method} {path}"),
            Self::Ssh { nth } => write!(f, "ssh command {nth}"),
            Self::Tool { name } => write!(f, "tool {name}"),
        }
    }
}

/// What a build cannot do without: should the recording lose one of these, the sweep would pass without having looked.
const CALLS: [&str; 24] = [
    "Keystone POST /v3/auth/tokens",
    "Glance GET /v2/images",
    "Glance POST /v2/images",
    "Glance PUT /v2/images/{id}/file",
    "Glance GET /v2/images/{id}/file",
    "Glance GET /v2/images/{id}",
    "Glance PATCH /v2/images/{id}",
    "Glance DELETE /v2/images/{id}",
    "Nova GET /v2.1/flavors/detail",
    "Nova GET /v2.1/servers/detail",
    "Nova POST /v2.1/servers",
    "Nova GET /v2.1/servers/{id}",
    "Nova POST /v2.1/servers/{id}/action",
    "Nova DELETE /v2.1/servers/{id}",
    "Neutron GET /v2.0/networks",
    "Neutron GET /v2.0/security-groups",
    "Neutron POST /v2.0/security-groups",
    "Neutron POST /v2.0/security-group-rules",
    "Neutron DELETE /v2.0/security-groups/{id}",
    "Web GET /cloud-images/noble/current/SHA256SUMS",
    "Web GET /cloud-images/noble/current/SHA256SUMS.gpg",
    "Web GET /cloud-images/noble/current/noble-server-cloudimg-amd64.img",
    "Web GET /api/repos/actions/runner/releases/latest",
    "Web GET /scripts/setup.sh",
];

/// The calls of [`CALLS`] that are not among `sites`.
pub fn missing(sites: &[Site]) -> Vec<&'static str> {
    let seen: BTreeSet<String> = sites.iter().map(Site::to_string).collect();
    CALLS.into_iter().filter(|call| !seen.contains(*call)).collect()
}

/// The calls in the logs of a cloud and of the web around it, each once.
pub fn calls(cloud: &RehearsalCloud, web: &[LogEntry]) -> Vec<Site> {
    let in_cloud = cloud.log().into_iter().map(|entry| {
        let (url, path) = split(&entry.url);
        (answerer(cloud, url), entry.method, path.to_owned())
    });
    let in_web =
        web.iter().map(|entry| (Answerer::Web, entry.method.clone(), split(&entry.url).1.to_owned()));
    let sites: BTreeSet<Site> = in_cloud
        .chain(in_web)
        .map(|(answerer, method, path)| Site::Http { answerer, method, path: without_ids(&path) })
        .collect();
    sites.into_iter().collect()
}

/// The base of a URL and its path without the query.
fn split(url: &str) -> (&str, &str) {
    let after = url.find("://").map_or(0, |at| at + 3);
    let path = url[after..].find('/').map_or(url.len(), |at| after + at);
    let end = url[path..].find('?').map_or(url.len(), |at| path + at);
    (&url[..path], &url[path..end])
}

fn answerer(cloud: &RehearsalCloud, base: &str) -> Answerer {
    let is = |service: &str| cloud.service_url("RegionOne", service).is_some_and(|url| url.starts_with(base));
    if is("glance") {
        Answerer::Glance
    } else if is("nova") {
        Answerer::Nova
    } else if is("neutron") {
        Answerer::Neutron
    } else {
        Answerer::Keystone
    }
}

fn without_ids(path: &str) -> String {
    let is_id = |part: &str| {
        part.len() >= 32 && part.chars().all(|letter| letter.is_ascii_hexdigit() || letter == '-')
    };
    let parts: Vec<&str> = path.split('/').map(|part| if is_id(part) { "{id}" } else { part }).collect();
    parts.join("/")
}

/// A regular expression for the URLs of a path.
pub fn pattern(path: &str) -> String {
    let mut pattern = String::from("^https?://[^/]+");
    for part in path.split("{id}") {
        if pattern.len() > 20 {
            pattern.push_str("[0-9a-f-]{32,36}");
        }
        let escaped = part.replace('.', "\\.");
        pattern.push_str(&escaped);
    }
    pattern + "(\\?.*)?$"
}
