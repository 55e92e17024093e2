//! Base images on this machine, for local builds and for conversion: fetched once, checked, kept unpacked under their digest.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use super::{BaseImageError, UpstreamImage, open};
use crate::disk_image::DiskImage;
use crate::host::{FileError, Host, Program, open_unlinked};
use crate::http::HttpClient;
use crate::model::{Backoff, Deadline, Metered, RetryPolicy, Verdict, hex, retry};

/// How many images are kept, and how many that are not complete.
const KEPT: usize = 4;

/// How often a broken transfer is taken up again.
const POLICY: RetryPolicy = RetryPolicy {
    attempts: 5,
    backoff: Backoff::growing(Duration::from_secs(4), 2.0, Duration::from_secs(32)).jittered(),
};

/// An image that is complete, checked and unpacked.
const WHOLE: &str = "raw";
/// A transfer that may be taken up again.
const PART: &str = "part";

/// The images of one folder. Whoever uses it must be the only one.
#[derive(Debug)]
pub struct BaseImageCache {
    folder: PathBuf,
}

impl BaseImageCache {
    /// The cache in `folder`, which is made. What a crash has left half unpacked goes.
    pub fn open(host: &Host, folder: PathBuf) -> Result<Self, FileError> {
        host.private_dir(&folder)?;
        for file in host.files_in(&folder)? {
            if ![WHOLE, PART].iter().any(|kind| file.extension().is_some_and(|found| found == *kind)) {
                host.remove_file(&file)?;
            }
        }
        Ok(Self { folder })
    }

    /// The offered image as a raw disk image. One that is not here is fetched, checked and unpacked by `qemu_img`; the
    /// oldest of those that are too many goes.
    pub fn raw(
        &self,
        host: &Host,
        qemu_img: Program,
        http: &HttpClient,
        offer: &UpstreamImage,
        deadline: Deadline,
    ) -> Result<PathBuf, BaseImageError> {
        let raw = self.folder.join(format!("{}.{WHOLE}", offer.sha256));
        if raw.exists() {
            self.used(&raw, offer)?;
            return Ok(raw);
        }
        let part = self.folder.join(format!("{}.{PART}", offer.sha256));
        self.fetch(http, offer, &part, deadline)?;
        let unpacked = raw.with_extension("new");
        let unusable = |error| BaseImageError::Unusable { url: offer.url.clone(), source: Box::new(error) };
        DiskImage::unpack(qemu_img, &part, &unpacked, deadline).map_err(unusable)?;
        let placed = File::open(&unpacked).and_then(|file| file.sync_all());
        placed.and_then(|()| fs::rename(&unpacked, &raw)).map_err(|error| self.store(offer, error))?;
        host.remove_file(&part)?;
        self.used(&raw, offer)?;
        for kind in [WHOLE, PART] {
            self.prune(host, kind)?;
        }
        Ok(raw)
    }

    /// Brings the offered image to `part`, whole and checked, going on where an earlier attempt has ended.
    fn fetch(
        &self,
        http: &HttpClient,
        offer: &UpstreamImage,
        part: &Path,
        deadline: Deadline,
    ) -> Result<(), BaseImageError> {
        let again = |error| match error {
            Trouble::Broken(error) => Verdict::Retry(error, None),
            Trouble::Wrong(error) | Trouble::Refused(error) | Trouble::Final(error) => Verdict::Fail(error),
        };
        let fetched = retry(POLICY, deadline, || {
            self.go_on(http, offer, part, deadline).map_or_else(again, Verdict::Done)
        });
        fetched.map_err(|gave_up| gave_up.error.after(gave_up.attempts))
    }

    /// One attempt. What is of no use is removed; where the server does not go on, it is asked from the beginning.
    fn go_on(
        &self,
        http: &HttpClient,
        offer: &UpstreamImage,
        part: &Path,
        deadline: Deadline,
    ) -> Result<(), Trouble> {
        let remove = || fs::remove_file(part).map_err(|error| Trouble::Final(self.store(offer, error)));
        let attempt = || {
            let (present, mut file) = self.present(offer, part).map_err(Trouble::Final)?;
            let had = present.length;
            Ok((had, self.fetch_rest(http, offer, &mut file, present, deadline)))
        };
        let (had, mut result) = attempt()?;
        if had > 0 && matches!(result, Err(Trouble::Refused(_))) {
            log::info!("{}: the server does not resume the download; starting again", offer.url);
            remove()?;
            result = attempt()?.1;
        }
        if matches!(result, Err(Trouble::Wrong(_))) {
            remove()?;
        }
        result
    }

