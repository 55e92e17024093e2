//! What is where on a disk: read from what `sfdisk`, `blkid` and the image's own fstab say.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Partition {
    /// Its number in the table.
    pub number: u32,
    /// Where it begins, in bytes.
    pub offset: u64,
    /// Its length in bytes.
    pub size: u64,
    /// The length of the disk's sectors.
    pub sector: u64,
    /// Its own id, in lower case.
    pub uuid: String,
    /// What is in it, if anything that is known.
    pub file_system: Option<FileSystem>,
}

/// What blkid says of a file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileSystem {
    /// Its type: ext4, vfat.
    pub kind: String,
    label: String,
    uuid: String,
}

impl Partition {
    /// Whether this is what the first field of an fstab line means.
    pub fn is_named(&self, name: &str) -> bool {
        let Some((tag, value)) = name.split_once('=') else { return false };
        let value = value.trim_matches('"');
        match (tag, &self.file_system) {
            ("PARTUUID", _) => self.uuid.eq_ignore_ascii_case(value),
            ("LABEL", Some(found)) => found.label == value,
            ("UUID", Some(found)) => found.uuid.eq_ignore_ascii_case(value),
            _ => false,
        }
    }
}

impl FileSystem {
    /// Reads `blkid --output export`.
    pub fn parse(text: &str) -> Option<Self> {
        let fields: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once('=')).collect();
        let field = |name: &str| fields.get(name).map_or(String::new(), |value| (*value).to_owned());
        let kind = field("TYPE");
        (!kind.is_empty()).then(|| Self { kind, label: field("LABEL"), uuid: field("UUID") })
    }
}

#[derive(Deserialize)]
struct Listing {
    partitiontable: Table,
}

#[derive(Deserialize)]
struct Table {
    #[serde(default = "usual_sector")]
    sectorsize: u64,
    #[serde(default)]
    partitions: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    node: String,
    start: u64,
    size: u64,
    #[serde(default)]
    uuid: String,
}

fn usual_sector() -> u64 {
    512
}

/// Reads `sfdisk --json` of the file `path`.
pub(super) fn parse(text: &str, path: &str) -> Result<Vec<Partition>, String> {
    let unreadable = |problem: &dyn std::fmt::Display| format!("its partition table is invalid: {problem}");
    let table = serde_json::from_str::<Listing>(text).map_err(|error| unreadable(&error))?.partitiontable;
    let sector = Some(table.sectorsize).filter(|size| size.is_power_of_two());
    let sector = sector.ok_or_else(|| unreadable(&"its sector size is not valid"))?;
    let entries = table.partitions.into_iter().map(|entry| {
        // The node is the file's own name with a number after it, and a `p` between two digits.
        let number =
            entry.node.strip_prefix(path).unwrap_or(&entry.node).trim_start_matches('p').parse().ok();
        let bytes = entry.start.checked_mul(sector).zip(entry.size.checked_mul(sector));
        let (number, (offset, size)) = number.zip(bytes).ok_or_else(|| unreadable(&entry.node))?;
        Ok(Partition { number, offset, size, sector, uuid: entry.uuid, file_system: None })
    });
    entries.collect()
}

/// The lines of an fstab that a boot loader's update needs: what is mounted, and where below the root, outer first.
pub(super) fn boot_places(fstab: &str) -> Vec<(String, &'static str)> {
    let lines = || fstab.lines().map(|line| line.split('#').next().unwrap_or_default().split_whitespace());
    ["boot", "boot/efi"]
        .into_iter()
        .filter_map(|place| {
            let mut names = lines().filter_map(|mut fields| {
                let (name, at) = (fields.next()?, fields.next()?);
                (at.trim_matches('/') == place).then(|| name.to_owned())
            });
            Some((names.next()?, place))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOBLE: &str = r#"{"partitiontable": {"label": "gpt", "sectorsize": 512, "partitions": [
        {"node": "/w/disk.raw1", "start": 2099200, "size": 5240799, "uuid": "A-1"},
        {"node": "/w/disk.raw14", "start": 2048, "size": 8192},
        {"node": "/w/disk.raw16", "start": 227328, "size": 1869825, "uuid": "A-16"}]}}"#;

    #[test]
    fn partitions_have_numbers_and_places_in_bytes() {
        let partitions = parse(NOBLE, "/w/disk.raw").unwrap();
        let seen: Vec<_> = partitions.iter().map(|found| (found.number, found.offset)).collect();
        assert_eq!(seen, [(1, 1_074_790_400), (14, 1 << 20), (16, 116_391_936)]);
        let after_a_digit = NOBLE.replace("disk.raw", "disk7p");
        assert_eq!(parse(&after_a_digit, "/w/disk7").unwrap()[2].number, 16);
    }

    #[test]
    fn nonsense_is_refused_and_never_overflows() {
        for text in [
            "",
            "{}",
            "[]",
            r#"{"partitiontable": {"sectorsize": 0, "partitions": []}}"#,
            r#"{"partitiontable": {"partitions": [{"node": "x", "start": 1, "size": 1}]}}"#,
            r#"{"partitiontable": {"partitions": [{"node": "1", "start": 18446744073709551615, "size": 1}]}}"#,
            r#"{"partitiontable": {"partitions": [{"node": "1", "start": -1, "size": 1}]}}"#,
        ] {
            assert!(parse(text, "/w/disk.raw").is_err(), "{text}");
        }
    }

    #[test]
    fn what_a_boot_loader_needs_is_found_in_fstab_whatever_else_is_there() {
        let fstab = "LABEL=cloudimg-rootfs / ext4 discard 0 1\nLABEL=UEFI /boot/efi vfat umask=0077 0 1\n\
                     # LABEL=OLD /boot ext3\nLABEL=BOOT\t/boot\text4\tdefaults\t0 2\nbroken\n\n";
        assert_eq!(boot_places(fstab), [("LABEL=BOOT".into(), "boot"), ("LABEL=UEFI".into(), "boot/efi")]);
        assert_eq!(boot_places("\u{0}\u{0} \u{fffd}"), []);
    }

    #[test]
    fn a_partition_is_known_by_label_and_by_either_id() {
        let mut partition = parse(NOBLE, "/w/disk.raw").unwrap().remove(2);
        partition.file_system = FileSystem::parse("DEVNAME=x\nLABEL=BOOT\nUUID=ab-cd\nTYPE=ext4\n");
        for name in ["LABEL=BOOT", "UUID=AB-CD", "PARTUUID=a-16", "LABEL=\"BOOT\""] {
            assert!(partition.is_named(name), "{name}");
        }
        for name in ["/dev/sda16", "LABEL=boot", "PARTUUID=", "BOOT"] {
            assert!(!partition.is_named(name), "{name}");
        }
    }
}
