//! Commands in a tree of files that is the root of a system which does not run: a mounted disk image.
//!
//! Each command has mount, process, host name and IPC namespaces of its own below those of the build. What it starts
//! ends with it, what it mounts goes with it, and the machine's settings (`/proc/sys`, `/sys`) are there to be read
//! only. The network is the machine's. This keeps a recipe from harming the machine by mistake; it is no prison for a
//! hostile root.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Command, Executor, ExecutorError, Output, root_shell};
use crate::host::{Namespaces, ProcessError, Program};
use crate::model::Deadline;

/// How long preparing and tidying up may take.
const LIMIT: Duration = Duration::from_secs(60);

/// What a system expects to find at its start, without the machine's own devices but for the ones that hold the tree:
/// update-grub, which every new kernel calls, looks for those. It writes a device's name instead of its UUID into the boot
/// menu when the UUID is not in /dev/disk, and leaves all kernels out of it when the device is called /dev/loop0; so that
/// name is a link to another here.
const PREPARE: &str = r#"
cd "$0"
for place in dev proc run sys; do
    [ -d "$place" ] && [ ! -L "$place" ] || { echo "/$place is not a directory" >&2; exit 1; }
done
mount -t tmpfs -o mode=0755,nosuid,size=16m none dev
while read -r name major minor; do mknod -m 0666 "dev/$name" c "$major" "$minor"; done <<END
null 1 3
zero 1 5
full 1 7
random 1 8
urandom 1 9
tty 5 0
END
mkdir dev/pts dev/shm
mkdir -p dev/disk/by-uuid dev/disk/by-label
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 none dev/pts
mount -t tmpfs -o mode=1777,nosuid,nodev none dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s /proc/self/fd/0 dev/stdin
ln -s /proc/self/fd/1 dev/stdout
ln -s /proc/self/fd/2 dev/stderr
mount -t sysfs -o ro,nosuid,nodev,noexec none sys
mount -t tmpfs -o mode=0755,nosuid,nodev none run
mkdir -m 1777 run/lock
findmnt --noheadings --raw --submounts --output SOURCE --target . | while read -r device; do
    [ -b "$device" ] || continue
    own=image-${device##*/}
    cp -a "$device" "dev/$own"
    ln -s "$own" "dev/${device##*/}"
    for tag in uuid label; do
        name=$(blkid --probe --match-tag "${tag^^}" --output value "$device") || continue
        ln -s "../../$own" "dev/disk/by-$tag/$name"
    done
done
"#;

/// The last step into the tree, in the command's own namespaces.
const ENTER: &str = r#"
mount -t proc -o nosuid,nodev,noexec none "$0/proc"
mount --bind "$0/proc/sys" "$0/proc/sys"
mount -o remount,bind,ro "$0/proc/sys"
exec chroot "$0" "$@"
"#;

/// The image's own files that ours stand in for during the build.
const STOOD_IN: [&str; 2] = ["/etc/resolv.conf", "/usr/sbin/policy-rc.d"];

/// What is appended to the name of a file of the image while ours is in its place.
const ASIDE: &str = ".before-build";

/// A tree of files, in which commands run as root.
pub struct ChrootExecutor<'a> {
    namespaces: &'a Namespaces,
    root: PathBuf,
    name: String,
}

impl<'a> ChrootExecutor<'a> {
    /// Prepares the tree at `root`, which is seen in `namespaces`, for commands: devices, name resolution as this machine
    /// has it, and no service that starts. `name` is for errors and logs.
    pub fn enter(
        namespaces: &'a Namespaces,
        root: &Path,
        name: String,
        deadline: Deadline,
    ) -> Result<Self, ExecutorError> {
        let deadline = deadline.at_most(LIMIT);
        let chroot = Self { namespaces, root: root.to_owned(), name };
        chroot.prepare(deadline)?;
        for file in STOOD_IN {
            let aside = "if [ -e \"$0\" ] || [ -L \"$0\" ]; then mv -fT \"$0\" \"$0$1\"; fi";
            chroot.run(Command::new(["bash", "-euc", aside, file, ASIDE]), deadline)?;
        }
        let [resolv_conf, policy] = STOOD_IN;
        // A machine without one resolves nothing either.
        let names = std::fs::read("/etc/resolv.conf").unwrap_or_default();
        chroot.push_file(resolv_conf, 0o644, names, deadline)?;
        // Maintainer scripts ask it before they start a service (invoke-rc.d): 101 is "no".
        chroot.push_file(policy, 0o755, b"#!/bin/sh\nexit 101\n".to_vec(), deadline)?;
        Ok(chroot)
    }

    /// Puts the image's own files back into their places. What is mounted goes with the tree.
    pub fn leave(self, deadline: Deadline) -> Result<(), ExecutorError> {
        let deadline = deadline.at_most(LIMIT);
        let back = "rm -f \"$0\"; if [ -e \"$0$1\" ] || [ -L \"$0$1\" ]; then mv -fT \"$0$1\" \"$0\"; fi";
        for file in STOOD_IN {
            self.run(Command::new(["bash", "-euc", back, file, ASIDE]), deadline)?;
        }
        Ok(())
    }

    fn prepare(&self, deadline: Deadline) -> Result<(), ExecutorError> {
        let prepared =
            self.namespaces.program("bash").args(["-euc", PREPARE]).args([&self.root]).run(deadline);
        match prepared {
            Ok(_) => Ok(()),
            Err(ProcessError::Failed { stderr, .. }) => {
                let problem = format!("preparing {} for commands: {stderr}", self.root.display());
                Err(ExecutorError::Unreachable { instance: self.name.clone(), problem })
            }
            Err(error) => Err(error.into()),
        }
    }

    fn way(&self) -> Program {
        let own = ["--mount", "--propagation", "private", "--pid", "--uts", "--ipc", "--fork"];
        self.namespaces
            .program("unshare")
            .args(own)
            .args(["--kill-child=KILL", "--", "bash", "-euc", ENTER])
            .args([&self.root])
    }
}

impl Executor for ChrootExecutor<'_> {
    fn instance(&self) -> String {
        self.name.clone()
    }

    fn is_booted(&self) -> bool {
        false
    }

    fn execute(&self, command: Command, deadline: Deadline) -> Result<Output, ExecutorError> {
        // systemctl enables and masks, and leaves services alone, as it does in a chroot that it recognises.
        let offline = [("SYSTEMD_OFFLINE", "1")];
        let shell = root_shell::on_this_machine(self.way(), &offline);
        root_shell::execute(shell, self.name.clone(), command, deadline)
    }
}
