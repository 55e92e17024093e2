//! What is signed, kept, found and removed.

use super::*;
use crate::instance::Inventory;
use crate::model::Timestamp;
use crate::record::journal::evidence::{Contents, Proof};
use crate::record::manifest::{BaseImageOrigin, Component};
use crate::record::run_config::JobId;
use crate::testing::run_config;

fn manifest(runner: &str) -> Manifest {
    let runner = Component {
        path: "/home/ubuntu/actions-runner".into(),
        version: runner.into(),
        sha256: "c".repeat(64),
    };
    Manifest {
        format: Manifest::FORMAT,
        target: run_config().targets[0],
        fingerprint: "f".into(),
        base_image: BaseImageOrigin { sha256: "b".repeat(64), signed: Timestamp(1) },
        runner,
        tools: Vec::new(),
        recipe_sha256: "d".repeat(64),
        script_sha256: Some("e".repeat(64)),
        inventory: Inventory { base_serial: Some("20260423".into()), ..Inventory::default() },
    }
}

fn build(id: &str, sha512: Option<&str>, manifest: &Manifest) -> Revision {
    let contents = Contents {
        begun: None,
        boot: None,
        runner: manifest.runner.version.clone(),
        base_image: Timestamp(1),
        base_serial: None,
        manifest: Some(manifest.digest()),
        snapshot_format: None,
    };
    Revision {
        target: manifest.target,
        id: id.parse().unwrap(),
        job: JobId::random(),
        fingerprint: "f".into(),
        built: Timestamp(1),
        proof: sha512.map(|sha512| Proof { sha512: sha512.repeat(64), size: 7 }),
        failed_reads: 0,
        contents: Some(contents),
        copies: Vec::new(),
    }
}

#[test]
fn a_build_is_signed_once_its_bytes_and_its_content_are_known_and_found_by_its_digest() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::below(dir.path());
    let (key, manifest) = (SigningKey::generate().unwrap(), manifest("2.337.1"));
    let known = build("a", Some("ab"), &manifest);
    assert!(!sign_provenance(&host, &known, &key).unwrap(), "its manifest is not here");
    manifest.save(&host).unwrap();
    assert!(!sign_provenance(&host, &build("b", None, &manifest), &key).unwrap());
    assert!(sign_provenance(&host, &known, &key).unwrap());
    assert!(!sign_provenance(&host, &known, &key).unwrap(), "once");
    let envelope = signed_provenance(&host, &"ab".repeat(64)).unwrap().unwrap();
    let keys = [key.public()];
    let statement = envelope.open(PAYLOAD_TYPE, &keys).unwrap().payload;
    let statement: serde_json::Value = serde_json::from_slice(&statement).unwrap();
    assert_eq!(statement["subject"][0]["digest"]["sha512"], "ab".repeat(64));
    let materials = &statement["predicate"]["buildDefinition"]["resolvedDependencies"];
    let of =
        |name: &str| materials.as_array().unwrap().iter().find(|material| material["name"] == name).unwrap();
    for (name, digest) in
        [("base-image", "b"), ("actions-runner", "c"), ("recipe", "d"), ("external-script", "e")]
    {
        assert_eq!(of(name)["digest"]["sha256"], digest.repeat(64));
    }
    assert!(of("base-image")["uri"].as_str().unwrap().starts_with("pkg:generic/base-image@20260423?"));
    for digest in ["", "../journal", &"g".repeat(128), &"cd".repeat(64)] {
        assert_eq!(signed_provenance(&host, digest).unwrap(), None, "{digest}");
    }
}

#[test]
fn what_a_key_has_signed_that_is_told_no_more_is_signed_anew() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::below(dir.path());
    let (earlier, current) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let manifest = manifest("1");
    manifest.save(&host).unwrap();
    let build = build("a", Some("ab"), &manifest);
    let mut told = SigningKeys::default();
    told.hold("secret:a", current.public(), [earlier.public()]);
    told.save(&host).unwrap();
    assert!(sign_provenance(&host, &build, &earlier).unwrap());
    assert!(!sign_provenance(&host, &build, &current).unwrap(), "the earlier key is still told");
    told.hold("secret:a", current.public(), []);
    told.save(&host).unwrap();
    assert!(sign_provenance(&host, &build, &current).unwrap());
    let envelope = signed_provenance(&host, &"ab".repeat(64)).unwrap().unwrap();
    envelope.open(PAYLOAD_TYPE, &[current.public()]).unwrap();
}

#[test]
fn a_statement_goes_with_its_build() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::below(dir.path());
    let (key, manifest) = (SigningKey::generate().unwrap(), manifest("1"));
    manifest.save(&host).unwrap();
    let [kept, young, old] = ["ab", "cd", "ef"].map(|sha512| build(sha512, Some(sha512), &manifest));
    for build in [&kept, &young, &old] {
        assert!(sign_provenance(&host, build, &key).unwrap());
    }
    let long_ago = Timestamp::now().0 - 3 * 86_400;
    let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(long_ago);
    for sha512 in ["ab", "ef"] {
        let file = std::fs::File::options().write(true).open(path(&host, &sha512.repeat(64))).unwrap();
        file.set_modified(long_ago).unwrap();
    }
    let mut journal = Journal::default();
    journal.note_revision(kept);
    prune_provenance(&host, &journal).unwrap();
    let is_kept = |sha512: &str| signed_provenance(&host, &sha512.repeat(64)).unwrap().is_some();
    assert_eq!(["ab", "cd", "ef"].map(is_kept), [true, true, false]);
}
