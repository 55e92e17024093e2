//! A tree as the bytes of an image, and back: a tar archive that depends on nothing but the tree's content
//! (sorted, one date, owners as the stand-ins noted them).

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tar::{Archive, Builder, EntryType, Header};

use super::commands;
use super::inside;

/// The first member of every such archive.
const MARK: &str = ".rehearsal-image";
/// The only date in it: when Ubuntu 24.04 came out.
const DATE: u64 = 1_714_003_200;
/// What is no part of a disk.
const VOLATILE: [&str; 9] =
    ["proc", "sys", "dev", "run", "tmp", ".host", ".rehearsal", ".old", "var/lib/.rehearsal"];

/// Whether a file is an image that [`pack`] wrote.
pub(super) fn is_archive(file: &Path) -> bool {
    let mut head = [0; 512];
    let read = File::open(file).and_then(|mut file| file.read_exact(&mut head));
    read.is_ok() && head.starts_with(MARK.as_bytes()) && head.get(257..262) == Some(b"ustar")
}

/// Writes a tree into a file.
pub(super) fn pack(tree: &Path, to: &Path) -> io::Result<()> {
    let owners = Owners::read(tree);
    let mut archive = Builder::new(BufWriter::new(File::create(to)?));
    let mut header = plain_header(EntryType::Regular, 0o644);
    archive.append_data(&mut header, MARK, io::empty())?;
    append(&mut archive, tree, Path::new(""), &owners)?;
    archive.into_inner()?.flush()
}

fn plain_header(kind: EntryType, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(DATE);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    header
}

fn append<W: Write>(archive: &mut Builder<W>, tree: &Path, inside: &Path, owners: &Owners) -> io::Result<()> {
    let mut entries: Vec<_> = fs::read_dir(tree.join(inside))?.collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let inside = inside.join(entry.file_name());
        if VOLATILE.iter().any(|volatile| inside == Path::new(volatile)) {
            continue;
        }
        // A running machine may take files away meanwhile.
        let Ok(found) = fs::symlink_metadata(entry.path()) else { continue };
        let (uid, gid) = owners.of(&inside);
        let header = |kind| {
            let mut header = plain_header(kind, found.permissions().mode() & 0o7777);
            header.set_uid(uid);
            header.set_gid(gid);
            header
        };
        if found.is_symlink() {
            let target = fs::read_link(entry.path())?;
            if !commands::is_ours(&target) {
                archive.append_link(&mut header(EntryType::Symlink), &inside, target)?;
            }
        } else if found.is_dir() {
            archive.append_data(&mut header(EntryType::Directory), inside.join(""), io::empty())?;
            append(archive, tree, &inside, owners)?;
        } else if found.is_file() {
            let bytes = read(&entry.path(), found.permissions())?;
            let mut header = header(EntryType::Regular);
            header.set_size(bytes.len() as u64);
            archive.append_data(&mut header, &inside, bytes.as_slice())?;
        }
    }
    Ok(())
}

/// The bytes of a file, also when its mode keeps its owner from reading it.
fn read(path: &Path, mode: fs::Permissions) -> io::Result<Vec<u8>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
            let bytes = fs::read(path);
            fs::set_permissions(path, mode)?;
            bytes
        }
        other => other,
    }
}

/// Restores a tree, with a note of who owned what.
pub(super) fn unpack(from: &Path, tree: &Path) -> io::Result<()> {
    let mut notes = String::new();
    let mut archive = Archive::new(BufReader::new(File::open(from)?));
    archive.set_preserve_permissions(true);
    archive.set_preserve_mtime(false);
    // Directories that forbid writing get their mode last.
    let mut modes = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        if path == Path::new(MARK) {
            continue;
        }
        let (uid, gid) = (entry.header().uid()?, entry.header().gid()?);
        if (uid, gid) != (0, 0) {
            notes.push_str(&format!("F {uid} {gid} /{}\n", path.display()).replace("/\n", "\n"));
        }
        if entry.header().entry_type().is_dir() {
            let place = tree.join(&path);
            fs::create_dir_all(&place)?;
            modes.push((place, entry.header().mode()?));
        } else {
            entry.unpack_in(tree)?;
        }
    }
    for (place, mode) in modes.into_iter().rev() {
        fs::set_permissions(place, fs::Permissions::from_mode(mode))?;
    }
    for volatile in ["run", "tmp"] {
        fs::create_dir_all(tree.join(volatile))?;
    }
    let state = tree.join("var/lib/.rehearsal");
    fs::create_dir_all(&state)?;
    fs::write(state.join("owners"), notes)
}

