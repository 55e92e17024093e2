//! A unit's disk that can be full or read-only: a tmpfs, in a mount namespace of our own. In a process namespace of our
//! own, too: whatever a sweep has started ends with it, also when somebody interrupts it. All that it writes is in memory,
//! and goes with the namespace.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rehearsal::fixture::copy_folder;

/// Says that this process has namespaces of its own.
const UNSHARED: &str = "FAULTS_ARE_PRIVATE";

/// Where everything is written: a name as short as /tmp, since ssh wants sockets below it, whose paths are limited.
const SCRATCH: &str = "/mnt";

/// Starts this program again in namespaces of its own. Needs root; returns what is wrong.
pub fn unshare() -> Option<String> {
    if std::env::var_os(UNSHARED).is_some() {
        run("mount", &["-t", "tmpfs", "-o", "mode=1777", "sweep"], Some(Path::new(SCRATCH)));
        return None;
    }
    let own = std::env::current_exe().ok()?;
    let mut again = Command::new("unshare");
    again.args([
        "--mount",
        "--propagation",
        "private",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "--",
    ]);
    // The first process of the namespace has to bury those whose parents have gone: a shell does.
    again.args(["bash", "-c", "\"$@\"; exit $?", "bash"]).arg(own).args(std::env::args_os().skip(1));
    Some(format!("unshare: {}", again.env(UNSHARED, "1").env("TMPDIR", SCRATCH).exec()))
}

/// A folder on a disk of its own, until it is dropped.
pub struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// Moves `folder` onto a small disk.
    pub fn below(folder: &Path) -> Self {
        let aside = folder.with_extension("aside");
        fs::rename(folder, &aside).unwrap();
        fs::create_dir(folder).unwrap();
        run("mount", &["-t", "tmpfs", "-o", "size=64m,mode=0700", "unit"], Some(folder));
        copy_folder(&aside, folder).unwrap();
        fs::remove_dir_all(&aside).unwrap();
        Self { folder: folder.to_owned() }
    }

    /// Leaves no room for another byte.
    pub fn fill(&self) {
        let filler = fs::File::create(self.filler()).unwrap();
        let mut filler = std::io::BufWriter::with_capacity(4096, filler);
        drop(std::io::copy(&mut std::io::repeat(b'x'), &mut filler));
    }

    /// Refuses to be written to.
    pub fn protect(&self) {
        run("mount", &["-o", "remount,ro"], Some(&self.folder));
    }

    /// Makes it an ordinary disk again.
    pub fn heal(&self) {
        run("mount", &["-o", "remount,rw"], Some(&self.folder));
        let _ = fs::remove_file(self.filler());
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What still runs there ends with the fixture.
        run("umount", &["--lazy"], Some(&self.folder));
    }
}

fn run(program: &str, arguments: &[&str], path: Option<&Path>) {
    let status = Command::new(program).args(arguments).args(path.map(AsRef::<OsStr>::as_ref)).status();
    assert!(status.is_ok_and(|status| status.success()), "{program} {arguments:?} {path:?}");
}
