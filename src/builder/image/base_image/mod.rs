//! Ubuntu's cloud images: what the image server offers, checked by signature and digest; a copy in the build cloud
//! ([`glance`]) or on this machine ([`cache`]).

mod cache;
mod changes;
mod glance;
mod signed_lists;
mod sums;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::Duration;

pub use cache::BaseImageCache;
pub use changes::{list_of, list_since};
pub use glance::{BaseImages, base_image_name};

use self::sums::listed_digest;
use super::signature;
use crate::disk_image::DiskError;
use crate::host::{FileError, Host};
use crate::http::{HttpClient, HttpError, Url};
use crate::model::{Attempts, BaseImage, Cause, Classified, Deadline, ReleaseDate, Target, Timestamp};
use crate::openstack_cloud::{ImageId, OpenStackError};
use crate::record::{BaseImageSource, RecordError};

/// The list of digests and its signature are small; anything larger is none.
const LIST_LIMIT: u64 = 4 << 20;

/// An older list makes one wonder: Ubuntu publishes images every few weeks at least.
const LIST_AGE: Duration = Duration::from_secs(6 * 7 * 86_400);

/// A base that is pinned for so long lacks updates that matter.
pub const PIN_AGE: Duration = Duration::from_secs(30 * 86_400);

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
    /// The image server does not have a base, or the release that it is pinned to.
    #[error("fetching {url}: {problem}; {}", lacks(*base, *is_pinned))]
    NoRelease {
        /// The list of its digests.
        url: String,
        /// Why.
        problem: String,
        /// The base.
        base: BaseImage,
        /// Whether it is pinned to a release.
        is_pinned: bool,
    },
    /// The list of digests was signed before the release that it should be of.
    #[error(
        "{url} was signed on {signed}, before the pinned release date: the image server serves the wrong list; check \
         base-image and base-image-source"
    )]
    OfAnotherRelease {
        /// The list.
        url: String,
        /// When it was signed.
        signed: Timestamp,
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
        /// Why none of its signatures counts.
        problem: String,
    },
    /// A newer list has been seen at the same place.
    #[error(
        "{url} was signed on {signed}, but a list signed on {newest} was seen there before: the image server serves an \
         outdated list; wait until it serves a newer one, or check base-image-source"
    )]
    Older {
        /// The list.
        url: String,
        /// When it was signed.
        signed: Timestamp,
        /// When the newest was signed.
        newest: Timestamp,
    },
    /// The signed list does not name the image.
    #[error("{url} lists no {file} for this architecture; change base-image or architecture")]
    NotListed {
        /// The list.
        url: String,
        /// The image's file name.
        file: String,
    },
    /// The image's bytes are not those that the signed list promises.
    #[error("verifying {url}: its SHA-256 is {found}, not the signed {promised}; check base-image-source")]
    Digest {
        /// The image.
        url: String,
        /// What it has.
        found: String,
        /// What it should have.
        promised: String,
    },
    /// The build cloud has other bytes than were sent.
    #[error(
        "copying the base image: image {id} in the build project differs from what was uploaded; check its Glance"
    )]
    Changed {
        /// The copy.
        id: ImageId,
    },
    /// The build cloud did not take it.
    #[error("uploading the base image: {0}")]
    Cloud(#[from] OpenStackError),
    /// A host file could not be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The copy could not be noted in the journal, and was not begun.
    #[error("{0}; the base image is not uploaded, because it cannot be recorded")]
    Journal(#[from] RecordError),
    /// It could not be kept on this machine.
    #[error("storing {url} in {}: {source}{}", folder.display(), remedy(source))]
    Store {
        /// The image.
        url: String,
        /// Where it is kept.
        folder: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is no image that can be used.
    #[error("base image {url}: {source}")]
    Unusable {
        /// The image.
        url: String,
        /// Why not.
        source: Box<DiskError>,
    },
}

fn lacks(base: BaseImage, is_pinned: bool) -> String {
    if is_pinned {
        format!("Ubuntu keeps only its latest releases: pin {base} in base-image to another date, or to none")
    } else {
        format!("the base-image server has no {base}: check base-image and base-image-source")
    }
}

fn remedy(source: &io::Error) -> &'static str {
    if source.kind() == io::ErrorKind::StorageFull {
        "; free disk space, or give the unit a larger disk"
    } else {
        ""
    }
}

impl BaseImageError {
    /// The same as the end of several attempts.
    fn after(mut self, attempts: Attempts) -> Self {
        if let Self::Fetch { problem, .. } = &mut self {
            problem.push_str(&attempts.to_string());
        }
        self
    }

    /// Whether time alone will not mend it.
    pub fn operator_must_act(&self) -> bool {
        match self {
            Self::Signature { .. } | Self::NotListed { .. } | Self::NoRelease { .. } => true,
            Self::Cloud(error) => error.operator_must_act(),
            Self::Store { source, .. } => source.kind() == io::ErrorKind::StorageFull,
            // A mirror in the middle of its own update mends itself, and so does one of several that lags behind.
            Self::Fetch { .. }
            | Self::Older { .. }
            | Self::OfAnotherRelease { .. }
            | Self::Digest { .. }
            | Self::Changed { .. }
            | Self::File(_)
            | Self::Journal(_)
            | Self::Unusable { .. } => false,
        }
    }
}

impl Classified for BaseImageError {
    fn cause(&self) -> Cause {
        match self {
            Self::Cloud(error) => error.cause(),
            Self::File(_) | Self::Journal(_) | Self::Store { .. } => Cause::Unit,
            _ => Cause::BaseImage,
        }
    }

    fn summary(&self) -> String {
        match self {
            Self::Fetch { problem, .. } => format!("base image: {problem}; check base-image-source"),
            Self::NoRelease { problem, base, is_pinned, .. } => {
                format!("base image: {problem}; {}", lacks(*base, *is_pinned))
            }
            Self::OfAnotherRelease { signed, .. } => format!(
                "base image list is signed {signed}, before the pinned date; check base-image and base-image-source"
            ),
            Self::Signature { problem, .. } => format!(
                "base image list is not trusted: {problem}; check base-image-source and base-image-keyring"
            ),
            Self::Older { signed, newest, .. } => format!(
                "base image list of {signed} is older than the one of {newest} seen before; wait, or check base-image-source"
            ),
            Self::NotListed { file, .. } => {
                format!("the release has no image {file}; change architecture or base-image")
            }
            Self::Digest { url, .. } => format!("SHA-256 of the base image is not the signed one ({url})"),
            Self::Store { url, source, .. } => {
                format!("base image not stored: {source} ({url}){}", remedy(source))
            }
            Self::Unusable { url, source } => format!("base image unusable: {source} ({url})"),
            Self::Cloud(error) => error.summary(),
            Self::Changed { .. } | Self::File(_) | Self::Journal(_) => self.to_string(),
        }
    }
}

/// An image that the server offers now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamImage {
    /// Where its bytes are.
    url: String,
    /// Their SHA-256 by the signed list, in hexadecimal.
    pub sha256: String,
    /// When that list was signed.
    pub signed: Timestamp,
}

