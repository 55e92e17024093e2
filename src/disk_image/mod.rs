//! A disk image as a file of this machine: unpacked, grown, mounted, packed again.
//!
//! Without nbd and without partition devices, which not every kernel has: partitions are found by `sfdisk` and mounted
//! by their offset, on loop devices that detach by themselves. Everything runs in [`Namespaces`], so that a mount, a
//! loop device or a program never outlives us.

mod partitions;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::host::{Namespaces, ProcessError, Program};
use crate::model::{Backoff, Deadline, poll};
use partitions::{FileSystem, Partition};

/// How long a step may take that reads or writes tables and headers.
const SHORT: Duration = Duration::from_secs(120);

/// How long the kernel may take to let go of a loop device.
const RELEASE: Duration = Duration::from_secs(30);

/// What is kept free behind the last partition, for the second copy of its table.
const TAIL: u64 = 1 << 20;

/// Something could not be done with a disk image.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// A program failed.
    #[error("{doing} disk image {}: {source}", image.display())]
    Program {
        /// What was being done, as a gerund.
        doing: &'static str,
        /// The image.
        image: PathBuf,
        /// Why it failed.
        source: ProcessError,
    },
    /// The image is not laid out as a cloud image is.
    #[error("disk image {}: {problem}; use an Ubuntu cloud image", image.display())]
    Layout {
        /// The image.
        image: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// It is still in use after it was unmounted.
    #[error("disk image {} is still in use by {devices} after it was unmounted", image.display())]
    InUse {
        /// The image.
        image: PathBuf,
        /// Its loop devices.
        devices: String,
    },
}

/// A raw disk image, not mounted or mounted once.
pub struct DiskImage<'a> {
    namespaces: &'a Namespaces,
    path: PathBuf,
}

impl<'a> DiskImage<'a> {
    /// Makes a raw image at `raw` of the qcow2 image at `packed`, by `qemu_img`.
    pub fn unpack(qemu_img: Program, packed: &Path, raw: &Path, deadline: Deadline) -> Result<(), DiskError> {
        // The format is said, not guessed: a file must not choose how it is read.
        let arguments = ["convert", "-f", "qcow2", "-O", "raw", "-W", "-m", "8"];
        let result = qemu_img.args(arguments).args([packed, raw]).run(deadline);
        result.map(drop).map_err(|source| program_error("unpacking", packed, source))
    }

    /// A copy at `path` of the raw image `original`, which takes no room for what is empty.
    pub fn copy(
        namespaces: &'a Namespaces,
        original: &Path,
        path: PathBuf,
        deadline: Deadline,
    ) -> Result<Self, DiskError> {
        let cp = namespaces.program("cp").args(["--sparse=auto", "--reflink=auto", "--"]);
        let copied = cp.args([original, &path]).run(deadline);
        copied.map_err(|source| program_error("copying", original, source))?;
        Ok(Self { namespaces, path })
    }

    /// Makes the disk `size` bytes large and gives what is new to its root; one that is that large is left as it is.
    pub fn grow(&self, size: u64, deadline: Deadline) -> Result<(), DiskError> {
        let deadline = deadline.at_most(SHORT);
        let root = self.root(deadline)?;
        let room = size.saturating_sub(root.offset.saturating_add(TAIL)) / 4096 * 4096;
        if room <= root.size {
            return Ok(());
        }
        // The file system first, while the file is small: resize2fs cuts a file that is larger than what it makes, and
        // leaves one alone that it lengthened itself.
        let place = format!("{}?offset={}", self.path.display(), root.offset);
        let kib = format!("{}K", room / 1024);
        self.run("resizing", "resize2fs", &["-f", &place, &kib], deadline)?;
        let lengthen = |path: &Path| std::fs::OpenOptions::new().write(true).open(path)?.set_len(size);
        lengthen(&self.path).map_err(|error| self.layout(format!("it cannot be enlarged: {error}")))?;
        let sectors = format!(",{}", room / root.sector);
        let number = root.number.to_string();
        let arguments = ["--quiet", "--no-reread", "--no-tell-kernel", "-N", &number];
        let sfdisk = self.namespaces.program("sfdisk").args(arguments).args([&self.path]);
        let result = sfdisk.stdin(crate::host::Stdin::Bytes(sectors.into_bytes())).run(deadline);
        result.map(drop).map_err(|source| program_error("growing the partition of", &self.path, source))
    }

    /// Mounts the root at `place`, and in it what the image's fstab has at /boot and /boot/efi.
    pub fn mount(&self, place: &Path, deadline: Deadline) -> Result<(), DiskError> {
        let deadline = deadline.at_most(SHORT);
        self.mount_partition(&self.root(deadline)?, place, deadline)?;
        let fstab = self.run("reading fstab of", "cat", &[&shown(&place.join("etc/fstab"))], deadline)?;
        let others = self.partitions(deadline)?;
        for (name, below) in partitions::boot_places(&fstab) {
            let partition = others.iter().find(|partition| partition.is_named(&name));
            let partition = partition
                .ok_or_else(|| self.layout(format!("no partition {name}, which its fstab names")))?;
            self.mount_partition(partition, &place.join(below), deadline)?;
        }
        Ok(())
    }

