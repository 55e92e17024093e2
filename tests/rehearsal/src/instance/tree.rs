//! The files of an instance: what a fresh Ubuntu cloud image has of them, and what every boot does to them.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::Path;

use super::archive;
use super::commands;
use super::inside;

/// Makes the tree of a new instance from the bytes of its image and what it shares with others.
pub(super) fn create(
    tree: &Path,
    shared: &Path,
    disk: &Path,
    name: &str,
    properties: &BTreeMap<String, String>,
) -> io::Result<()> {
    fs::create_dir(tree)?;
    if archive::is_archive(disk) {
        archive::unpack(disk, tree)?;
    } else {
        fresh(tree, name, properties)?;
    }
    commands::link_into(tree, shared)
}

/// Ubuntu's code names and versions.
const SERIES: [(&str, &str); 7] = [
    ("focal", "20.04"),
    ("jammy", "22.04"),
    ("noble", "24.04"),
    ("oracular", "24.10"),
    ("plucky", "25.04"),
    ("questing", "25.10"),
    ("resolute", "26.04"),
];

/// Code name and version of the image, by what its properties or its name say.
fn series(name: &str, properties: &BTreeMap<String, String>) -> (&'static str, &'static str) {
    let said = properties.get("os_version").map_or("", String::as_str);
    let by_version = SERIES.iter().find(|(_, version)| said == *version);
    let by_name = SERIES.iter().find(|(code, version)| name.contains(code) || name.contains(version));
    by_version.or(by_name).copied().unwrap_or(("noble", "24.04"))
}

fn architecture(name: &str, properties: &BTreeMap<String, String>) -> &'static str {
    let said = properties.get("architecture").map_or(name, String::as_str);
    for (word, known) in [
        ("aarch64", "arm64"),
        ("arm64", "arm64"),
        ("s390x", "s390x"),
        ("ppc64", "ppc64el"),
        ("armv7", "armhf"),
    ] {
        if said.contains(word) {
            return known;
        }
    }
    "amd64"
}

/// The files of a fresh cloud image.
fn fresh(tree: &Path, name: &str, properties: &BTreeMap<String, String>) -> io::Result<()> {
    for (directory, mode) in [
        ("boot", 0o755),
        ("etc/apt/apt.conf.d", 0o755),
        ("etc/apt/sources.list.d", 0o755),
        ("etc/apt/keyrings", 0o755),
        ("etc/cloud/cloud.cfg.d", 0o755),
        ("etc/cron.d", 0o755),
        ("etc/netplan", 0o755),
        ("etc/profile.d", 0o755),
        ("etc/skel", 0o755),
        ("etc/ssh/sshd_config.d", 0o755),
        ("etc/ssl/certs", 0o755),
        ("etc/sudoers.d", 0o750),
        ("etc/sysctl.d", 0o755),
        ("etc/systemd/system", 0o755),
        ("etc/systemd/network", 0o755),
        ("etc/systemd/resolved.conf.d", 0o755),
        ("home", 0o755),
        ("media", 0o755),
        ("mnt", 0o755),
        ("opt", 0o755),
        ("root", 0o700),
        ("snap/bin", 0o755),
        ("srv", 0o755),
        ("usr/local/bin", 0o755),
        ("usr/local/sbin", 0o755),
        ("usr/local/lib", 0o755),
        ("usr/local/share/ca-certificates", 0o755),
        ("usr/share/doc", 0o755),
        ("usr/share/keyrings", 0o755),
        ("var/cache/apt/archives", 0o755),
        ("var/lib/apt/lists", 0o755),
        ("var/lib/cloud", 0o755),
        ("var/lib/dpkg", 0o755),
        ("var/lib/snapd/snaps", 0o755),
        ("var/lib/systemd", 0o755),
        ("var/log/journal", 0o755),
        ("var/spool/cron/crontabs", 0o755),
    ] {
        fs::create_dir_all(tree.join(directory))?;
        fs::set_permissions(tree.join(directory), Permissions::from_mode(mode))?;
    }
    let (code, version) = series(name, properties);
    let os_release = format!(
        "PRETTY_NAME=\"Ubuntu {version} LTS\"\nNAME=\"Ubuntu\"\nVERSION_ID=\"{version}\"\nVERSION=\"{version} LTS\"\n\
         VERSION_CODENAME={code}\nID=ubuntu\nID_LIKE=debian\nUBUNTU_CODENAME={code}\n"
    );
    std::os::unix::fs::symlink("vmlinuz-6.8.0-31-generic", tree.join("boot/vmlinuz"))?;
    let architecture = architecture(name, properties);
    let archive =
        if architecture == "amd64" { "archive.ubuntu.com/ubuntu" } else { "ports.ubuntu.com/ubuntu-ports" };
    let sources = format!(
        "Types: deb\nURIs: http://{archive}/\nSuites: {code} {code}-updates\nComponents: main universe\n\
         Signed-By: /usr/share/keyrings/ubuntu-archive-keyring.gpg\n"
    );
    let status: String = commands::BASE_PACKAGES
        .lines()
        .map(|package| {
            format!(
                "Package: {package}\nStatus: install ok installed\nArchitecture: {architecture}\nVersion: 1.0-{code}\n\n"
            )
        })
        .collect();
    for (file, text, mode) in [
        ("etc/os-release", os_release.as_str(), 0o644),
        ("etc/apt/sources.list.d/ubuntu.sources", &sources, 0o644),
        ("etc/apt/sources.list", "", 0o644),
        ("etc/passwd", PASSWD, 0o644),
        ("etc/group", GROUP, 0o644),
        ("etc/shadow", "root:*:19000:0:99999:7:::\n", 0o640),
        (
            "etc/sudoers",
            "root ALL=(ALL:ALL) ALL\n%sudo ALL=(ALL:ALL) ALL\n@includedir /etc/sudoers.d\n",
            0o440,
        ),
        ("etc/environment", ENVIRONMENT, 0o644),
        ("etc/hosts", "127.0.0.1 localhost\n", 0o644),
        ("etc/hostname", "ubuntu\n", 0o644),
        ("etc/machine-id", "", 0o444),
        ("etc/resolv.conf", "nameserver 127.0.0.53\n", 0o644),
        ("etc/fstab", "LABEL=cloudimg-rootfs / ext4 discard,errors=remount-ro 0 1\n", 0o644),
        ("etc/ssh/sshd_config", "Include /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\n", 0o644),
        ("boot/vmlinuz-6.8.0-31-generic", "", 0o600),
        ("etc/cloud/build.info", "build_name: server\nserial: 20260423\n", 0o644),
        ("etc/cloud/cloud.cfg", "users:\n   - default\n", 0o644),
        ("etc/sysctl.conf", "", 0o644),
        ("etc/timezone", "Etc/UTC\n", 0o644),
        ("usr/share/keyrings/ubuntu-archive-keyring.gpg", "keys of Ubuntu's archives\n", 0o644),
        ("var/lib/dpkg/status", &status, 0o644),
        ("var/lib/dpkg/arch", &format!("{architecture}\n"), 0o644),
    ] {
        fs::write(tree.join(file), text)?;
        fs::set_permissions(tree.join(file), Permissions::from_mode(mode))?;
    }
    Ok(())
}

