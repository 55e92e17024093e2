//! Ubuntu's cloud images: what the image server offers, checked by signature and digest, and a copy in the build cloud.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::config::{BaseImageSource, CloudName, JobId, Owner, hex};
use super::journal::JournalError;
use super::labels::{self, DIGEST, Stage};
use super::resource::{Ledger, Resource, ResourceKind};
use crate::deadline::Deadline;
use crate::host::{FileError, Host, ProcessError, Program, random_uuid};
use crate::http::{HttpClient, HttpError, Url};
use crate::openstack_cloud::{Cloud, ImageChange, ImageId, ImageStatus, NewImage, OpenStackError};
use crate::target::Target;

/// The list of digests and its signature are small; anything larger is none.
const LIST_LIMIT: u64 = 4 << 20;

/// How long the list and its signature may take.
const LIST_TIME: Duration = Duration::from_secs(300);

/// A base image could not be had.
#[derive(Debug, thiserror::Error)]
pub enum BaseImageError {
    /// The image server did not give a file.
    #[error("fetching {url}: {problem}; check base-image-source")]
    Fetch {
        /// The file.
        url: String,
        /// Why.
        problem: String,
    },
    /// The list of digests is not signed by the key that we trust.
    #[error(
        "checking the signature of {url} with {keyring}: {problem}; check base-image-source and base-image-keyring"
    )]
    Signature {
        /// The list.
        url: String,
        /// The keyring.
        keyring: String,
        /// What gpgv said.
        problem: String,
    },
    /// The signed list does not name the image.
    #[error("{url} names no {file}: this release has no image for this architecture")]
    NotListed {
        /// The list.
        url: String,
        /// The image's file name.
        file: String,
    },
    /// The image's bytes are not those that the signed list promises.
    #[error("checking {url}: its SHA-256 is {found}, the signed list says {promised}")]
    Digest {
        /// The image.
        url: String,
        /// What it has.
        found: String,
        /// What it should have.
        promised: String,
    },
    /// The build cloud did not take it.
    #[error("uploading the base image: {0}")]
    Cloud(#[from] OpenStackError),
    /// A host file could not be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The copy could not be noted in the journal, and was not begun.
    #[error("{0}; nothing is uploaded that cannot be noted")]
    Journal(#[from] JournalError),
}

impl BaseImageError {
    /// Whether time alone will not mend it.
    pub fn operator_must_act(&self) -> bool {
        match self {
            Self::Signature { .. } | Self::NotListed { .. } => true,
            Self::Cloud(error) => error.operator_must_act(),
            // A mirror in the middle of its own update mends itself.
            Self::Fetch { .. } | Self::Digest { .. } | Self::File(_) | Self::Journal(_) => false,
        }
    }
}

/// An image that the server offers now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Where its bytes are.
    url: String,
    /// Their SHA-256 by the signed list, in hexadecimal.
    pub sha256: String,
}

/// Asks the image server for the present image of `target` and checks the signature of its list of digests.
pub fn look_up(
    host: &Host,
    http: &HttpClient,
    source: &BaseImageSource,
    target: Target,
    deadline: Deadline,
) -> Result<Offer, BaseImageError> {
    let deadline = deadline.at_most(LIST_TIME);
    let folder = format!("{}/{}/current", source.url, target.base);
    let list_url = format!("{folder}/SHA256SUMS");
    let list = fetch_small(http, &list_url, deadline)?;
    let signature = fetch_small(http, &format!("{list_url}.gpg"), deadline)?;
    let keyring = keyring(host, &source.keyring);
    check_signature(host, &list, &signature, &keyring, deadline).map_err(|problem| {
        BaseImageError::Signature { url: list_url.clone(), keyring: source.keyring.clone(), problem }
    })?;
    let file = format!("{}-server-cloudimg-{}.img", target.base, target.arch.ubuntu());
    let sha256 = listed_digest(&list, &file)
        .ok_or_else(|| BaseImageError::NotListed { url: list_url, file: file.clone() })?;
    Ok(Offer { url: format!("{folder}/{file}"), sha256 })
}

