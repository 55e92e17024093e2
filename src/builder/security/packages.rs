//! A package list, as it arrives: unpacked, read line by line and held against its digest. No more of it is kept than the
//! versions of the packages that are looked for, and these count once the digest is right.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, BufReader, Read};

use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};

use crate::model::hex;
use crate::record::{ListedFile, is_newer_version};

/// The longest compressed list. Ubuntu's have a few MB.
const LONGEST: u64 = 64 << 20;
/// The longest list.
const LONGEST_UNPACKED: u64 = 512 << 20;
/// How much is kept of a line: names and versions are shorter.
const LINE: usize = 512;

/// Reads the list that `listed` promises, and returns the newest version of each of `names` that it has.
pub fn versions(
    reader: impl Read,
    listed: &ListedFile,
    names: &BTreeSet<String>,
) -> io::Result<BTreeMap<String, String>> {
    if listed.size > LONGEST {
        return Err(io::Error::other(format!("it has {} bytes, at most {LONGEST} are read", listed.size)));
    }
    let mut counted = Counted { reader, digest: Sha256::new(), read: 0, limit: listed.size };
    let limit = listed.unpacked.unwrap_or(LONGEST_UNPACKED).min(LONGEST_UNPACKED);
    let unpacked = Bounded { reader: MultiGzDecoder::new(&mut counted), left: limit };
    let mut stanzas = Stanzas { names, package: None, version: None, found: BTreeMap::new() };
    each_line(BufReader::new(unpacked), |line| stanzas.take(line))?;
    stanzas.end();
    let found = stanzas.found;
    // What stands behind the packed data is part of the file.
    io::copy(&mut counted, &mut io::sink())?;
    let (size, digest) = (counted.read, hex(&counted.digest.finalize()));
    if size != listed.size || digest != listed.sha256 {
        let ListedFile { size: promised, sha256, .. } = listed;
        return Err(io::Error::other(format!(
            "it has {size} bytes with SHA-256 {digest}, the signed list says {promised} with {sha256}"
        )));
    }
    Ok(found)
}

/// Counts and digests what is read, and reads no more than is promised.
struct Counted<R> {
    reader: R,
    digest: Sha256,
    read: u64,
    limit: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.reader.read(buffer)?;
        self.digest.update(&buffer[..length]);
        self.read += length as u64;
        if self.read > self.limit {
            return Err(io::Error::other(format!(
                "it is longer than the {} bytes of the signed list",
                self.limit
            )));
        }
        Ok(length)
    }
}

/// Fails where more comes than may.
struct Bounded<R> {
    reader: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.reader.read(buffer)?;
        self.left = self
            .left
            .checked_sub(length as u64)
            .ok_or_else(|| io::Error::other("unpacked it is longer than the signed list says"))?;
        Ok(length)
    }
}

/// Gives `each` the beginning of every line.
fn each_line(mut reader: impl BufRead, mut each: impl FnMut(&[u8])) -> io::Result<()> {
    let mut line = Vec::with_capacity(LINE);
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            each(&line);
            return Ok(());
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let part = &buffer[..end.unwrap_or(buffer.len())];
        line.extend(&part[..part.len().min(LINE.saturating_sub(line.len()))]);
        let consumed = part.len() + usize::from(end.is_some());
        reader.consume(consumed);
        if end.is_some() {
            each(&line);
            line.clear();
        }
    }
}

/// The paragraphs of a list, each about a package.
struct Stanzas<'a> {
    names: &'a BTreeSet<String>,
    package: Option<String>,
    version: Option<String>,
    found: BTreeMap<String, String>,
}

