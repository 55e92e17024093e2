//! One security pocket of a mirror: its signed list, asked for only if it has changed, and of its package lists those whose
//! digests have changed.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::packages;
use super::release::{COMPONENTS, Release};
use crate::builder::image::conditional::get_since;
use crate::builder::image::signature;
use crate::host::Host;
use crate::http::{HttpClient, HttpError, Incoming, Url};
use crate::model::{BaseImage, Deadline, Timestamp, hex};
use crate::record::{Fix, ListedFile, PackageList, SecurityPocket, Validator};

/// How long the signed list may take; a mirror that is slower is asked again within the hour.
const LIST_TIME: Duration = Duration::from_secs(60);

/// The packages that are looked for, by architecture in Debian's word.
pub type Wanted = BTreeMap<String, WantedPackages>;

/// Those of one architecture.
#[derive(Debug, Default)]
pub struct WantedPackages {
    /// Their names.
    pub names: BTreeSet<String>,
    /// Whether it is the architecture of an image; a mirror may lack others.
    pub is_of_image: bool,
}

/// A security pocket cannot be looked at. What it had before still counts for a while.
#[derive(Debug, thiserror::Error)]
pub enum PocketError {
    /// The mirror has none.
    #[error(
        "{url}: the mirror has no security pocket; set security-mirror to one that has, or rebuild-on to age"
    )]
    Missing {
        /// Its signed list.
        url: String,
    },
    /// The mirror did not give a file.
    #[error("looking for security fixes: {0}; check security-mirror")]
    Fetch(#[from] HttpError),
    /// The list is not signed by the key that we trust.
    #[error(
        "checking the signature of {url} with {keyring}: {problem}; check security-mirror and security-mirror-keyring"
    )]
    Signature {
        /// The list.
        url: String,
        /// The keyring.
        keyring: String,
        /// Why its signature does not count.
        problem: String,
    },
    /// The signed list is none of this pocket.
    #[error("reading {url}: {problem}; check security-mirror")]
    Foreign {
        /// The list.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A newer list has been seen at the same place.
    #[error(
        "{url} is dated {dated}, and one of {newest} was seen there before: the mirror serves an old list; check security-mirror"
    )]
    Older {
        /// The list.
        url: String,
        /// Its date.
        dated: Timestamp,
        /// The date of the newest.
        newest: Timestamp,
    },
    /// The list says that it is too old.
    #[error("{url} was valid until {until}: the mirror is outdated; check security-mirror")]
    Expired {
        /// The list.
        url: String,
        /// Until when it was valid.
        until: Timestamp,
    },
    /// It has no packages of an architecture.
    #[error(
        "{url} lists no Packages.gz for {architecture}; set security-mirror to a mirror that has it, or rebuild-on to age"
    )]
    NotListed {
        /// The list.
        url: String,
        /// The architecture.
        architecture: String,
    },
    /// A package list is not what the signed list promises.
    #[error("reading {url}: {source}; check security-mirror")]
    Packages {
        /// The package list.
        url: String,
        /// Why it is not.
        source: io::Error,
    },
}

impl PocketError {
    /// A word for its kind: operators are told of each once.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "missing",
            Self::Fetch(_) => "fetch",
            Self::Signature { .. } => "signature",
            Self::Foreign { .. } => "foreign",
            Self::Older { .. } => "older",
            Self::Expired { .. } => "expired",
            Self::NotListed { .. } => "not listed",
            Self::Packages { .. } => "packages",
        }
    }
}

/// A pocket to be looked at.
pub struct Pocket<'a> {
    /// The machine that we run on.
    pub host: &'a Host,
    /// The door to the web.
    pub http: &'a HttpClient,
    /// The URL of the suite.
    pub url: &'a str,
    /// The release that it has fixes for.
    pub base: BaseImage,
    /// The keyring file with the key of its signed list.
    pub keyring: &'a str,
    /// The packages that are looked for.
    pub wanted: &'a Wanted,
}