/// The build cloud's copies of base images.
pub struct BaseImages<'a> {
    /// The build cloud.
    pub cloud: &'a Cloud,
    /// Its name.
    pub cloud_name: &'a CloudName,
    /// The door to the web.
    pub http: &'a HttpClient,
    /// Whose the copies are.
    pub owner: &'a Owner,
    /// The job that needs them.
    pub job: &'a JobId,
    /// Where a copy is noted, and the target that it is for.
    pub ledger: Ledger<'a>,
}

impl BaseImages<'_> {
    /// Brings the offered image to the build cloud, unless it is there; returns its id. Copies of older offers go.
    pub fn ensure(&self, offer: &Offer, deadline: Deadline) -> Result<ImageId, BaseImageError> {
        let name = base_image_name(&self.owner.application, self.ledger.target);
        let present = labels::images(self.cloud, self.owner, Stage::Base, Some(&name), deadline)?;
        let is_good = |image: &&crate::openstack_cloud::Image| {
            image.status == ImageStatus::Active && image.properties.get(DIGEST) == Some(&offer.sha256)
        };
        let id = match present.iter().find(is_good) {
            Some(image) => image.id.clone(),
            None => self.upload(&name, offer, deadline)?,
        };
        for old in present.iter().filter(|image| image.id != id) {
            if let Err(error) = self.cloud.images().delete(&old.id, deadline) {
                log::warn!("an old base image stays: {error}");
            }
        }
        Ok(id)
    }

    fn upload(&self, name: &str, offer: &Offer, deadline: Deadline) -> Result<ImageId, BaseImageError> {
        let target = self.ledger.target;
        log::info!("{target}: copying base image {} to the build cloud", offer.url);
        let Ok(id) = random_uuid().parse::<ImageId>() else {
            return Err(BaseImageError::Fetch { url: offer.url.clone(), problem: "no random id".into() });
        };
        let mut properties = labels::of_image(self.owner, self.job, Stage::Base, &id);
        properties.insert("architecture".into(), target.arch.glance().into());
        let image = NewImage {
            id: Some(id.clone()),
            name: name.to_owned(),
            disk_format: "qcow2".into(),
            container_format: "bare".into(),
            min_disk: 0,
            min_ram: 0,
            properties,
        };
        let noted = Resource {
            kind: ResourceKind::BaseImage,
            cloud: self.cloud_name.clone(),
            name: name.to_owned(),
            id: Some(id.to_string()),
        };
        self.ledger.makes(&noted)?;
        let images = self.cloud.images();
        let created = images.create(&image, deadline).map_err(BaseImageError::from);
        let result = created.and_then(|_| transfer(self.cloud, self.http, &id, offer, deadline));
        // A creation whose answer was lost is a creation.
        if result.is_ok() || images.delete(&id, Deadline::after(Duration::from_secs(60))).is_ok() {
            self.ledger.settled(&noted);
        }
        result.map(|()| id)
    }
}

/// The name of an application's copy of a base image.
pub fn base_image_name(application: &str, target: Target) -> String {
    format!("{application}-image-builder-base-{target}")
}

/// One pass over the bytes: read, digested, sent. The image counts as checked once its digest is noted on it.
fn transfer(
    cloud: &Cloud,
    http: &HttpClient,
    id: &ImageId,
    offer: &Offer,
    deadline: Deadline,
) -> Result<(), BaseImageError> {
    let (reader, size) = open(http, &offer.url, deadline)?;
    let mut reader = Digesting { reader, digest: Sha256::new() };
    let images = cloud.images();
    images.upload(id, size, &mut reader, deadline)?;
    let found = hex(&reader.digest.finalize());
    if found != offer.sha256 {
        let (url, promised) = (offer.url.clone(), offer.sha256.clone());
        return Err(BaseImageError::Digest { url, found, promised });
    }
    images.wait_until_active(id, deadline.at_most(Duration::from_secs(1800)))?;
    let checked = [ImageChange::Add(DIGEST.into(), found.into())];
    images.update(id, &checked, deadline)?;
    Ok(())
}

