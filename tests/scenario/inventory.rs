//! What a machine says is installed in it, held against the manifest of the image that it was booted from.

use std::collections::BTreeSet;

use serde_json::Value;

/// What a machine says of itself: lines `kernel RELEASE`, `manifest SHA256`, `package NAME VERSION ARCHITECTURE` and
/// `snap NAME REVISION`, of which others are passed over.
#[derive(Debug)]
pub struct Inventory(BTreeSet<String>);

impl Inventory {
    pub fn read(told: &str) -> Self {
        let kinds = ["kernel ", "manifest ", "package ", "snap "];
        let lines = told.lines().filter(|line| kinds.iter().any(|kind| line.starts_with(kind)));
        Self(lines.map(str::to_owned).collect())
    }

    /// What `dispatch show-image --format json` says should be there.
    fn of(shown: &Value) -> Self {
        let manifest = &shown["manifest"];
        let entries = |kind: &str, name: &str, fields: &[&str]| {
            let listed = manifest[kind].as_array().unwrap_or_else(|| panic!("no {kind} in {manifest}"));
            let word = |entry: &Value, field: &str| entry[field].as_str().unwrap_or("-").to_owned();
            let line = |entry: &Value| {
                let words: Vec<String> = fields.iter().map(|field| word(entry, field)).collect();
                format!("{name} {}", words.join(" "))
            };
            listed.iter().map(line).collect::<Vec<_>>()
        };
        let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let alone = [
            format!("kernel {}", word(&manifest["kernel"])),
            format!("manifest {}", word(&shown["manifest_sha256"])),
        ];
        let packages = entries("packages", "package", &["name", "version", "architecture"]);
        let snaps = entries("snaps", "snap", &["name", "revision"]);
        Self(alone.into_iter().chain(packages).chain(snaps).collect())
    }

    /// What the machine has and the manifest does not name, with `+`, and what it lacks, with `-`.
    pub fn differs_from(&self, shown: &Value) -> Vec<String> {
        let manifest = Self::of(shown);
        let more = self.0.difference(&manifest.0).map(|line| format!("+{line}"));
        let less = manifest.0.difference(&self.0).map(|line| format!("-{line}"));
        more.chain(less).collect()
    }
}

#[test]
fn a_machine_has_what_the_manifest_names_and_no_more() {
    let shown = serde_json::json!({"manifest_sha256": "ab", "manifest": {
        "kernel": "6.8.0-31-generic",
        "packages": [{"name": "jq", "version": "1.7.1-3build1", "architecture": "amd64"}],
        "snaps": [{"name": "aproxy", "version": null, "revision": "7", "channel": null}],
    }});
    let told = "runner=2.337.1\nkernel 6.8.0-31-generic\nmanifest ab\npackage jq 1.7.1-3build1 amd64\nsnap aproxy 7\n";
    let differs = |told: &str| Inventory::read(told).differs_from(&shown);
    assert_eq!(differs(told), [] as [&str; 0]);
    assert_eq!(
        differs(&told.replace("build1", "build2")),
        ["+package jq 1.7.1-3build2 amd64", "-package jq 1.7.1-3build1 amd64"]
    );
    assert_eq!(differs(&format!("{told}package zip 3.0-13 amd64\n")), ["+package zip 3.0-13 amd64"]);
    assert_eq!(differs(&told.replace("snap aproxy 7\n", "")), ["-snap aproxy 7"]);
    assert_eq!(differs(&told.replace("manifest ab", "manifest cd")), ["+manifest cd", "-manifest ab"]);
    assert_eq!(differs("").len(), 4, "a machine that says nothing is not like any image");
}
