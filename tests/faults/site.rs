//! The places where a build meets the world: calls over HTTP, told apart by method and path with ids left out; steps
//! over ssh; hook tools; files.

use std::collections::BTreeSet;
use std::fmt;

use rehearsal::cloud::RehearsalCloud;

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
    /// A call, its path with `{id}` for ids, and what Nova is to do with a server.
    Http { answerer: Answerer, method: String, path: String, action: Option<String> },
    /// The connection to a VM of the first base.
    SshConnection { vm: String },
    /// The nth command in such a VM.
    SshCommand { vm: String, nth: u32 },
    /// A hook tool, or `juju-exec`.
    Tool { name: String },
    /// A file of the charm, below its root; what it is called until it is complete; whether it is ever read.
    File { path: String, beside: String, is_read: bool },
    /// The nth time that one thread of the worker writes the journal.
    Journal { nth: u32 },
    /// The disk as a whole.
    Disk { moment: Moment },
}

impl Site {
    /// Which recipe its builds have.
    pub fn recipe(&self) -> Recipe {
        match self {
            Self::SshConnection { .. } | Self::SshCommand { .. } => Recipe::Default,
            _ if self.is_of_sharing() => Recipe::Shared,
            _ => Recipe::Small,
        }
    }

    /// Whether it is a call about the members of an image.
    pub fn is_of_sharing(&self) -> bool {
        matches!(self, Self::Http { path, .. } if path.contains("/members"))
    }
}

/// What the images of a build are made of, and how they are delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipe {
    /// All of it: each step is a place where ssh may fail.
    Default,
    /// As little as there can be, for all that has nothing to do with ssh: most of a build's work is that of its VMs.
    Small,
    /// The same, and shared instead of copied.
    Shared,
}

/// When a disk goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    Before,
    During,
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { answerer, method, path, action: Some(action) } => {
                write!(f, "{answerer:?} {method} {path} {action}")
            }
            Self::Http { answerer, method, path, action: None } => write!(f, "{answerer:?} {method} {path}"),
            Self::SshConnection { vm } => write!(f, "ssh {vm} connection"),
            Self::SshCommand { vm, nth } => write!(f, "ssh {vm} command {nth}"),
            Self::Tool { name } => write!(f, "tool {name}"),
            Self::File { path, .. } => write!(f, "file {}", without_digest(path)),
            Self::Journal { nth } => write!(f, "journal write {nth}"),
            Self::Disk { moment: Moment::Before } => write!(f, "disk before the build"),
            Self::Disk { moment: Moment::During } => write!(f, "disk during the build"),
        }
    }
}

/// The worker's binary has its digest in its name.
fn without_digest(path: &str) -> String {
    match path.rsplit_once('-') {
        Some((name, digest)) if digest.len() == 12 && path.contains("/bin/") => format!("{name}-{{digest}}"),
        _ => path.to_owned(),
    }
}

/// What must have been recorded, one a line.
const CALLS: &str = include_str!("calls.txt");

/// The calls of `calls.txt` that are not among `sites`.
pub fn missing(sites: &[Site]) -> Vec<&'static str> {
    let seen: BTreeSet<String> = sites.iter().map(Site::to_string).collect();
    let wanted = CALLS.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    wanted.filter(|call| !seen.contains(*call)).collect()
}

/// The calls that the servers of a cloud and of the web around it have seen, each once.
pub fn calls(cloud: &RehearsalCloud, web: &rehearsal::servers::Site) -> Vec<Site> {
    let (in_cloud, in_web) = (cloud.log(), web.log());
    let in_cloud = in_cloud.iter().map(|entry| (answerer(cloud, split(&entry.url).0), entry));
    let all = in_cloud.chain(in_web.iter().map(|entry| (Answerer::Web, entry)));
    let sites: BTreeSet<Site> = all
        .map(|(answerer, entry)| {
            let path = split(&entry.url).1;
            let action = entry.keys.first().filter(|_| path.ends_with("/action")).cloned();
            Site::Http { answerer, method: entry.method.clone(), path: generic(path), action }
        })
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

/// Names of releases, which are one call to us.
const SERIES: [&str; 2] = ["noble", "jammy"];

/// A path without ids and names of releases.
fn generic(path: &str) -> String {
    let is_id = |part: &str| {
        part.len() >= 32 && part.chars().all(|letter| letter.is_ascii_hexdigit() || letter == '-')
    };
    let part = |part: &str| match is_id(part) {
        true => "{id}".to_owned(),
        false => SERIES.iter().fold(part.to_owned(), |part, series| part.replace(series, "{series}")),
    };
    let parts: Vec<String> = path.split('/').map(part).collect();
    parts.join("/")
}

/// A regular expression for the URLs of a path.
pub fn pattern(path: &str) -> String {
    let escaped = path.replace('.', "\\.");
    let any = escaped.replace("{id}", "[0-9a-f-]{32,36}").replace("{series}", "[a-z]+");
    format!("^https?://[^/]+{any}(\\?.*)?$")
}