impl Pocket<'_> {
    /// The pocket as it is now; `known` is how it was.
    pub fn refresh(
        &self,
        known: Option<&SecurityPocket>,
        deadline: Deadline,
    ) -> Result<SecurityPocket, PocketError> {
        // Another keyring begins anew.
        let known = known.filter(|known| known.keyring == self.keyring && known.dated.is_some());
        let pocket = self.list(known, deadline.at_most(LIST_TIME))?;
        if let Some(until) = pocket.valid_until.filter(|until| *until < Timestamp::now()) {
            return Err(PocketError::Expired { url: self.list_url(), until });
        }
        let mut packages = BTreeMap::new();
        for (architecture, WantedPackages { names, is_of_image }) in self.wanted {
            let lists = COMPONENTS.map(|component| format!("{component}/binary-{architecture}"));
            let listed: Vec<_> = lists.iter().filter_map(|list| pocket.listed.get_key_value(list)).collect();
            if listed.is_empty() && *is_of_image {
                let architecture = architecture.clone();
                return Err(PocketError::NotListed { url: self.list_url(), architecture });
            }
            for (list, file) in listed {
                let before = pocket.packages.get(list);
                let now = self.packages(list, file, names, pocket.by_hash, before, deadline)?;
                packages.insert(list.clone(), now);
            }
        }
        Ok(SecurityPocket { confirmed: Some(Timestamp::now()), packages, trouble: None, ..pocket })
    }

    /// The signed list of now, with the packages of before.
    fn list(
        &self,
        known: Option<&SecurityPocket>,
        deadline: Deadline,
    ) -> Result<SecurityPocket, PocketError> {
        let url = self.list_url();
        let changed = get_since(self.http, &url, known.map(|known| &known.validator), deadline);
        let changed = changed.map_err(|error| match error {
            HttpError::Status { status: 404 | 410, .. } => PocketError::Missing { url: url.clone() },
            error => error.into(),
        })?;
        let (answer, validator) = match (changed, known) {
            (Some(changed), _) => changed,
            (None, Some(known)) => return Ok(known.clone()),
            (None, None) => return Err(PocketError::Foreign { url, problem: "it is not there".to_owned() }),
        };
        let keyring = signature::keyring(self.host, self.keyring);
        let release = self.verified(answer.utf8()?, &keyring, deadline)?;
        let newest = known.and_then(|known| known.dated).filter(|newest| *newest > release.dated);
        if let Some(newest) = newest {
            return Err(PocketError::Older { url, dated: release.dated, newest });
        }
        Ok(self.with(release, validator, known))
    }

    fn verified(&self, text: &str, keyring: &Path, deadline: Deadline) -> Result<Release, PocketError> {
        let url = self.list_url();
        let signed = signature::check_inline(self.host, text, keyring, deadline).map_err(|problem| {
            PocketError::Signature { url: url.clone(), keyring: self.keyring.to_owned(), problem }
        })?;
        Release::parse(&signed, self.base).map_err(|problem| PocketError::Foreign { url, problem })
    }

    fn with(&self, release: Release, validator: Validator, known: Option<&SecurityPocket>) -> SecurityPocket {
        let Release { dated, valid_until, by_hash, listed } = release;
        SecurityPocket {
            validator,
            // A clock of the archive that was wrong once must not make all later lists old ones.
            dated: Some(dated.min(Timestamp::now())),
            valid_until,
            by_hash,
            listed,
            packages: known.map(|known| known.packages.clone()).unwrap_or_default(),
            ..SecurityPocket::new(self.keyring)
        }
    }

    /// The versions of `names` in a package list. One that has not changed is read again only if other names are looked for.
    fn packages(
        &self,
        list: &str,
        listed: &ListedFile,
        names: &BTreeSet<String>,
        by_hash: bool,
        before: Option<&PackageList>,
        deadline: Deadline,
    ) -> Result<PackageList, PocketError> {
        let wanted = digest_of(names);
        let same = before.filter(|before| before.sha256 == listed.sha256);
        if let Some(same) = same.filter(|same| same.wanted == wanted) {
            return Ok(same.clone());
        }
        let (url, incoming) = self.open(list, listed, by_hash, deadline)?;
        let versions = packages::versions(incoming, listed, names)
            .map_err(|source| PocketError::Packages { url, source })?;
        let seen = same.map_or_else(Timestamp::now, |same| same.seen);
        let known = before.map(|before| &before.packages);
        let packages = versions.into_iter().map(|(name, version)| {
            let known = known.and_then(|known| known.get(&name)).filter(|known| known.version == version);
            let appeared = known.map_or(seen, |known| known.appeared);
            (name, Fix { version, appeared })
        });
        Ok(PackageList { sha256: listed.sha256.clone(), wanted, seen, packages: packages.collect() })
    }

    /// Opens a package list: by its digest, under which a mirror in the middle of its own update still has it, or by its name.
    fn open(
        &self,
        list: &str,
        listed: &ListedFile,
        by_hash: bool,
        deadline: Deadline,
    ) -> Result<(String, Incoming), PocketError> {
        let named = format!("{}/{list}/Packages.gz", self.url);
        let url = format!("{}/{list}/by-hash/SHA256/{}", self.url, listed.sha256);
        if by_hash {
            match self.http.download(&url.parse::<Url>()?, deadline) {
                // As apt does where a mirror has left these out.
                Err(HttpError::Status { status: 404 | 410, .. }) => (),
                opened => return Ok((url, opened?)),
            }
        }
        let incoming = self.http.download(&named.parse::<Url>()?, deadline)?;
        Ok((named, incoming))
    }

    fn list_url(&self) -> String {
        format!("{}/InRelease", self.url)
    }
}

fn digest_of(names: &BTreeSet<String>) -> String {
    let mut digest = Sha256::new();
    names.iter().for_each(|name| digest.update(format!("{name}\n")));
    hex(&digest.finalize())
}