/// Asks the image server for the present image of `target`, or that of the release which its base is pinned to, and checks the
/// signature of its list of digests.
pub fn look_up(
    host: &Host,
    http: &HttpClient,
    source: &BaseImageSource,
    target: Target,
    deadline: Deadline,
) -> Result<UpstreamImage, BaseImageError> {
    let deadline = deadline.at_most(LIST_TIME);
    let pin = source.pins.get(&target.base);
    let (folder, list_url) = (folder(source, target.base), list_of(source, target.base));
    let list = fetch_small(http, &list_url, deadline).map_err(|error| match error.missing {
        true => error.for_want_of_release(&list_url, target.base, pin.is_some()),
        false => error.at(&list_url),
    })?;
    let signature_url = format!("{list_url}.gpg");
    let signed = fetch_small(http, &signature_url, deadline).map_err(|error| error.at(&signature_url))?;
    let keyring = signature::keyring(host, &source.keyring);
    let signed = signature::check(host, &list, &signed, &keyring, deadline).map_err(|problem| {
        BaseImageError::Signature { url: list_url.clone(), keyring: source.keyring.clone(), problem }
    })?;
    match pin {
        Some(date) => check_pin(&list_url, signed, target, date)?,
        None => check_age(host, source, &list_url, signed, target)?,
    }
    let file = format!("{}-server-cloudimg-{}.img", target.base, target.arch.ubuntu());
    let sha256 = listed_digest(&list, &file)
        .ok_or_else(|| BaseImageError::NotListed { url: list_url, file: file.clone() })?;
    Ok(UpstreamImage { url: format!("{folder}/{file}"), sha256, signed })
}

