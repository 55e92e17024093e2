//! An Ubuntu archive mirror, and the fixes in its security pocket, which can be changed.

use std::io::{self, Write};
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use super::{Site, hex};
use crate::servers::signing::Signer;

const COMPONENTS: [&str; 4] = ["main", "restricted", "universe", "multiverse"];

impl Site {
    /// Serves an Ubuntu archive mirror with a series and its updates, and returns its URL.
    pub fn serve_mirror(&self, series: &str) -> String {
        for suite in ["", "-updates", "-security"] {
            let suite = format!("{series}{suite}");
            self.serve(
                &format!("/ubuntu/dists/{suite}/InRelease"),
                "text/plain",
                format!("Suite: {suite}\n"),
            );
        }
        format!("{}/ubuntu", self.url())
    }

    /// Puts packages for amd64, by name and version, into the security pocket of the mirror at `/MIRROR`, in the place of those
    /// that it had; its list is dated now and signed. Returns the mirror's URL.
    pub fn publish_fixes(&self, mirror: &str, series: &str, fixes: &[(&str, &str)]) -> io::Result<String> {
        self.publish_fixes_dated(mirror, series, fixes, "now")
    }

    /// The same with another date, in the words of date(1).
    pub fn publish_fixes_dated(
        &self,
        mirror: &str,
        series: &str,
        fixes: &[(&str, &str)],
        dated: &str,
    ) -> io::Result<String> {
        let suite = format!("/{mirror}/dists/{series}-security");
        let mut digests = String::new();
        for component in COMPONENTS {
            let fixes = if component == "main" { fixes } else { &[] };
            let stanza = |(name, version): &(&str, &str)| {
                format!(
                    "Package: {name}\nArchitecture: amd64\nVersion: {version}\nDescription: of the rehearsal\n\n"
                )
            };
            let list: String = fixes.iter().map(stanza).collect();
            let folder = format!("{component}/binary-amd64");
            for (name, bytes) in [("Packages", list.clone().into_bytes()), ("Packages.gz", packed(&list)?)] {
                let digest = hex(&Sha256::digest(&bytes));
                digests.push_str(&format!(" {digest} {} {folder}/{name}\n", bytes.len()));
                for path in [name.to_owned(), format!("by-hash/SHA256/{digest}")] {
                    self.serve(
                        &format!("{suite}/{folder}/{path}"),
                        "application/octet-stream",
                        bytes.clone(),
                    );
                }
            }
        }
        let list = format!(
            "Origin: Ubuntu\nSuite: {series}-security\nCodename: {series}\nDate: {}\nArchitectures: amd64\nComponents: {}\n\
             Acquire-By-Hash: yes\nSHA256:\n{digests}",
            date(dated)?,
            COMPONENTS.join(" ")
        );
        self.serve(&format!("{suite}/InRelease"), "text/plain", self.signer.sign_inline(list.as_bytes())?);
        Ok(format!("{}/{mirror}", self.url()))
    }

    /// A document with a signature of a key that nobody trusts.
    pub fn forged(&self, text: &str) -> io::Result<Vec<u8>> {
        Signer::create(tempfile::tempdir_in(&self.directory)?.path())?.sign_inline(text.as_bytes())
    }
}

fn packed(text: &str) -> io::Result<Vec<u8>> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(text.as_bytes())?;
    packer.finish()
}

/// A moment as archives write it.
fn date(moment: &str) -> io::Result<String> {
    let words = ["--utc", "--date", moment, "+%a, %d %b %Y %k:%M:%S UTC"];
    let output = Command::new("date").env("LC_ALL", "C").args(words).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