/// A reader that digests what passes.
struct Digesting<R> {
    reader: R,
    digest: Sha256,
}

impl<R: Read> Read for Digesting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.digest.update(&buffer[..read]);
        Ok(read)
    }
}

type Opened = (Box<dyn Read + Send>, Option<u64>);

fn open(http: &HttpClient, url: &str, deadline: Deadline) -> Result<Opened, BaseImageError> {
    let failed = |problem: String| BaseImageError::Fetch { url: url.to_owned(), problem };
    if let Some(path) = url.strip_prefix("file://") {
        let file = File::open(path).map_err(|error| failed(error.to_string()))?;
        let size = file.metadata().ok().map(|metadata| metadata.len());
        return Ok((Box::new(file), size));
    }
    let url: Url = url.parse().map_err(|error: HttpError| failed(error.to_string()))?;
    let incoming = http.download(&url, deadline).map_err(|error| failed(error.to_string()))?;
    let size = incoming.size();
    Ok((Box::new(incoming), size))
}

fn fetch_small(http: &HttpClient, url: &str, deadline: Deadline) -> Result<Vec<u8>, BaseImageError> {
    let failed = |problem: String| BaseImageError::Fetch { url: url.to_owned(), problem };
    let (reader, _) = open(http, url, deadline)?;
    let mut bytes = Vec::new();
    reader.take(LIST_LIMIT + 1).read_to_end(&mut bytes).map_err(|error| failed(error.to_string()))?;
    if bytes.len() as u64 > LIST_LIMIT {
        return Err(failed("larger than 4 MiB".into()));
    }
    Ok(bytes)
}

/// The keyring's path: one below our root if it is there (it is, when the root is a tree of its own).
fn keyring(host: &Host, path: &str) -> std::path::PathBuf {
    let ours = host.path(path);
    if ours.exists() { ours } else { path.into() }
}

fn check_signature(
    host: &Host,
    list: &[u8],
    signature: &[u8],
    keyring: &Path,
    deadline: Deadline,
) -> Result<(), String> {
    let folder = host.run_dir().join(format!("sums-{}", random_uuid()));
    let checked = (|| {
        host.private_dir(&folder).map_err(|error| error.to_string())?;
        let (list_file, signature_file) = (folder.join("SHA256SUMS"), folder.join("SHA256SUMS.gpg"));
        host.write(&list_file, list, 0o600).map_err(|error| error.to_string())?;
        host.write(&signature_file, signature, 0o600).map_err(|error| error.to_string())?;
        let gpgv =
            Program::new("gpgv").args(["--quiet", "--keyring"]).args([keyring, &signature_file, &list_file]);
        match gpgv.run(deadline.at_most(Duration::from_secs(60))) {
            Ok(_) => Ok(()),
            Err(ProcessError::Failed { stderr, .. }) => Err(stderr.replace('\n', "; ")),
            Err(error) => Err(error.to_string()),
        }
    })();
    let _ = host.remove_dir(&folder);
    checked
}

/// The digest of `file` in the format of sha256sum(1): `HEX *NAME` or `HEX  NAME`.
fn listed_digest(list: &[u8], file: &str) -> Option<String> {
    let list = std::str::from_utf8(list).ok()?;
    list.lines().find_map(|line| {
        let (digest, name) = line.split_once(' ')?;
        let name = name.strip_prefix(['*', ' '])?;
        let is_digest = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        (name == file && is_digest).then(|| digest.to_ascii_lowercase())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_found_by_the_whole_name_and_must_be_digests() {
        let digest = "AB".repeat(32);
        let list = format!("{digest} *noble.img\n{digest}  other.img\nshort *bad.img\n");
        assert_eq!(listed_digest(list.as_bytes(), "noble.img"), Some("ab".repeat(32)));
        assert_eq!(listed_digest(list.as_bytes(), "other.img"), Some("ab".repeat(32)));
        assert_eq!(listed_digest(list.as_bytes(), "bad.img"), None);
        assert_eq!(listed_digest(list.as_bytes(), "le.img"), None);
        assert_eq!(listed_digest(&[0xff, 0xfe], "noble.img"), None);
    }
}
