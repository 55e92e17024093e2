//! Which commands an instance has: those of the host that only compute, and stand-ins for those that would
//! change a machine.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::inside;

const COMMON: &str = include_str!("standins/common.sh");
/// The libraries of stand-ins: name, text, what they need besides the common one.
const LIBRARIES: [(&str, &str, &[&str]); 6] = [
    ("accounts", include_str!("standins/accounts.sh"), &[]),
    ("privilege", include_str!("standins/privilege.sh"), &[]),
    ("archives", include_str!("standins/archives.sh"), &[]),
    ("packages", include_str!("standins/packages.sh"), &["archives"]),
    ("system", include_str!("standins/system.sh"), &[]),
    ("network", include_str!("standins/network.sh"), &[]),
];
const HOST_COMMANDS: &str = include_str!("standins/host-commands.txt");
const PACKAGES: &str = include_str!("standins/packages.txt");

/// What a fresh Ubuntu cloud image has installed.
pub(super) const BASE_PACKAGES: &str = include_str!("standins/base-packages.txt");

/// Commands that appear with a package only.
const PACKAGED: [&str; 3] = ["npm", "docker", "rustup"];

/// Where the links lie that trees have in common, below what instances share.
const LINKS: &str = "links";

/// Writes what all instances share into `directory`: stand-ins, lists, the first process's script, links, devices.
pub(super) fn install(directory: &Path) -> io::Result<()> {
    let (bin, lib) = (directory.join("bin"), directory.join("lib"));
    fs::create_dir_all(&bin)?;
    fs::create_dir_all(&lib)?;
    fs::write(lib.join("common.sh"), COMMON)?;
    for (library, text, needs) in LIBRARIES {
        fs::write(lib.join(format!("{library}.sh")), text)?;
        for command in standins(text) {
            let sources: String =
                needs.iter().chain([&library]).map(|name| format!(". /.rehearsal/lib/{name}.sh\n")).collect();
            let script =
                format!("#!/bin/bash\n. /.rehearsal/lib/common.sh\n{sources}standin_{command} \"$@\"\n");
            executable(&bin.join(command), &script)?;
        }
    }
    fs::write(directory.join("packages"), PACKAGES)?;
    fs::write(directory.join("origins"), include_str!("standins/origins.txt"))?;
    fs::write(directory.join("virtual-packages"), include_str!("standins/virtual-packages.txt"))?;
    fs::write(directory.join("snaps"), include_str!("standins/snaps.txt"))?;
    fs::write(directory.join("units"), include_str!("standins/units.txt"))?;
    fs::write(directory.join("host-commands"), HOST_COMMANDS)?;
    executable(&directory.join("init"), include_str!("standins/init.sh"))?;
    devices(&directory.join("dev"))?;
    for (place, target) in links() {
        let place = directory.join(LINKS).join(place);
        fs::create_dir_all(place.parent().unwrap_or(directory))?;
        symlink(target, place)?;
    }
    Ok(())
}

/// What /dev begins with: links, and the places of the devices.
fn devices(directory: &Path) -> io::Result<()> {
    fs::create_dir(directory)?;
    for device in ["null", "zero", "full", "random", "urandom", "tty"] {
        fs::write(directory.join(device), "")?;
    }
    for (name, target) in [("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")] {
        symlink(Path::new("/proc/self").join(target), directory.join(name))?;
    }
    fs::create_dir(directory.join("shm"))?;
    fs::set_permissions(directory.join("shm"), Permissions::from_mode(0o1777))
}

/// The names of a library's commands: its functions `standin_NAME`.
fn standins(library: &str) -> impl Iterator<Item = &str> {
    library.lines().filter_map(|line| line.strip_prefix("standin_")?.split_once("()").map(|(name, _)| name))
}

fn executable(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, Permissions::from_mode(0o755))
}

/// The links that make commands of host and stand-ins appear in a tree: path below the root to target.
fn links() -> &'static BTreeMap<String, PathBuf> {
    static LINKS: OnceLock<BTreeMap<String, PathBuf>> = OnceLock::new();
    LINKS.get_or_init(find_links)
}

fn find_links() -> BTreeMap<String, PathBuf> {
    let mut links = BTreeMap::new();
    let later: Vec<&str> = later_commands();
    for command in HOST_COMMANDS.lines().filter(|command| !later.contains(command)) {
        if let Some(target) = on_host(command) {
            links.insert(format!("usr/bin/{command}"), target);
        }
    }
    for (_, text, _) in LIBRARIES {
        for command in standins(text).filter(|command| !PACKAGED.contains(command)) {
            links.insert(format!("usr/bin/{command}"), Path::new("/.rehearsal/bin").join(command));
            links.insert(format!("usr/sbin/{command}"), Path::new("/.rehearsal/bin").join(command));
        }
    }
    for entry in ["lib", "lib32", "lib64", "libx32", "libexec"] {
        if Path::new("/usr").join(entry).exists() {
            links.insert(format!("usr/{entry}"), Path::new("/.host/usr").join(entry));
        }
        // Hosts whose libraries are elsewhere than /usr/lib have them linked into /usr.
        if fs::symlink_metadata(Path::new("/").join(entry)).is_ok_and(|found| found.is_symlink()) {
            links.insert(entry.to_owned(), Path::new("usr").join(entry));
        }
    }
    for entry in ["perl", "perl5", "python3", "zoneinfo", "i18n", "locale", "terminfo", "misc", "git-core"] {
        let known = Path::new("/usr/share").join(entry);
        if known.exists() {
            links.insert(format!("usr/share/{entry}"), Path::new("/.host/usr/share").join(entry));
        }
    }
    links.insert("bin".into(), "usr/bin".into());
    links.insert("sbin".into(), "usr/sbin".into());
    links
}

/// Commands of the host that an instance gets only with a package that its base does not have.
fn later_commands() -> Vec<&'static str> {
    let base: Vec<&str> = BASE_PACKAGES.lines().collect();
    let with_package = PACKAGES.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let name = words.next()?;
        (!base.contains(&name)).then_some(words)
    });
    with_package.flatten().collect()
}

/// Where a command of the host lies, as seen from inside. Links that lead through /etc are followed here.
fn on_host(command: &str) -> Option<PathBuf> {
    for directory in ["/usr/bin", "/usr/sbin"] {
        let path = Path::new(directory).join(command);
        let Ok(found) = fs::canonicalize(&path) else { continue };
        if !found.starts_with("/usr") {
            continue;
        }
        let direct = fs::read_link(&path).map_or(true, |target| !target.starts_with("/etc"));
        let shown = if direct { path } else { found };
        return Some(Path::new("/.host").join(shown.strip_prefix("/").ok()?));
    }
    None
}

/// Puts the links of `shared` into a tree, except where the tree has something of its own. They are the same files in
/// all trees: to make each anew would be most of what it takes to make a tree.
pub(super) fn link_into(tree: &Path, shared: &Path) -> io::Result<()> {
    let mut folder = (Path::new("/"), PathBuf::new());
    for place in links().keys().map(Path::new) {
        let parent = place.parent().unwrap_or(Path::new(""));
        if folder.0 != parent {
            folder = (parent, inside::resolve(tree, parent)?);
            fs::create_dir_all(&folder.1)?;
        }
        let link = shared.join(LINKS).join(place);
        match fs::hard_link(link, folder.1.join(place.file_name().unwrap_or_default())) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => other?,
        }
    }
    Ok(())
}

/// Whether a link is one of these, and so no part of an image.
pub(super) fn is_ours(target: &Path) -> bool {
    target.starts_with("/.host") || target.starts_with("/.rehearsal")
}
