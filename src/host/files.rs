//! Files that are whole or absent: written beside their place with their final mode from the first byte,
//! flushed, renamed. And an exclusive lock on a file.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Host;
use super::own::{open_folder, open_unlinked, refuse_link};
use crate::model::{Backoff, Cause, Classified, Deadline, poll};

/// A host file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {}: {source}", path.display())]
pub struct FileError {
    operation: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl Classified for FileError {
    fn cause(&self) -> Cause {
        Cause::Unit
    }
}

impl FileError {
    pub(crate) fn at<'a>(operation: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self { operation, path: path.to_path_buf(), source }
    }

    /// Whether the path is simply not there.
    pub fn is_absent(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }

    /// Whether the system does not let us.
    pub fn is_forbidden(&self) -> bool {
        self.source.kind() == io::ErrorKind::PermissionDenied
    }
}

/// Whether a write changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// The file now has other content or another mode.
    Changed,
    /// It was so already and was not touched.
    Unchanged,
}

/// The largest file of ours that is read into memory; all of them are far smaller.
const READ_LIMIT: u64 = 16 << 20;

impl Host {
    /// Makes a folder (and its parents) that only we may enter, and takes others' rights from one that exists. Refuses a
    /// symbolic link and another user's folder.
    pub fn private_dir(&self, path: &Path) -> Result<(), FileError> {
        refuse_link(path).map_err(FileError::at("using", path))?;
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(FileError::at("making", path))?;
        let folder = open_folder(path).map_err(FileError::at("using", path))?;
        let mode = folder.metadata().map_err(FileError::at("reading the mode of", path))?.mode();
        if mode & 0o077 != 0 {
            folder
                .set_permissions(Permissions::from_mode(0o700))
                .map_err(FileError::at("restricting access to", path))?;
        }
        Ok(())
    }

    /// Opens a file to read it; in our own folders a link is not followed.
    fn open(&self, path: &Path) -> io::Result<File> {
        let ours = [self.state_dir(), self.run_dir(), self.log_dir()];
        match ours.iter().any(|folder| path.starts_with(folder)) {
            true => open_unlinked(OpenOptions::new().read(true), path),
            false => File::open(path),
        }
    }

