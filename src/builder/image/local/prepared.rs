//! Prepared disks on this machine: disks of base images that have a recipe's packages already, for local builds whose packages
//! are the same. One of each target; nothing is lost with it but time.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::host::{FileError, Host};
use crate::model::Target;

/// A disk that is complete.
const WHOLE: &str = "raw";

/// A prepared disk that is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Preparation<'a> {
    /// What it must have been made of, as a digest.
    pub key: &'a str,
    /// How old it may be.
    pub age: Duration,
}

/// The prepared disks of one folder. Whoever uses it must be the only one.
#[derive(Debug)]
pub struct PreparedDisks {
    folder: PathBuf,
}

impl PreparedDisks {
    /// Those in `folder`, which is made.
    pub fn open(host: &Host, folder: PathBuf) -> Result<Self, FileError> {
        host.private_dir(&folder)?;
        Ok(Self { folder })
    }

    /// The disk that a build of `target` may begin on. Those that none will begin on any more go.
    pub fn find(&self, host: &Host, target: Target, wanted: Preparation<'_>) -> Option<PathBuf> {
        self.remove_those(host, |disk| !is_young(disk, wanted.age));
        Some(self.path(target, wanted.key)).filter(|disk| disk.is_file())
    }

    /// Keeps `disk`, a complete one of the same file system, in the place of those of `target` before.
    pub fn keep(
        &self,
        host: &Host,
        disk: &Path,
        target: Target,
        wanted: Preparation<'_>,
    ) -> std::io::Result<()> {
        let path = self.path(target, wanted.key);
        // What has a name is whole, also after a loss of power.
        File::open(disk)?.sync_all()?;
        fs::rename(disk, &path)?;
        let of_target = format!("{target}-");
        self.remove_those(host, |other| other != path && is_named(other, &of_target));
        Ok(())
    }

    /// Removes one that is of no use.
    pub fn remove(&self, host: &Host, disk: &Path) {
        self.remove_those(host, |other| other == disk);
    }

    /// Removes those of `target`, for whatever it was made of.
    pub fn remove_of(&self, host: &Host, target: Target) {
        let of_target = format!("{target}-");
        self.remove_those(host, |disk| is_named(disk, &of_target));
    }

    /// Removes all, where none is wanted.
    pub fn clear(&self, host: &Host) {
        self.remove_those(host, |_| true);
    }

    fn path(&self, target: Target, key: &str) -> PathBuf {
        self.folder.join(format!("{target}-{key}.{WHOLE}"))
    }

    fn remove_those(&self, host: &Host, goes: impl Fn(&Path) -> bool) {
        let removed = host.files_in(&self.folder).and_then(|disks| {
            disks.iter().filter(|disk| goes(disk)).try_for_each(|disk| host.remove_file(disk))
        });
        if let Err(error) = removed {
            log::warn!("a prepared disk stays: {error}");
        }
    }
}

/// Whether it was made so long ago at most. One from the future was made by a clock that was wrong.
fn is_young(disk: &Path, age: Duration) -> bool {
    let made = fs::metadata(disk).and_then(|disk| disk.modified()).ok();
    made.and_then(|made| made.elapsed().ok()).is_some_and(|elapsed| elapsed <= age)
}

fn is_named(disk: &Path, beginning: &str) -> bool {
    disk.file_name().is_some_and(|name| name.to_string_lossy().starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::model::{Arch, BaseImage};

    const NOBLE: Target = Target { base: BaseImage::Noble, arch: Arch::X64 };
    const JAMMY: Target = Target { base: BaseImage::Jammy, arch: Arch::X64 };
    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn there_is_one_young_disk_of_each_target() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path());
        let disks = PreparedDisks::open(&host, dir.path().join("prepared")).unwrap();
        let of = |key| Preparation { key, age: HOUR };
        let keep = |target, key| {
            let made = dir.path().join("made");
            fs::write(&made, key).unwrap();
            disks.keep(&host, &made, target, of(key)).unwrap();
        };
        let found = |target, key| disks.find(&host, target, of(key)).map(|disk| fs::read(disk).unwrap());
        keep(NOBLE, "a");
        keep(JAMMY, "a");
        keep(NOBLE, "b");
        assert_eq!((found(NOBLE, "a"), found(NOBLE, "b")), (None, Some(b"b".to_vec())));
        assert!(found(JAMMY, "a").is_some() && found(JAMMY, "b").is_none());

        let disk = disks.find(&host, JAMMY, of("a")).unwrap();
        for made in [SystemTime::now() - 2 * HOUR, SystemTime::now() + 2 * HOUR] {
            keep(JAMMY, "a");
            File::options().write(true).open(&disk).unwrap().set_modified(made).unwrap();
            assert!(found(JAMMY, "a").is_none() && !disk.exists(), "it takes no room");
        }
        keep(JAMMY, "a");
        disks.remove_of(&host, JAMMY);
        assert!(found(JAMMY, "a").is_none() && found(NOBLE, "b").is_some(), "one may be to blame");
        disks.clear(&host);
        assert!(found(NOBLE, "b").is_none());
    }
}
