//! The log of a process beside the hooks: a file of ours, followed through no link, and bounded also between two runs of
//! logrotate.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::own::open_unlinked;
use super::{FileError, Host};

/// A file that has grown to this size makes room for a new one.
const LIMIT: u64 = 32 << 20;

/// What the name of the one before ends in; logrotate, which looks for `.log`, leaves it alone.
const BEFORE: &str = "log.before";

/// A log that is appended to. One that grows too large is kept as the one before, whose own predecessor goes.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: File,
    size: u64,
    limit: u64,
}

impl LogFile {
    /// Opens the log at `path`, below the log folder, which must be ours.
    pub fn open(host: &Host, path: &Path) -> Result<Self, FileError> {
        host.private_dir(&host.log_dir())?;
        Self::limited(path, LIMIT).map_err(FileError::at("opening", path))
    }

    fn limited(path: &Path, limit: u64) -> io::Result<Self> {
        let file = append(path)?;
        Ok(Self { path: path.to_owned(), size: file.metadata()?.len(), file, limit })
    }

    fn make_room(&mut self) -> io::Result<()> {
        // logrotate may have emptied it meanwhile.
        self.size = self.file.metadata()?.len();
        if self.size >= self.limit {
            fs::rename(&self.path, self.path.with_extension(BEFORE))?;
            self.file = append(&self.path)?;
            self.size = 0;
        }
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    open_unlinked(OpenOptions::new().create(true).append(true).mode(0o600), path)
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.size >= self.limit {
            self.make_room()?;
        }
        let written = self.file.write(bytes)?;
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_much_is_logged_two_files_are_kept_and_the_newest_lines_are_in_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("worker.log");
        let mut log = LogFile::limited(&path, 1000).unwrap();
        (0..500).for_each(|number| writeln!(log, "line {number}").unwrap());
        let mut files: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert_eq!(files, [path.clone(), dir.path().join("worker.log.before")]);
        let text: Vec<String> = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
        assert!(text.iter().all(|text| text.len() < 1100));
        assert!(text[0].ends_with("line 499\n") || text[1].ends_with("line 499\n"));
        // What is there counts, and a file that logrotate has emptied has room again.
        let mut log = LogFile::limited(&path, 1000).unwrap();
        (0..80).for_each(|_| writeln!(log, "more of it").unwrap());
        File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
        writeln!(log, "after logrotate").unwrap();
        assert!(fs::read_to_string(&path).unwrap().contains("after logrotate"));
    }

    #[test]
    fn a_link_in_the_place_of_the_log_or_its_folder_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path().join("root"));
        let elsewhere = dir.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        fs::set_permissions(&elsewhere, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        fs::create_dir_all(host.log_dir().parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(&elsewhere, host.log_dir()).unwrap();
        let path = host.log_dir().join("worker.log");
        assert!(LogFile::open(&host, &path).unwrap_err().to_string().contains("symbolic link"));
        let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(&elsewhere).unwrap());
        assert_eq!((mode & 0o777, fs::read_dir(&elsewhere).unwrap().count()), (0o755, 0), "untouched");
        fs::remove_file(host.log_dir()).unwrap();
        host.private_dir(&host.log_dir()).unwrap();
        std::os::unix::fs::symlink(elsewhere.join("file"), &path).unwrap();
        assert!(LogFile::open(&host, &path).unwrap_err().to_string().contains("symbolic link"));
        assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
    }
}