/// The folder of the present release, or of the one that the base is pinned to.
fn folder(source: &BaseImageSource, base: BaseImage) -> String {
    let release = source.pins.get(&base).map_or_else(|| "current".to_owned(), ToString::to_string);
    format!("{}/{base}/{release}", source.url)
}

/// What was newest once must not be followed by what is older.
fn check_age(
    host: &Host,
    source: &BaseImageSource,
    url: &str,
    signed: Timestamp,
    target: Target,
) -> Result<(), BaseImageError> {
    if let Some(newest) = signed_lists::newer_than(host, source, target.base, signed) {
        return Err(BaseImageError::Older { url: url.to_owned(), signed, newest });
    }
    if signed.is_past(LIST_AGE) {
        log::warn!("{url} was signed on {signed}: the image server may be outdated; check base-image-source");
    }
    Ok(())
}

/// A list does not say of which release it is, but none is signed before its release.
fn check_pin(url: &str, signed: Timestamp, target: Target, date: &ReleaseDate) -> Result<(), BaseImageError> {
    if signed < date.day() {
        return Err(BaseImageError::OfAnotherRelease { url: url.to_owned(), signed });
    }
    if date.day().is_past(PIN_AGE) {
        log::warn!(
            "{target}: base-image pins {} to {date}: newer releases have security updates",
            target.base
        );
    }
    Ok(())
}

/// The bytes of a file at an image server.
struct Opened {
    reader: Box<dyn Read + Send>,
    /// The place in the file of the first byte that comes.
    first: u64,
    /// How many bytes come, when that is known.
    size: Option<u64>,
}

/// Why a file cannot be read at an image server.
struct Unopened {
    problem: String,
    /// Whether the same may succeed later.
    passing: bool,
    /// Whether there is no such file.
    missing: bool,
}

impl Unopened {
    fn at(self, url: &str) -> BaseImageError {
        BaseImageError::Fetch { url: url.to_owned(), problem: self.problem }
    }

    fn for_want_of_release(self, url: &str, base: BaseImage, is_pinned: bool) -> BaseImageError {
        BaseImageError::NoRelease { url: url.to_owned(), problem: self.problem, base, is_pinned }
    }
}

impl From<io::Error> for Unopened {
    fn from(error: io::Error) -> Self {
        Self { problem: error.to_string(), passing: false, missing: error.kind() == io::ErrorKind::NotFound }
    }
}

impl From<HttpError> for Unopened {
    fn from(error: HttpError) -> Self {
        let missing = matches!(error, HttpError::Status { status: 404 | 410, .. });
        Self { problem: error.summary(), passing: error.is_transient(), missing }
    }
}

/// Opens the file at `url`, from byte `first` on where the server gives parts.
fn open(http: &HttpClient, url: &str, first: u64, deadline: Deadline) -> Result<Opened, Unopened> {
    if let Some(path) = url.strip_prefix("file://") {
        let mut file = File::open(path)?;
        let size = file.metadata()?.len();
        file.seek(SeekFrom::Start(first))?;
        return Ok(Opened { reader: Box::new(file), first, size: size.checked_sub(first) });
    }
    let incoming = http.download_from(&url.parse::<Url>()?, first, deadline)?;
    Ok(Opened { first: incoming.first(), size: incoming.size(), reader: Box::new(incoming) })
}

fn fetch_small(http: &HttpClient, url: &str, deadline: Deadline) -> Result<Vec<u8>, Unopened> {
    let mut bytes = Vec::new();
    open(http, url, 0, deadline)?.reader.take(LIST_LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LIST_LIMIT {
        return Err(io::Error::other("larger than 4 MiB").into());
    }
    Ok(bytes)
}