    /// What an earlier attempt has brought.
    fn present(&self, offer: &UpstreamImage, part: &Path) -> Result<(Present, File), BaseImageError> {
        let read = || {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false).mode(0o600);
            let mut file = open_unlinked(&mut options, part)?;
            let mut present = Present { length: 0, digest: Sha256::new() };
            present.take(&mut file, &mut io::sink())?;
            Ok((present, file))
        };
        read().map_err(|error| self.store(offer, error))
    }

    fn fetch_rest(
        &self,
        http: &HttpClient,
        offer: &UpstreamImage,
        file: &mut File,
        mut present: Present,
        deadline: Deadline,
    ) -> Result<(), Trouble> {
        if present.found() == offer.sha256 {
            return Ok(());
        }
        let opened = open(http, &offer.url, present.length, deadline);
        let opened = opened.map_err(|error| match error.passing {
            true => Trouble::Final(error.at(&offer.url)),
            false => Trouble::Refused(error.at(&offer.url)),
        })?;
        let fetch_error = |problem: String| BaseImageError::Fetch { url: offer.url.clone(), problem };
        if opened.first == 0 {
            present = Present { length: 0, digest: Sha256::new() };
            let emptied = file.set_len(0).and_then(|()| io::Seek::rewind(file));
            emptied.map_err(|error| Trouble::Final(self.store(offer, error)))?;
        } else if opened.first != present.length {
            return Err(Trouble::Refused(fetch_error(
                "the server sent a different part of the file than requested".into(),
            )));
        }
        log::info!("downloading {} from byte {}", offer.url, present.length);
        let mut reader = Metered::new(opened.reader, "fetching the base image", opened.size);
        let taken = present.take(&mut reader, file);
        taken.map_err(|error| match error {
            Transfer::Read(error) => Trouble::Broken(fetch_error(error.to_string())),
            Transfer::Write(error) => Trouble::Final(self.store(offer, error)),
        })?;
        file.sync_all().map_err(|error| Trouble::Final(self.store(offer, error)))?;
        let found = present.found();
        if found == offer.sha256 {
            return Ok(());
        }
        let (url, promised) = (offer.url.clone(), offer.sha256.clone());
        Err(Trouble::Wrong(BaseImageError::Digest { url, found, promised }))
    }

    /// Notes that the image is in use: the others are older now.
    fn used(&self, raw: &Path, offer: &UpstreamImage) -> Result<(), BaseImageError> {
        let noted =
            File::options().write(true).open(raw).and_then(|file| file.set_modified(SystemTime::now()));
        noted.map_err(|error| self.store(offer, error))
    }

    fn prune(&self, host: &Host, kind: &str) -> Result<(), FileError> {
        let mut files = host.files_in(&self.folder)?;
        files.retain(|file| file.extension().is_some_and(|found| found == kind));
        files.sort_by_key(|file| fs::metadata(file).and_then(|metadata| metadata.modified()).ok());
        let surplus = files.len().saturating_sub(KEPT);
        files[..surplus].iter().try_for_each(|file| host.remove_file(file))
    }

    fn store(&self, offer: &UpstreamImage, source: io::Error) -> BaseImageError {
        BaseImageError::Store { url: offer.url.clone(), folder: self.folder.clone(), source }
    }
}

/// Why an attempt has ended, and with it what comes next.
enum Trouble {
    /// The connection broke: what came is good, the rest is asked for again.
    Broken(BaseImageError),
    /// The server does not give the file, or not this part of it.
    Refused(BaseImageError),
    /// All came, and it is not what the list promises.
    Wrong(BaseImageError),
    /// Neither another part nor another attempt would help now.
    Final(BaseImageError),
}

/// Which side of a copy has failed.
enum Transfer {
    Read(io::Error),
    Write(io::Error),
}

impl From<Transfer> for io::Error {
    fn from(transfer: Transfer) -> Self {
        match transfer {
            Transfer::Read(error) | Transfer::Write(error) => error,
        }
    }
}

/// The beginning of a file, as far as it is here.
struct Present {
    length: u64,
    digest: Sha256,
}

impl Present {
    /// Adds all that `from` gives, and hands it on to `to`.
    fn take(&mut self, from: &mut impl Read, to: &mut impl Write) -> Result<(), Transfer> {
        let mut buffer = vec![0; 256 << 10];
        loop {
            let read = match from.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Transfer::Read(error)),
            };
            to.write_all(&buffer[..read]).map_err(Transfer::Write)?;
            self.digest.update(&buffer[..read]);
            self.length += read as u64;
        }
    }

    fn found(&self) -> String {
        hex(&self.digest.clone().finalize())
    }
}