    /// Brings the file at `path` to `contents` and `mode`, and touches nothing when it is so already.
    /// Parents are made. The old file stays whole until the new one takes its place.
    pub fn write(&self, path: &Path, contents: &[u8], mode: u32) -> Result<Written, FileError> {
        if self.is_already(path, contents, mode) {
            return Ok(Written::Unchanged);
        }
        let folder = path.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder).map_err(FileError::at("making", folder))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // A dot file, so that cron.d and logrotate.d skip it should we die before the rename.
        let beside = folder.join(format!(".{name}.new"));
        let _ = fs::remove_file(&beside);
        self.write_new(&beside, contents, mode)
            .and_then(|()| fs::rename(&beside, path).map_err(FileError::at("putting into place", path)))
            .inspect_err(|_| drop(fs::remove_file(&beside)))?;
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(FileError::at("flushing", folder))?;
        Ok(Written::Changed)
    }

    fn is_already(&self, path: &Path, contents: &[u8], mode: u32) -> bool {
        let Ok(metadata) = fs::symlink_metadata(path) else { return false };
        metadata.is_file()
            && metadata.mode() & 0o7777 == mode
            && metadata.len() == contents.len() as u64
            && fs::read(path).is_ok_and(|present| present == contents)
    }

    fn write_new(&self, path: &Path, contents: &[u8], mode: u32) -> Result<(), FileError> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(path)
            .map_err(FileError::at("creating", path))?;
        // The umask may have taken bits that the mode wants; it never adds any.
        file.set_permissions(Permissions::from_mode(mode))
            .map_err(FileError::at("setting the mode of", path))?;
        file.write_all(contents).map_err(FileError::at("writing", path))?;
        file.sync_all().map_err(FileError::at("flushing", path))
    }

    /// The file's bytes, `None` when there is no such file. Refuses files of more than 16 MiB.
    pub fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, FileError> {
        let file = match self.open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(FileError::at("opening", path)(error)),
        };
        let mut bytes = Vec::new();
        file.take(READ_LIMIT + 1).read_to_end(&mut bytes).map_err(FileError::at("reading", path))?;
        if bytes.len() as u64 > READ_LIMIT {
            return Err(FileError::at("reading", path)(io::Error::other("larger than 16 MiB")));
        }
        Ok(Some(bytes))
    }

    /// The files in a folder, none when there is no such folder.
    pub fn files_in(&self, folder: &Path) -> Result<Vec<PathBuf>, FileError> {
        match fs::read_dir(folder) {
            Ok(entries) => {
                Ok(entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(FileError::at("listing", folder)(error)),
        }
    }

    /// Removes the file; one that is not there is as good as removed.
    pub fn remove_file(&self, path: &Path) -> Result<(), FileError> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(FileError::at("removing", path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Gives the file another name; one that is not there needs none.
    pub fn rename(&self, path: &Path, to: &Path) -> Result<(), FileError> {
        match fs::rename(path, to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(FileError::at("renaming", path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Removes all in `folder` whose name begins with one of `prefixes`.
    pub fn remove_beginning(&self, folder: &Path, prefixes: &[&str]) -> Result<(), FileError> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(FileError::at("listing", folder)(error)),
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if prefixes.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
                let path = entry.path();
                if path.is_dir() { self.remove_dir(&path)? } else { self.remove_file(&path)? }
            }
        }
        Ok(())
    }

    /// Removes the folder with all in it; one that is not there is as good as removed.
    pub fn remove_dir(&self, path: &Path) -> Result<(), FileError> {
        match fs_extra::dir::remove(path) {
            Ok(()) => Ok(()),
            Err(_) if !path.exists() => Ok(()),
            Err(error) => Err(FileError::at("removing", path)(io::Error::other(error))),
        }
    }

    /// Removes a directory that whoever uses it locks by its file `lock`, unless somebody does.
    pub fn remove_unlocked_dir(&self, path: &Path) -> Result<(), FileError> {
        if !path.exists() {
            return Ok(());
        }
        match Exclusive::try_acquire(&path.join("lock"))? {
            Some(_lock) => self.remove_dir(path),
            None => Ok(()),
        }
    }

    /// Copies the executable `from` to `to`, whole or not at all, owner-only.
    pub fn install_executable(&self, from: &Path, to: &Path) -> Result<(), FileError> {
        let folder = to.parent().unwrap_or(&self.root);
        self.private_dir(folder)?;
        let beside = to.with_extension("new");
        self.remove_file(&beside)?;
        let mut source = File::open(from).map_err(FileError::at("reading", from))?;
        let mut copy = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o700)
            .open(&beside)
            .map_err(FileError::at("creating", &beside))?;
        io::copy(&mut source, &mut copy).map_err(FileError::at("copying to", &beside))?;
        copy.sync_all().map_err(FileError::at("flushing", &beside))?;
        fs::rename(&beside, to).map_err(FileError::at("putting into place", to))
    }
}

/// Longer than anybody takes to see whether a lock is taken.
const INSTANT: Duration = Duration::from_secs(1);

/// An advisory lock on a file, held until dropped or until the process ends, however it ends.
#[derive(Debug)]
pub struct Exclusive(File);

impl Exclusive {
    /// Takes the lock at once, or `None` when another process has it.
    pub fn try_acquire(path: &Path) -> Result<Option<Self>, FileError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = open_unlinked(&mut options, path).map_err(FileError::at("opening the lock", path))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(FileError::at("locking", path)(error)),
        }
    }

    /// Whether another process holds the lock.
    pub fn is_held(path: &Path) -> Result<bool, FileError> {
        Ok(Self::try_acquire(path)?.is_none())
    }

    /// The same for who means to keep it: somebody who only looks whether it is taken has it for an instant.
    pub fn acquire(path: &Path) -> Result<Option<Self>, FileError> {
        Self::acquire_within(path, Deadline::after(INSTANT))
    }

    fn acquire_within(path: &Path, deadline: Deadline) -> Result<Option<Self>, FileError> {
        poll(Backoff::steady(INSTANT / 20), deadline, || Self::try_acquire(path))
    }

    /// Notes `text` in the lock's file, for whoever finds it taken.
    pub fn note(&mut self, text: &str) -> io::Result<()> {
        self.0.set_len(0)?;
        self.0.write_all(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn a_file_is_not_touched_when_nothing_changed() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path());
        let path = host.path("/etc/a/file");
        assert_eq!(host.write(&path, b"one", 0o600).unwrap(), Written::Changed);
        let inode = fs::metadata(&path).unwrap().ino();
        assert_eq!(host.write(&path, b"one", 0o600).unwrap(), Written::Unchanged);
        assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
        assert_eq!(mode(&path), 0o600);
    }

    #[test]
    fn tampering_with_content_or_mode_is_repaired() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path());
        let path = host.path("/clouds.yaml");
        host.write(&path, b"secret", 0o600).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert_eq!(host.write(&path, b"secret", 0o600).unwrap(), Written::Changed);
        assert_eq!(mode(&path), 0o600);
        fs::write(&path, b"other!").unwrap();
        assert_eq!(host.write(&path, b"secret", 0o600).unwrap(), Written::Changed);
        assert_eq!(fs::read(&path).unwrap(), b"secret");
    }

    #[test]
    fn a_link_planted_in_the_place_of_a_file_is_replaced_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path());
        let elsewhere = dir.path().join("elsewhere");
        fs::write(&elsewhere, b"untouched").unwrap();
        let path = host.path("/clouds.yaml");
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        host.write(&path, b"secret", 0o600).unwrap();
        assert_eq!(fs::read(&elsewhere).unwrap(), b"untouched");
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
    }

    #[test]
    fn a_lock_has_one_holder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = Exclusive::try_acquire(&path).unwrap();
        assert!(held.is_some());
        assert!(Exclusive::try_acquire(&path).unwrap().is_none());
        drop(held);
        // A process that another test starts just now has all of our files until it is another program.
        assert!(Exclusive::acquire(&path).unwrap().is_some());
    }

    #[test]
    fn who_means_to_keep_a_lock_gets_it_while_another_only_looks() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let looking = Exclusive::try_acquire(&path).unwrap();
        std::thread::scope(|scope| {
            let keeper =
                scope.spawn(|| Exclusive::acquire_within(&path, Deadline::after(INSTANT * 120)).unwrap());
            std::thread::sleep(INSTANT / 20);
            drop(looking);
            let kept = keeper.join().unwrap();
            assert!(kept.is_some());
            // Nobody waits for it longer than anybody looks.
            assert!(Exclusive::acquire(&path).unwrap().is_none(), "it is kept");
        });
    }

    #[test]
    fn only_what_begins_as_said_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path());
        for path in ["ssh-1/socket", "key-2", "secrets-3"] {
            host.write(&dir.path().join(path), b"x", 0o600).unwrap();
        }
        host.remove_beginning(dir.path(), &["ssh-", "key-"]).unwrap();
        let left: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["secrets-3"]);
        host.remove_beginning(&dir.path().join("absent"), &["x"]).unwrap();
    }

    #[test]
    fn a_private_folder_is_closed_to_others_again() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path());
        let path = host.state_dir();
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        host.private_dir(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
    }
}
