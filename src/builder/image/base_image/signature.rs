//! Who signed a list of digests, and when: what gpgv reports for programs (`--status-fd`), judged. Its exit status says
//! nothing about expired or revoked keys and weak digests, and fails for a list that a second, unknown key signed too.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use crate::host::{Ending, Host, Output, Program, random_uuid};
use crate::model::{Deadline, Timestamp};

/// The OpenPGP digest algorithms that are strong enough, by number (RFC 9580, 9.5): SHA-256, SHA-384, SHA-512, SHA-224,
/// SHA3-256 and SHA3-512.
const STRONG_DIGESTS: [&str; 6] = ["8", "9", "10", "11", "12", "14"];

/// The classes of signatures of a document, binary and text; all others sign something else.
const DOCUMENT: [&str; 2] = ["00", "01"];

/// Checks that `list` has a good signature by a key of `keyring`, and none that is bad. Returns when it was signed: the
/// newest of its good signatures.
pub fn check(
    host: &Host,
    list: &[u8],
    signature: &[u8],
    keyring: &Path,
    deadline: Deadline,
) -> Result<Timestamp, String> {
    let folder = host.run_dir().join(format!("sums-{}", random_uuid()));
    let asked = (|| {
        host.private_dir(&folder).map_err(|error| error.to_string())?;
        let (list_file, signature_file) = (folder.join("SHA256SUMS"), folder.join("SHA256SUMS.gpg"));
        host.write(&list_file, list, 0o600).map_err(|error| error.to_string())?;
        host.write(&signature_file, signature, 0o600).map_err(|error| error.to_string())?;
        Program::new("gpgv")
            .args(["--quiet", "--status-fd", "1", "--keyring"])
            .args([keyring, &signature_file, &list_file])
            .output(deadline.at_most(Duration::from_secs(60)))
            .map_err(|error| error.to_string())
    })();
    let _ = host.remove_dir(&folder);
    judge(&asked?)
}

fn judge(output: &Output) -> Result<Timestamp, String> {
    if matches!(output.ending, Ending::Signal(_)) || output.is_cut {
        return Err(format!("gpgv did not complete its report: {}", output.stderr));
    }
    let signatures = signatures(&String::from_utf8_lossy(&output.stdout));
    if let Some(bad) = signatures.iter().find(|signature| matches!(signature, Signature::Bad(_))) {
        return Err(bad.to_string());
    }
    let good = signatures.iter().filter_map(|signature| match signature {
        Signature::Good(at) => Some(*at),
        _ => None,
    });
    good.max().ok_or_else(|| {
        let reasons: Vec<String> = signatures.iter().map(Signature::to_string).collect();
        if reasons.is_empty() { output.stderr.replace('\n', "; ") } else { reasons.join("; ") }
    })
}

/// What gpgv reports about one signature.
#[derive(Debug, PartialEq, Eq)]
enum Signature {
    Good(Timestamp),
    /// The key's signature of something else.
    Bad(String),
    /// The key that made it, and why it does not count.
    Void(String, &'static str),
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Good(at) => write!(f, "a good signature of {at}"),
            Self::Bad(key) => write!(f, "the signature by key {key} does not match the list"),
            Self::Void(key, why) => write!(f, "the signature by key {key} is not accepted: {why}"),
        }
    }
}

/// The signatures in a status report. Each has one verdict; that of a signature that matches is followed by `VALIDSIG`,
/// also where its key has expired or is revoked.
fn signatures(report: &str) -> Vec<Signature> {
    let mut signatures = Vec::new();
    let mut is_good = false;
    for line in report.lines() {
        let mut words = line.split_whitespace();
        if words.next() != Some("[GNUPG:]") {
            continue;
        }
        let Some(keyword) = words.next() else { continue };
        let details: Vec<&str> = words.collect();
        let key = details.first().copied().unwrap_or("of no name").to_owned();
        let void = |why| Signature::Void(key.clone(), why);
        match keyword {
            "NEWSIG" => is_good = false,
            "GOODSIG" => is_good = true,
            "VALIDSIG" if is_good => {
                is_good = false;
                signatures.push(valid(&details));
            }
            "BADSIG" => signatures.push(Signature::Bad(key)),
            "EXPSIG" => signatures.push(void("it has expired")),
            "EXPKEYSIG" => signatures.push(void("the key has expired")),
            "REVKEYSIG" => signatures.push(void("the key is revoked")),
            // Its last word but one is the reason; 9 is a missing key.
            "ERRSIG" if details.get(5) == Some(&"9") => {
                signatures.push(void("the key is not in the keyring"));
            }
            "ERRSIG" => signatures.push(void("gpgv cannot check it")),
            _ => (),
        }
    }
    signatures
}