/// What is in such an image: entries by path, without a slash before or after it (`etc/hostname`).
#[derive(Clone, Debug, Default)]
pub struct ImageTree(pub BTreeMap<String, Entry>);

/// A file, directory or link of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Permission bits.
    pub mode: u32,
    /// The owning user's id.
    pub uid: u64,
    /// What it is.
    pub content: Content,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A regular file's bytes.
    File(Vec<u8>),
    /// A directory.
    Directory,
    /// A symbolic link's target.
    Link(PathBuf),
}

impl ImageTree {
    /// Reads an image that is the snapshot of an instance.
    pub(crate) fn read(image: &Path) -> io::Result<Self> {
        let mut tree = BTreeMap::new();
        for entry in Archive::new(BufReader::new(File::open(image)?)).entries()? {
            let mut entry = entry?;
            let path = entry.path()?.display().to_string();
            if path == MARK {
                continue;
            }
            let content = match entry.header().entry_type() {
                EntryType::Directory => Content::Directory,
                EntryType::Symlink => Content::Link(entry.link_name()?.unwrap_or_default().into_owned()),
                _ => {
                    let mut bytes = Vec::new();
                    entry.read_to_end(&mut bytes)?;
                    Content::File(bytes)
                }
            };
            let (mode, uid) = (entry.header().mode()?, entry.header().uid()?);
            tree.insert(path.trim_end_matches('/').to_owned(), Entry { mode, uid, content });
        }
        Ok(Self(tree))
    }

    /// Whether there is anything at a path.
    pub fn has(&self, path: &str) -> bool {
        self.0.contains_key(path)
    }

    /// The bytes of a file.
    pub fn file(&self, path: &str) -> Option<&[u8]> {
        match &self.0.get(path)?.content {
            Content::File(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The text of a file, empty when there is no such file or no text in it.
    pub fn text(&self, path: &str) -> &str {
        self.file(path).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }

    /// Where a link leads.
    pub fn link(&self, path: &str) -> Option<&Path> {
        match &self.0.get(path)?.content {
            Content::Link(target) => Some(target),
            _ => None,
        }
    }
}

/// Who owns what, as the stand-in for chown noted it: later notes win.
struct Owners(Vec<Note>);

struct Note {
    recursive: bool,
    uid: Option<u64>,
    gid: Option<u64>,
    path: PathBuf,
}

impl Owners {
    fn read(tree: &Path) -> Self {
        let text = inside::read(tree, "var/lib/.rehearsal/owners").unwrap_or_default();
        let notes = text.lines().filter_map(|line| {
            let mut words = line.splitn(4, ' ');
            let recursive = words.next()? == "R";
            let (uid, gid) = (words.next()?.parse().ok(), words.next()?.parse().ok());
            let path = PathBuf::from(words.next()?.trim_start_matches('/'));
            Some(Note { recursive, uid, gid, path })
        });
        Self(notes.collect())
    }

    fn of(&self, inside: &Path) -> (u64, u64) {
        let (mut uid, mut gid) = (0, 0);
        for note in &self.0 {
            if inside == note.path || (note.recursive && inside.starts_with(&note.path)) {
                uid = note.uid.unwrap_or(uid);
                gid = note.gid.unwrap_or(gid);
            }
        }
        (uid, gid)
    }
}

/// Removes a tree, also where it forbids writing.
pub(super) fn remove_tree(tree: &Path) {
    if fs::remove_dir_all(tree).is_ok() {
        return;
    }
    make_writable(tree);
    drop(fs::remove_dir_all(tree));
}

fn make_writable(directory: &Path) {
    let Ok(found) = fs::symlink_metadata(directory) else { return };
    if !found.is_dir() || directory.file_name() == Some(OsStr::new(".host")) {
        return;
    }
    if found.mode() & 0o700 != 0o700 {
        drop(fs::set_permissions(directory, fs::Permissions::from_mode(0o700)));
    }
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        make_writable(&entry.path());
    }
}
