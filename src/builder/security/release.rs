//! What a suite's signed list, InRelease, says: which suite it is of, its date, and the digests of its package lists.

use std::collections::BTreeMap;

use crate::model::{BaseImage, Timestamp};
use crate::record::ListedFile;

/// The components of Ubuntu's archive.
pub const COMPONENTS: [&str; 4] = ["main", "restricted", "universe", "multiverse"];

/// A signed list, read.
#[derive(Debug, PartialEq, Eq)]
pub struct Release {
    /// Its date.
    pub dated: Timestamp,
    /// Until when it may be used, where it says so.
    pub valid_until: Option<Timestamp>,
    /// Whether files are also offered by their digests.
    pub by_hash: bool,
    /// The package lists, by component and architecture: `main/binary-amd64`.
    pub listed: BTreeMap<String, ListedFile>,
}

impl Release {
    /// Reads the list of `base`'s security pocket. Where it is no such list, what it lacks.
    pub fn parse(text: &str, base: BaseImage) -> Result<Self, String> {
        let field = |name: &str| {
            let value =
                |line: &str| line.strip_prefix(name)?.strip_prefix(':').map(|value| value.trim().to_owned());
            text.lines().find_map(value)
        };
        let suite = format!("{base}-security");
        let is_of_suite = ["Suite", "Codename"].into_iter().filter_map(field).any(|value| value == suite);
        if !is_of_suite {
            return Err(format!("it is not of suite {suite}"));
        }
        let moment =
            |name: &str, value: String| moment(&value).ok_or_else(|| format!("its field {name} is no date"));
        let dated = field("Date").ok_or("it has no date").map_err(str::to_owned)?;
        let valid_until = field("Valid-Until").map(|value| moment("Valid-Until", value)).transpose()?;
        let by_hash = field("Acquire-By-Hash").is_some_and(|value| value == "yes");
        Ok(Self { dated: moment("Date", dated)?, valid_until, by_hash, listed: listed(text) })
    }
}

/// The package lists of all components. Those that are offered uncompressed alone are none.
fn listed(text: &str) -> BTreeMap<String, ListedFile> {
    let section = text.lines().skip_while(|line| line.trim_end() != "SHA256:").skip(1);
    let lines = section.take_while(|line| line.starts_with(' '));
    let files: BTreeMap<&str, (&str, u64)> = lines
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (digest, size, path) = (words.next()?, words.next()?.parse().ok()?, words.next()?);
            let is_digest = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
            is_digest.then_some((path, (digest, size)))
        })
        .collect();
    let lists = files.iter().filter_map(|(path, (digest, size))| {
        let list = path.strip_suffix("/Packages.gz")?;
        let (component, architecture) = list.split_once('/')?;
        let architecture = architecture.strip_prefix("binary-")?;
        let is_word =
            !architecture.is_empty() && architecture.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let unpacked = files.get(format!("{list}/Packages").as_str()).map(|(_, size)| *size);
        let file = ListedFile { sha256: digest.to_ascii_lowercase(), size: *size, unpacked };
        (COMPONENTS.contains(&component) && is_word).then(|| (list.to_owned(), file))
    });
    lists.collect()
}

/// The moment of a field such as `Mon, 10 Nov 2025  4:32:24 UTC`.
fn moment(text: &str) -> Option<Timestamp> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let [weekday, day, month, year, time, "UTC" | "GMT" | "+0000"] = words[..] else { return None };
    Timestamp::of_http_date(&format!("{weekday} {day:0>2} {month} {year} {time:0>8} GMT"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(lines: &[&str]) -> String {
        let digest = |letter: &str| letter.repeat(64);
        format!(
            "Origin: Ubuntu\nSuite: noble-security\nCodename: noble\n{}\nMD5Sum:\n 0 7 main/binary-amd64/Packages.gz\nSHA256:\n \
             {} 1000 main/binary-amd64/Packages\n {} 300 main/binary-amd64/Packages.gz\n {} 200 \
             main/binary-amd64/Packages.xz\n {} 30 universe/binary-arm64/Packages.gz\n {} 30 \
             main/debian-installer/binary-amd64/Packages.gz\n {} 30 other/binary-amd64/Packages.gz\n {} 30 \
             main/binary-../Packages.gz\n short 30 multiverse/binary-amd64/Packages.gz\nAcquire-By-Hash: yes\n",
            lines.join("\n"),
            digest("a"),
            digest("B"),
            digest("c"),
            digest("d"),
            digest("e"),
            digest("f"),
            digest("0"),
        )
    }

    #[test]
    fn a_list_is_read_as_ubuntu_writes_it() {
        let read = |lines: &[&str]| Release::parse(&text(lines), BaseImage::Noble);
        let release = read(&["Date: Mon, 10 Nov 2025  4:32:24 UTC"]).unwrap();
        assert_eq!(release.dated.to_string(), "2025-11-10T04:32:24Z");
        assert_eq!((release.valid_until, release.by_hash), (None, true));
        let listed = |letter: &str, size, unpacked| ListedFile { sha256: letter.repeat(64), size, unpacked };
        assert_eq!(
            release.listed,
            BTreeMap::from([
                ("main/binary-amd64".into(), listed("b", 300, Some(1000))),
                ("universe/binary-arm64".into(), listed("d", 30, None)),
            ])
        );
        let until =
            read(&["Date: Mon, 10 Nov 2025 14:32:24 UTC", "Valid-Until: Mon, 17 Nov 2025 14:32:24 UTC"]);
        assert_eq!(until.unwrap().valid_until.unwrap().to_string(), "2025-11-17T14:32:24Z");
    }

    #[test]
    fn what_is_no_list_of_the_pocket_is_refused() {
        let dated = ["Date: Mon, 10 Nov 2025 14:32:24 UTC"];
        for (text, base, problem) in [
            (text(&dated), BaseImage::Jammy, "it is not of suite jammy-security"),
            (
                text(&dated).replace("noble-security", "noble-updates"),
                BaseImage::Noble,
                "it is not of suite noble-security",
            ),
            (text(&[]), BaseImage::Noble, "it has no date"),
            (text(&["Date: yesterday"]), BaseImage::Noble, "its field Date is no date"),
            (text(&[dated[0], "Valid-Until: soon"]), BaseImage::Noble, "its field Valid-Until is no date"),
            (String::new(), BaseImage::Noble, "it is not of suite noble-security"),
        ] {
            assert_eq!(Release::parse(&text, base).unwrap_err(), problem);
        }
    }
}