/// The signature of a `VALIDSIG` line: fingerprint, date, time, expiry, version, reserved, key algorithm, digest
/// algorithm, class, the primary key's fingerprint.
fn valid(details: &[&str]) -> Signature {
    let [key, _, at, _, _, _, _, digest, class, ..] = details else {
        return Signature::Void("of no name".into(), "gpgv's report about it is incomplete");
    };
    match at.parse() {
        _ if !STRONG_DIGESTS.contains(digest) => {
            Signature::Void((*key).to_owned(), "its digest is too weak (MD5, SHA-1 or RIPEMD-160)")
        }
        _ if !DOCUMENT.contains(class) => Signature::Void((*key).to_owned(), "it does not sign a file"),
        Ok(at) => Signature::Good(Timestamp(at)),
        Err(_) => Signature::Void((*key).to_owned(), "its time is unknown"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::*;
    use crate::host::Host;

    /// A home of gpg; its agent ends with it.
    struct Keys(tempfile::TempDir);

    impl Keys {
        fn gpg(&self, words: &str, files: &[&str]) {
            let output = Command::new("gpg")
                .current_dir(self.0.path())
                .args(["--homedir", ".", "--batch", "--quiet", "--yes", "--pinentry-mode", "loopback"])
                .args(["--passphrase", ""])
                .args(words.split(' '))
                .args(files)
                .output()
                .unwrap();
            assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
        }

        fn file(&self, name: &str) -> Vec<u8> {
            fs::read(self.0.path().join(name)).unwrap()
        }

        fn check(&self, signatures: &[&str]) -> Result<Timestamp, String> {
            let signature: Vec<u8> = signatures.iter().flat_map(|name| self.file(name)).collect();
            self.check_bytes(&signature)
        }

        fn check_bytes(&self, signature: &[u8]) -> Result<Timestamp, String> {
            let host = Host::below(self.0.path().join("root"));
            let keyring = self.0.path().join("keyring");
            check(&host, &self.file("list"), signature, &keyring, Deadline::after(Duration::from_secs(60)))
        }
    }

    impl Drop for Keys {
        fn drop(&mut self) {
            let kill =
                Command::new("gpgconf").arg("--homedir").arg(self.0.path()).args(["--kill", "all"]).status();
            drop(kill);
        }
    }

    /// The signatures `good`, `old` (of 2021), `expired-key`, `expired`, `revoked`, `sha1`, `unknown`, `bad` and `inline`.
    fn keys() -> Keys {
        let keys = Keys(tempfile::tempdir().unwrap());
        fs::write(keys.0.path().join("list"), "digest *image\n").unwrap();
        fs::write(keys.0.path().join("other"), "digest *other\n").unwrap();
        let then = "--faked-system-time 20200101T000000!";
        keys.gpg(&format!("{then} --quick-generate-key good ed25519 sign never"), &[]);
        keys.gpg(&format!("{then} --quick-generate-key short ed25519 sign 30d"), &[]);
        keys.gpg(&format!("{then} --quick-generate-key revoked ed25519 sign never"), &[]);
        keys.gpg("-u good -o good --detach-sign list", &[]);
        keys.gpg("--faked-system-time 20210101T000000! -u good -o old --detach-sign list", &[]);
        keys.gpg(&format!("{then} -u short -o expired-key --detach-sign list"), &[]);
        keys.gpg(&format!("{then} -u good --default-sig-expire 2d -o expired --detach-sign list"), &[]);
        keys.gpg("-u revoked -o revoked --detach-sign list", &[]);
        keys.gpg("-u good --digest-algo SHA1 -o sha1 --detach-sign list", &[]);
        keys.gpg("-u good -o bad --detach-sign other", &[]);
        keys.gpg("-u good -o inline --sign other", &[]);
        let revocations: Vec<_> = fs::read_dir(keys.0.path().join("openpgp-revocs.d")).unwrap().collect();
        for revocation in revocations {
            let path = revocation.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            if text.contains("revoked") {
                fs::write(&path, text.replace(":-----BEGIN", "-----BEGIN")).unwrap();
                keys.gpg("--import", &[path.to_str().unwrap()]);
            }
        }
        keys.gpg("-o keyring --export", &[]);
        keys.gpg("--quick-generate-key unknown ed25519 sign never", &[]);
        keys.gpg("-u unknown -o unknown --detach-sign list", &[]);
        keys
    }

    #[test]
    fn one_good_signature_is_enough_and_a_bad_one_is_too_much() {
        let keys = keys();
        let signed = keys.check(&["good"]).unwrap();
        assert!(signed.age() < Duration::from_secs(600), "{signed}");
        assert_eq!(keys.check(&["old"]).unwrap().to_string(), "2021-01-01T00:00:00Z");
        // Every rotation of keys.
        assert_eq!(keys.check(&["unknown", "good"]), Ok(signed));
        assert_eq!(keys.check(&["good", "unknown"]), Ok(signed));
        assert_eq!(keys.check(&["old", "good", "expired-key"]), Ok(signed), "the newest counts");
        for (signatures, reason) in [
            (&["unknown"][..], "is not in the keyring"),
            (&["expired-key"], "the key has expired"),
            (&["expired"], "it has expired"),
            (&["revoked"], "the key is revoked"),
            (&["sha1"], "its digest is too weak"),
            (&["bad"], "does not match the list"),
            (&["good", "bad"], "does not match the list"),
            (&["revoked", "sha1", "unknown"], "the key is revoked"),
        ] {
            let refused = keys.check(signatures).expect_err(&signatures.join(", "));
            assert!(refused.contains(reason), "{signatures:?}: {refused}");
        }
        for nothing in [Vec::new(), b"<html>404</html>".to_vec(), keys.file("inline"), keys.file("keyring")] {
            assert!(!keys.check_bytes(&nothing).unwrap_err().is_empty());
        }
    }

    #[test]
    fn a_verdict_counts_for_its_own_signature_only() {
        let valid = |digest: &str, class: &str| {
            format!("[GNUPG:] VALIDSIG F00D 2026-05-01 1777636800 0 4 0 22 {digest} {class} F00D\n")
        };
        let report = |lines: &[&str]| signatures(&lines.concat());
        let good = [Signature::Good(Timestamp(1_777_636_800))];
        let goodsig = "[GNUPG:] NEWSIG\n[GNUPG:] GOODSIG F00D somebody\n";
        assert_eq!(report(&[goodsig, &valid("10", "00")]), good);
        assert_eq!(report(&[goodsig, &valid("8", "01")]), good);
        for never in [
            report(&[&valid("10", "00")]),
            report(&["[GNUPG:] REVKEYSIG F00D [GNUPG:] GOODSIG\n", &valid("10", "00")]),
            report(&[goodsig, "[GNUPG:] NEWSIG\n", &valid("10", "00")]),
            report(&[goodsig, &valid("1", "00")]),
            report(&[goodsig, &valid("10", "10")]),
            report(&[goodsig, "[GNUPG:] VALIDSIG F00D\n"]),
            report(&["gpgv: GOODSIG F00D\n", &valid("10", "00")]),
        ] {
            assert!(!never.iter().any(|signature| matches!(signature, Signature::Good(_))), "{never:?}");
        }
    }

    #[test]
    fn a_report_that_was_cut_is_no_verdict() {
        let stdout = b"[GNUPG:] GOODSIG F\n[GNUPG:] VALIDSIG F d 7 0 4 0 1 10 00 F\n".to_vec();
        let whole = Output { ending: Ending::Code(2), stdout, is_cut: false, stderr: "gpgv: killed".into() };
        assert_eq!(judge(&whole), Ok(Timestamp(7)));
        assert!(judge(&Output { is_cut: true, ..whole.clone() }).is_err());
        assert!(judge(&Output { ending: Ending::Signal(9), ..whole }).is_err());
    }
}
