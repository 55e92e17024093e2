//! Paths as an instance sees them. Whoever touches a tree from the host goes through here: a link in the tree that
//! points to /etc means the tree's /etc, never the host's.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// More links than this are a loop.
const MAX_LINKS: usize = 40;

/// Where `path`, as seen inside, lies on the host: every link is followed within the tree.
pub(super) fn resolve(tree: &Path, path: impl AsRef<Path>) -> io::Result<PathBuf> {
    let mut left: Vec<OsString> = reversed(path.as_ref());
    let mut found: Vec<OsString> = Vec::new();
    let mut links = 0;
    while let Some(part) = left.pop() {
        if part == ".." {
            found.pop();
            continue;
        }
        found.push(part);
        let place = tree.join(found.iter().collect::<PathBuf>());
        let Ok(target) = fs::read_link(&place) else { continue };
        links += 1;
        if links > MAX_LINKS {
            return Err(io::Error::other(format!("too many links: {}", place.display())));
        }
        found.pop();
        if target.is_absolute() {
            found.clear();
        }
        left.extend(reversed(&target));
    }
    Ok(tree.join(found.iter().collect::<PathBuf>()))
}

/// The components, the last one first; roots and single dots left out.
fn reversed(path: &Path) -> Vec<OsString> {
    let parts = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    let mut parts: Vec<OsString> = parts.collect();
    parts.reverse();
    parts
}

/// The text of a file inside.
pub(super) fn read(tree: &Path, path: impl AsRef<Path>) -> io::Result<String> {
    fs::read_to_string(resolve(tree, path)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn no_link_leads_out_of_the_tree() {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir_all(tree.path().join("etc/a")).unwrap();
        symlink("/run/stub.conf", tree.path().join("etc/resolv.conf")).unwrap();
        symlink("../../../../outside", tree.path().join("etc/a/up")).unwrap();
        symlink("loop", tree.path().join("loop")).unwrap();
        let resolved = |path: &str| {
            resolve(tree.path(), path).map(|found| found.strip_prefix(tree.path()).unwrap().to_owned())
        };
        assert_eq!(resolved("/etc/resolv.conf").unwrap(), Path::new("run/stub.conf"));
        assert_eq!(resolved("etc/a/up/x").unwrap(), Path::new("outside/x"));
        assert_eq!(resolved("../../etc/shadow").unwrap(), Path::new("etc/shadow"));
        assert!(resolved("loop").is_err());
    }
}