impl Stanzas<'_> {
    fn take(&mut self, line: &[u8]) {
        if line.is_empty() {
            return self.end();
        }
        let value = |name: &str| {
            let value = line.strip_prefix(name.as_bytes())?.trim_ascii();
            std::str::from_utf8(value).ok().map(str::to_owned)
        };
        if let Some(package) = value("Package:") {
            self.package = Some(package);
        } else if let Some(version) = value("Version:") {
            self.version = Some(version).filter(|version| is_version(version));
        }
    }

    fn end(&mut self) {
        let (Some(package), Some(version)) = (self.package.take(), self.version.take()) else { return };
        let known = self.found.get(&package);
        if self.names.contains(&package) && known.is_none_or(|known| is_newer_version(&version, known)) {
            self.found.insert(package, version);
        }
    }
}

/// Whether text consists of what versions consist of; it goes into logs and records.
fn is_version(text: &str) -> bool {
    let belongs = |byte: u8| byte.is_ascii_alphanumeric() || b".+-~:".contains(&byte);
    (1..=200).contains(&text.len()) && text.bytes().all(belongs)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn packed(text: &[u8]) -> Vec<u8> {
        let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
        packer.write_all(text).unwrap();
        packer.finish().unwrap()
    }

    fn listed(packed: &[u8], unpacked: Option<u64>) -> ListedFile {
        let size = packed.len() as u64;
        ListedFile { sha256: hex(&Sha256::digest(packed)), size, unpacked }
    }

    fn read(packed: &[u8], listed: &ListedFile) -> Result<BTreeMap<String, String>, String> {
        let names = ["openssl", "curl", "last"].map(str::to_owned).into();
        versions(packed, listed, &names).map_err(|error| error.to_string())
    }

    fn text() -> String {
        let long = "x".repeat(100_000);
        format!(
            "Package: openssl\nArchitecture: amd64\nVersion: 3.0.13-0ubuntu3.6\nDescription: {long}\n Package: evil\n\n\
             Package: zip\nVersion: 9\n\nPackage: openssl\nVersion: 3.0.13-0ubuntu3.5\n\nPackage: curl\nVersion: 1 \x1b[2J\n\n\
             Version: 7\n\nPackage: last\nVersion: 1:2\n"
        )
    }

    #[test]
    fn the_newest_version_of_each_package_that_is_looked_for_is_found() {
        let text = text();
        let found =
            BTreeMap::from([("last".into(), "1:2".into()), ("openssl".into(), "3.0.13-0ubuntu3.6".into())]);
        let whole = packed(text.as_bytes());
        assert_eq!(read(&whole, &listed(&whole, Some(text.len() as u64))), Ok(found.clone()));
        assert_eq!(read(&whole, &listed(&whole, None)), Ok(found.clone()));
        // Packed in parts, as by pigz.
        let (first, second) = text.as_bytes().split_at(1000);
        let parts = [packed(first), packed(second)].concat();
        assert_eq!(read(&parts, &listed(&parts, None)), Ok(found));
    }

    #[test]
    fn what_is_not_what_the_signed_list_says_counts_for_nothing() {
        let text = text();
        let whole = packed(text.as_bytes());
        let right = listed(&whole, Some(text.len() as u64));
        let changed = |change: fn(&mut ListedFile)| {
            let mut listed = right.clone();
            change(&mut listed);
            listed
        };
        let longer = [whole.as_slice(), b"x"].concat();
        for (bytes, listed, problem) in [
            (&whole[..whole.len() - 9], right.clone(), ""),
            (&longer, right.clone(), "longer than the"),
            (&whole, changed(|listed| listed.sha256 = "a".repeat(64)), "the signed list says"),
            (&whole, changed(|listed| listed.size -= 1), "longer than the"),
            (&whole, changed(|listed| listed.size += 1), "the signed list says"),
            (&whole, changed(|listed| listed.unpacked = Some(1000)), "unpacked it is longer"),
            (&whole, changed(|listed| listed.size = LONGEST + 1), "are read"),
            (b"<html>", listed(b"<html>", None), ""),
        ] {
            let refused = read(bytes, &listed).unwrap_err();
            assert!(refused.contains(problem), "{refused}");
        }
    }
}
