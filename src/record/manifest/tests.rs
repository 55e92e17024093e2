//! What is kept, found and removed, and how differences read.

use super::*;
use crate::instance::{InstalledSnap, NpmPackage, Package};
use crate::record::journal::evidence::Contents;
use crate::record::run_config::JobId;
use crate::testing::run_config;

fn manifest(runner: &str, packages: &[(&str, &str)]) -> Manifest {
    let component = |path: &str, version: &str| Component {
        path: path.into(),
        version: version.into(),
        sha256: format!("{version}-digest"),
    };
    let package = |&(name, version): &(&str, &str)| {
        let (name, architecture) = name.split_once(':').unwrap_or((name, "amd64"));
        Package { name: name.into(), version: version.into(), architecture: architecture.into() }
    };
    Manifest {
        format: Manifest::FORMAT,
        target: run_config().targets[0],
        fingerprint: "f".into(),
        base_image: BaseImageOrigin { sha256: "b".into(), signed: Timestamp(1) },
        runner: component("/home/ubuntu/actions-runner", runner),
        tools: vec![component("/usr/local/bin/yq", "v4")],
        recipe_sha256: "r".repeat(64),
        script_sha256: None,
        inventory: Inventory { packages: packages.iter().map(package).collect(), ..Inventory::default() },
    }
}

fn build(id: &str, built: u64, manifest: Option<&Manifest>) -> Revision {
    let manifest = manifest.map(Manifest::digest);
    Revision {
        target: run_config().targets[0],
        id: id.parse().unwrap(),
        job: JobId::random(),
        fingerprint: "f".into(),
        built: Timestamp(built),
        proof: None,
        failed_reads: 0,
        contents: Some(Contents {
            runner: "1".into(),
            base_image: Timestamp(1),
            base_serial: None,
            manifest,
            snapshot_format: None,
        }),
        copies: Vec::new(),
    }
}

fn difference(before: &Manifest, after: &Manifest) -> String {
    Difference::between(before, after).to_string()
}

#[test]
fn a_difference_names_a_few_and_counts_many() {
    let before =
        manifest("2.336.0", &[("openssl", "3.0.13-0ubuntu3.5"), ("libc6:i386", "2.39"), ("gone", "1")]);
    let after =
        manifest("2.337.1", &[("openssl", "3.0.13-0ubuntu3.6"), ("libc6:i386", "2.40"), ("libc6", "2.40")]);
    assert_eq!(
        difference(&before, &after),
        "runner 2.336.0 -> 2.337.1, libc6:i386 2.39 -> 2.40, openssl 3.0.13-0ubuntu3.5 -> 3.0.13-0ubuntu3.6, libc6 2.40 \
         added, gone 1 removed"
    );
    assert_eq!(difference(&before, &before), "nothing that the manifests show");
    let many: Vec<(String, String)> = (0..12).map(|number| (format!("p{number}"), "1".to_owned())).collect();
    let of = |version: &'static str| -> Vec<(&str, &str)> {
        many.iter().map(|(name, _)| (name.as_str(), version)).collect()
    };
    let newer: Vec<(&str, &str)> = of("2").into_iter().chain([("new", "1")]).collect();
    assert_eq!(
        difference(&manifest("1", &of("1")), &manifest("1", &newer)),
        "12 packages changed, 1 package added"
    );
}

#[test]
fn all_that_a_manifest_tells_is_compared() {
    let before = manifest("1", &[]);
    let mut after = before.clone();
    after.runner.sha256 = "other".into();
    after.base_image.sha256 = "c".into();
    after.base_image.signed = Timestamp(86_400);
    after.recipe_sha256 = "s".repeat(64);
    after.script_sha256 = Some("t".repeat(64));
    after.tools[0].version = "v5".into();
    after.inventory.kernel = Some("6.8.0-31-generic".into());
    let snap = InstalledSnap { name: "lxd".into(), version: None, revision: "7".into(), channel: None };
    after.inventory.snaps.push(snap);
    after.inventory.npm.push(NpmPackage { name: "yarn".into(), version: "1".into() });
    let found = Difference::between(&before, &after);
    assert_eq!(
        found.lines(),
        [
            "runner 1 -> 1 (different content)",
            "kernel 6.8.0-31-generic added",
            "base image 1970-01-01T00:00:01Z -> 1970-01-02T00:00:00Z",
            "recipe rrrrrrrrrrrr -> ssssssssssss",
            "script tttttttttttt added",
            "/usr/local/bin/yq v4 -> v5",
            "snap lxd (7) added",
            "npm yarn 1 added",
        ]
    );
}

#[test]
fn a_manifest_is_found_by_its_digest_alone() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::below(dir.path());
    let known = manifest("1", &[("a", "1")]);
    known.save(&host).unwrap();
    let of = |build: &Revision| Manifest::of(&host, build).unwrap();
    assert_eq!(of(&build("a", 1, Some(&known))), Some(known.clone()));
    assert_eq!(of(&build("b", 1, None)), None);
    assert_eq!(of(&build("c", 1, Some(&manifest("2", &[])))), None);
    for digest in ["", "../journal", &"g".repeat(64)] {
        assert_eq!(Manifest::load(&host, digest).unwrap(), None, "{digest}");
    }
    host.write(&path(&host, &known.digest()), manifest("2", &[]).text().as_bytes(), 0o600).unwrap();
    assert_eq!(of(&build("a", 1, Some(&known))), None, "other bytes are not believed");
}

#[test]
fn changes_are_those_since_the_build_of_the_target_before() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::below(dir.path());
    let [first, second, third] = ["1", "2", "3"].map(|runner| manifest(runner, &[]));
    [&first, &second, &third].iter().for_each(|manifest| manifest.save(&host).unwrap());
    let mut journal = Journal::default();
    for (id, built, manifest) in [("c", 3, &third), ("a", 1, &first), ("b", 2, &second)] {
        journal.note_revision(build(id, built, Some(manifest)));
    }
    let changes = |id: &str| {
        let build = journal.revision(&id.parse().unwrap()).unwrap();
        Manifest::changes(&host, &journal, build).unwrap().map(|changes| changes.to_string())
    };
    assert_eq!(changes("c").as_deref(), Some("runner 2 -> 3"));
    assert_eq!(changes("a"), None);
}

#[test]
fn what_no_build_names_goes_once_none_can() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::below(dir.path());
    let [named, young, old] = ["1", "2", "3"].map(|runner| manifest(runner, &[]));
    let mut journal = Journal::default();
    journal.note_revision(build("a", 1, Some(&named)));
    for manifest in [&named, &young, &old] {
        manifest.save(&host).unwrap();
    }
    let long_ago = std::time::SystemTime::now() - YOUNG * 2;
    for manifest in [&named, &old] {
        let file = std::fs::File::options().write(true).open(path(&host, &manifest.digest())).unwrap();
        file.set_modified(long_ago).unwrap();
    }
    Manifest::prune(&host, &journal).unwrap();
    let is_kept = |manifest: &Manifest| Manifest::load(&host, &manifest.digest()).unwrap().is_some();
    assert_eq!([&named, &young, &old].map(is_kept), [true, true, false]);
}
