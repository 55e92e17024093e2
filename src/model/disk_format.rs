//! Formats of disk images.

/// The format of a disk image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFormat {
    /// QEMU's own, which takes no room for what is empty.
    Qcow2,
    /// The bytes of the disk.
    Raw,
}

impl DiskFormat {
    /// What Glance and QEMU call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Qcow2 => "qcow2",
            Self::Raw => "raw",
        }
    }
}