    /// Gives back what is empty, and unmounts what [`DiskImage::mount`] has mounted at `place`. Everything is in the file
    /// when this returns.
    pub fn unmount(&self, place: &Path, deadline: Deadline) -> Result<(), DiskError> {
        let deadline = deadline.at_most(SHORT);
        let place = shown(place);
        if let Err(error) = self.run("trimming", "fstrim", &[&place], deadline) {
            log::warn!("the image is larger than necessary: {error}");
        }
        // A command's own namespaces may live on for a moment; nothing is written through them any more.
        self.run("closing", "mount", &["-o", "remount,ro", &place], deadline)?;
        self.run("unmounting", "umount", &["--recursive", &place], deadline)?;
        let path = shown(&self.path);
        let list = ["--associated", &path, "--noheadings", "--output", "NAME"];
        let mut devices = String::new();
        let look = Backoff::steady(Duration::from_millis(20));
        let released = poll(look, Deadline::after(RELEASE), || {
            devices = self.run("releasing", "losetup", &list, deadline)?;
            Ok(devices.trim().is_empty().then_some(()))
        })?;
        released.ok_or_else(|| {
            let devices = devices.split_whitespace().collect::<Vec<_>>().join(", ");
            DiskError::InUse { image: self.path.clone(), devices }
        })
    }

    /// Writes the image to `packed` as a compressed qcow2 that every QEMU from 5.1 (2020) reads.
    pub fn pack(&self, packed: &Path, deadline: Deadline) -> Result<(), DiskError> {
        let (from, to) = (shown(&self.path), shown(packed));
        let arguments = ["convert", "-f", "raw", "-O", "qcow2", "-c", "-W", "-m", "8"];
        let all = [&arguments[..], &["-o", "compression_type=zstd", &from, &to]].concat();
        self.run("packing", "qemu-img", &all, deadline).map(drop)
    }

    fn root(&self, deadline: Deadline) -> Result<Partition, DiskError> {
        let partitions = self.partitions(deadline)?;
        let largest = partitions.into_iter().max_by_key(|partition| partition.size);
        let root = largest.ok_or_else(|| self.layout("it has no partition".into()))?;
        match &root.file_system {
            Some(found) if found.kind == "ext4" => Ok(root),
            found => {
                let found = found.as_ref().map_or("no file system", |found| &found.kind);
                Err(self.layout(format!("its largest partition has {found} instead of ext4")))
            }
        }
    }

    fn partitions(&self, deadline: Deadline) -> Result<Vec<Partition>, DiskError> {
        let path = shown(&self.path);
        let table = match self.namespaces.program("sfdisk").args(["--json", &path]).run(deadline) {
            Ok(output) => output.stdout,
            Err(ProcessError::Failed { .. }) => return Err(self.layout("it has no partition table".into())),
            Err(source) => return Err(program_error("reading the partition table of", &self.path, source)),
        };
        let table = String::from_utf8_lossy(&table);
        let mut partitions = partitions::parse(&table, &path).map_err(|problem| self.layout(problem))?;
        for partition in &mut partitions {
            let (offset, size) = (partition.offset.to_string(), partition.size.to_string());
            let arguments = ["--probe", "--offset", &offset, "--size", &size, "--output", "export", &path];
            let output = self.namespaces.program("blkid").args(arguments).output(deadline);
            let output = output.map_err(|source| program_error("probing", &self.path, source))?;
            // Exit code 2: there is nothing that it knows.
            let said = String::from_utf8_lossy(&output.stdout);
            partition.file_system = output.ending.is_success().then(|| FileSystem::parse(&said)).flatten();
        }
        Ok(partitions)
    }

    fn mount_partition(
        &self,
        partition: &Partition,
        place: &Path,
        deadline: Deadline,
    ) -> Result<(), DiskError> {
        let kind = partition.file_system.as_ref().map_or("auto", |found| &found.kind);
        // Whoever loses power in the middle of a build throws the image away: no write has to wait for the disk.
        let hurry = if kind == "ext4" { ",nobarrier" } else { "" };
        let (offset, size) = (partition.offset, partition.size);
        let options = format!("loop,offset={offset},sizelimit={size},noatime{hurry}");
        let arguments = ["-t", kind, "-o", &options, &shown(&self.path), &shown(place)];
        self.run("mounting", "mount", &arguments, deadline).map(drop)
    }

    fn run(
        &self,
        doing: &'static str,
        name: &str,
        arguments: &[&str],
        deadline: Deadline,
    ) -> Result<String, DiskError> {
        let output = self.namespaces.program(name).args(arguments).run(deadline);
        let output = output.map_err(|source| program_error(doing, &self.path, source))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn layout(&self, problem: String) -> DiskError {
        DiskError::Layout { image: self.path.clone(), problem }
    }
}

fn program_error(doing: &'static str, image: &Path, source: ProcessError) -> DiskError {
    DiskError::Program { doing, image: image.to_owned(), source }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
