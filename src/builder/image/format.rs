//! The format in which images are uploaded, and base images of another format on their way to it.

use std::path::{Path, PathBuf};

use super::base_image::{BaseImageCache, BaseImageError, UpstreamImage};
use crate::host::{Exclusive, FileError, Host, Program};
use crate::http::HttpClient;
use crate::model::{Cause, Classified, Deadline, DiskFormat};
use crate::record::{ImageFormat, Revision};

/// The format that is wanted of what is uploaded. `None` leaves what is there as it is; what is new is qcow2.
pub fn wanted_format(format: ImageFormat, builds: &[Revision]) -> Option<DiskFormat> {
    let newest = || {
        let formats = builds.iter().filter_map(|build| {
            build.contents.as_ref()?.snapshot_format.as_deref().map(|format| (build.built, format))
        });
        formats.max_by_key(|(built, _)| *built).map(|(_, format)| format)
    };
    match format {
        ImageFormat::Qcow2 => Some(DiskFormat::Qcow2),
        ImageFormat::Raw => Some(DiskFormat::Raw),
        // Nova snapshots a disk in the format that it has, which is raw where the hosts' disks are in Ceph.
        ImageFormat::Auto => (newest() == Some(DiskFormat::Raw.as_str())).then_some(DiskFormat::Raw),
    }
}

/// Base images cannot be converted to raw.
#[derive(Debug, thiserror::Error)]
pub enum ConverterError {
    /// Another process uses the folder.
    #[error("converting base images: {} is in use by another process", folder.display())]
    Busy {
        /// The folder.
        folder: PathBuf,
    },
    /// A file operation failed.
    #[error("converting base images: {0}")]
    File(#[from] FileError),
}

impl Classified for ConverterError {
    fn cause(&self) -> Cause {
        Cause::Unit
    }
}

/// Makes raw images of base images. Dropped, it gives its disk space back.
#[derive(Debug)]
pub struct Converter {
    host: Host,
    folder: PathBuf,
    cache: BaseImageCache,
    _lock: Exclusive,
}

impl Converter {
    /// Opens its folder. What a process that was killed has left there is used again.
    pub fn open(host: &Host) -> Result<Self, ConverterError> {
        let folder = folder(host);
        host.private_dir(&folder)?;
        let lock = Exclusive::try_acquire(&folder.join("lock"))?;
        let lock = lock.ok_or_else(|| ConverterError::Busy { folder: folder.clone() })?;
        let cache = BaseImageCache::open(host, folder.join("base-images"))?;
        Ok(Self { host: host.clone(), folder, cache, _lock: lock })
    }

    /// Gives the disk space back that one has left which was killed, where nothing is to be converted any more.
    pub fn close(host: &Host) {
        if let Err(error) = host.remove_unlocked_dir(&folder(host)) {
            log::warn!("converted base images could not be removed: {error}");
        }
    }

    /// Removes a raw file that is in the cloud.
    pub fn is_done_with(&self, raw: &Path) {
        if let Err(error) = self.host.remove_file(raw) {
            log::warn!("{error}; it goes at the end of the job");
        }
    }

    /// The offered image as a raw file, fetched and checked.
    pub fn raw(
        &self,
        http: &HttpClient,
        offer: &UpstreamImage,
        deadline: Deadline,
    ) -> Result<PathBuf, BaseImageError> {
        self.cache.raw(&self.host, Program::new("qemu-img"), http, offer, deadline)
    }
}

impl Drop for Converter {
    fn drop(&mut self) {
        if let Err(error) = self.host.remove_dir(&self.folder) {
            log::warn!("{error}; the next job that converts a base image retries");
        }
    }
}

fn folder(host: &Host) -> PathBuf {
    host.state_dir().join("conversion")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Arch, BaseImage, Target, Timestamp};
    use crate::record::{Contents, JobId};

    fn build(built: u64, snapshot_format: Option<&str>) -> Revision {
        Revision {
            target: Target { base: BaseImage::Noble, arch: Arch::X64 },
            id: format!("build-{built}").parse().unwrap(),
            job: JobId::random(),
            fingerprint: "f".into(),
            built: Timestamp(built),
            proof: None,
            failed_reads: 0,
            contents: Some(Contents {
                runner: "1".into(),
                base_image: Timestamp(1),
                base_serial: None,
                manifest: None,
                boot: None,
                snapshot_format: snapshot_format.map(str::to_owned),
                begun: None,
            }),
            copies: Vec::new(),
        }
    }

    #[test]
    fn what_a_converter_that_was_killed_has_left_goes_when_none_is_wanted() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path());
        Converter::close(&host);
        assert!(!folder(&host).exists());
        let converter = Converter::open(&host).unwrap();
        let raw = folder(&host).join("base-images/a.raw");
        std::fs::write(&raw, "disk").unwrap();
        Converter::close(&host);
        assert!(raw.exists(), "it is in use");
        converter.is_done_with(&raw);
        assert!(!raw.exists());
        drop(converter);
        host.private_dir(&folder(&host).join("base-images")).unwrap();
        std::fs::write(&raw, "disk").unwrap();
        Converter::close(&host);
        assert!(!folder(&host).exists());
    }

    #[test]
    fn auto_follows_the_newest_snapshot_and_knows_nothing_of_uploads() {
        let (qcow2, raw, uploaded) = (Some("qcow2"), Some("raw"), None);
        for (builds, wanted) in [
            (vec![], None),
            (vec![build(1, uploaded)], None),
            (vec![build(1, qcow2)], None),
            (vec![build(2, raw), build(1, qcow2), build(3, uploaded)], Some(DiskFormat::Raw)),
            (vec![build(1, raw), build(2, qcow2)], None),
        ] {
            assert_eq!(wanted_format(ImageFormat::Auto, &builds), wanted, "{builds:?}");
        }
        let builds = [build(1, raw)];
        assert_eq!(wanted_format(ImageFormat::Qcow2, &builds), Some(DiskFormat::Qcow2));
        assert_eq!(wanted_format(ImageFormat::Raw, &[]), Some(DiskFormat::Raw));
    }
}