const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n\
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\nsyslog:x:104:110::/home/syslog:/usr/sbin/nologin\n";

const GROUP: &str = "root:x:0:\ndaemon:x:1:\nadm:x:4:\ntty:x:5:\ndisk:x:6:\ndialout:x:20:\ncdrom:x:24:\nfloppy:x:25:\n\
sudo:x:27:\naudio:x:29:\ndip:x:30:\nwww-data:x:33:\nshadow:x:42:\nvideo:x:44:\nplugdev:x:46:\nstaff:x:50:\nusers:x:100:\n\
systemd-journal:x:101:\nnetdev:x:102:\nlxd:x:103:\nkvm:x:104:\nsyslog:x:110:\nnogroup:x:65534:\n";

const ENVIRONMENT: &str = "PATH=\"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/games:/usr/local/games:/snap/bin\"\n";

/// What every boot does: volatile places are emptied, a machine-id is made when there is none.
pub(super) fn prepare_boot(tree: &Path) -> io::Result<()> {
    for (volatile, mode) in [("run", 0o755), ("tmp", 0o1777), ("dev", 0o755), ("proc", 0o555), ("sys", 0o555)]
    {
        let place = tree.join(volatile);
        // A link would lead who knows where: it goes, and a directory takes its place.
        if fs::symlink_metadata(&place).is_ok_and(|found| found.is_dir()) {
            drop(fs::set_permissions(&place, Permissions::from_mode(0o755)));
            archive::remove_tree(&place);
        } else {
            drop(fs::remove_file(&place));
        }
        fs::create_dir_all(&place)?;
        fs::set_permissions(&place, Permissions::from_mode(mode))?;
    }
    for place in [".host/usr", ".rehearsal", ".old"] {
        fs::create_dir_all(tree.join(place))?;
    }
    for (place, mode) in [
        ("var/tmp", 0o1777),
        ("run/lock", 0o1777),
        ("run/systemd/rehearsal", 0o755),
        ("run/cloud-init", 0o755),
    ] {
        let place = inside::resolve(tree, place)?;
        fs::create_dir_all(&place)?;
        fs::set_permissions(place, Permissions::from_mode(mode))?;
    }
    let machine_id = inside::resolve(tree, "etc/machine-id")?;
    let known = fs::read_to_string(&machine_id).unwrap_or_default();
    if known.trim().is_empty() || known.trim() == "uninitialized" {
        drop(fs::remove_file(&machine_id));
        fs::write(&machine_id, format!("{}\n", uuid::Uuid::new_v4().simple()))?;
    }
    Ok(())
}

/// Gives the whole tree to the user as whom instances run.
pub(super) fn give_to(tree: &Path, uid: u32) -> io::Result<()> {
    let found = fs::symlink_metadata(tree)?;
    if found.uid() != uid {
        lchown(tree, Some(uid), Some(uid))?;
    }
    if found.is_dir() {
        for entry in fs::read_dir(tree)? {
            give_to(&entry?.path(), uid)?;
        }
    }
    Ok(())
}
