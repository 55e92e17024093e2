//! What an image lacks, and when a new one is due for it.

use super::*;
use crate::instance::Inventory;
use crate::model::{Arch, BaseImage};
use crate::record::journal::evidence::Contents;
use crate::record::manifest::{BaseImageOrigin, Component};
use crate::record::run_config::{JobId, RebuildOn, SecurityMirror};
use crate::testing::run_config;

fn manifest(arch: Arch, packages: &[(&str, &str, &str)]) -> Manifest {
    let package = |&(name, version, architecture): &(&str, &str, &str)| Package {
        name: name.into(),
        version: version.into(),
        architecture: architecture.into(),
    };
    Manifest {
        format: Manifest::FORMAT,
        target: Target { base: BaseImage::Noble, arch },
        fingerprint: "f".into(),
        base_image: BaseImageOrigin { sha256: "b".into(), signed: Timestamp(1) },
        runner: Component { path: "/r".into(), version: "1".into(), sha256: "r".into() },
        tools: Vec::new(),
        recipe_sha256: "r".into(),
        script_sha256: None,
        inventory: Inventory { packages: packages.iter().map(package).collect(), ..Inventory::default() },
    }
}

/// Pockets as they are known: by URL, list and package.
fn known(packages: &[(&str, &str, &str, &str, u64)]) -> SecurityFixes {
    let mut fixes = SecurityFixes::default();
    for (url, list, name, version, appeared) in packages {
        let pocket = fixes.pockets.entry((*url).to_owned()).or_insert_with(|| SecurityPocket {
            confirmed: Some(Timestamp::now()),
            ..SecurityPocket::new("/k")
        });
        let empty = || PackageList {
            sha256: "s".into(),
            wanted: "w".into(),
            seen: Timestamp(1),
            packages: BTreeMap::new(),
        };
        let list = pocket.packages.entry((*list).to_owned()).or_insert_with(empty);
        let fix = Fix { version: (*version).to_owned(), appeared: Timestamp(*appeared) };
        list.packages.insert((*name).to_owned(), fix);
    }
    fixes
}

const UBUNTU: &str = "http://security.ubuntu.com/ubuntu/dists/noble-security";
const PORTS: &str = "http://ports.ubuntu.com/ubuntu-ports/dists/noble-security";

fn words(fixes: Option<Vec<OpenFix>>) -> Vec<String> {
    fixes.unwrap().iter().map(ToString::to_string).collect()
}

#[test]
fn an_image_lacks_what_the_lists_of_each_packages_architecture_have_newer() {
    let config = run_config();
    let fixes = known(&[
        (UBUNTU, "main/binary-amd64", "openssl", "3.0.13-0ubuntu3.6", 1),
        (UBUNTU, "main/binary-amd64", "tzdata", "2025b-0ubuntu0.24.04.1", 1),
        (UBUNTU, "main/binary-amd64", "bash", "5.2.21-2ubuntu4", 1),
        (UBUNTU, "universe/binary-amd64", "jq", "1.7.1-3ubuntu0.24.04.1", 1),
        (UBUNTU, "main/binary-i386", "libc6", "2.39-0ubuntu8.6", 1),
        (PORTS, "main/binary-arm64", "libc6", "2.39-0ubuntu8.7", 1),
        (PORTS, "main/binary-armhf", "libc6", "2.39-0ubuntu8.8", 1),
    ]);
    let amd64 = manifest(
        Arch::X64,
        &[
            ("bash", "5.2.21-2ubuntu4", "amd64"),
            ("jq", "1.7.1-3build1", "amd64"),
            ("libc6", "2.39-0ubuntu8.5", "amd64"),
            ("libc6", "2.39-0ubuntu8.5", "i386"),
            ("openssl", "3.0.13-0ubuntu3.5", "amd64"),
            ("own", "1", "amd64"),
            ("tzdata", "2024a-3ubuntu1", "all"),
        ],
    );
    let lacking = [
        "jq 1.7.1-3build1 -> 1.7.1-3ubuntu0.24.04.1",
        "libc6 2.39-0ubuntu8.5 -> 2.39-0ubuntu8.6",
        "openssl 3.0.13-0ubuntu3.5 -> 3.0.13-0ubuntu3.6",
        "tzdata 2024a-3ubuntu1 -> 2025b-0ubuntu0.24.04.1",
    ];
    assert_eq!(words(fixes.open(&config, &amd64)), lacking);
    let arm =
        manifest(Arch::Arm, &[("libc6", "2.39-0ubuntu8.7", "arm64"), ("libc6", "2.39-0ubuntu8.7", "armhf")]);
    assert_eq!(words(fixes.open(&config, &arm)), ["libc6 2.39-0ubuntu8.7 -> 2.39-0ubuntu8.8"]);
    let mut seven = fixes.open(&config, &amd64).unwrap();
    seven.extend(fixes.open(&config, &amd64).unwrap().into_iter().take(3));
    assert!(first_few(&seven).ends_with(", 2 more"), "{}", first_few(&seven));
}

#[test]
fn what_is_not_known_or_was_confirmed_too_long_ago_is_no_answer() {
    let config = run_config();
    let image = manifest(Arch::X64, &[("openssl", "1", "amd64")]);
    assert_eq!(SecurityFixes::default().open(&config, &image), None);
    let mut fixes = known(&[(UBUNTU, "main/binary-amd64", "openssl", "2", 1)]);
    assert_eq!(fixes.open(&config, &image).unwrap().len(), 1);
    let now = Timestamp::now();
    let pocket = fixes.pockets.get_mut(UBUNTU).unwrap();
    pocket.confirmed = Some(Timestamp(now.0 - 8 * 86_400));
    assert_eq!(fixes.open(&config, &image), None);
    let elsewhere = SecurityMirror { url: Some("http://m/ubuntu".into()), ..SecurityMirror::default() };
    let elsewhere = BuilderRunConfig { security_mirror: elsewhere, ..run_config() };
    assert_eq!(fixes.open(&elsewhere, &image), None, "it is another mirror");
}

#[test]
fn the_mirror_is_the_builder_vms_unless_another_is_named() {
    let mut config = run_config();
    let pocket =
        |config: &BuilderRunConfig, architecture| config.security_pocket(BaseImage::Noble, architecture);
    for architecture in ["amd64", "i386"] {
        assert_eq!(pocket(&config, architecture), UBUNTU);
    }
    for architecture in ["arm64", "armhf", "s390x", "ppc64el"] {
        assert_eq!(pocket(&config, architecture), PORTS);
    }
    config.vm.apt_mirror = Some("http://m/ubuntu/".into());
    assert_eq!(pocket(&config, "s390x"), "http://m/ubuntu/dists/noble-security");
    config.security_mirror.url = Some("https://s/ubuntu".into());
    assert_eq!(pocket(&config, "amd64"), "https://s/ubuntu/dists/noble-security");
}

#[test]
fn an_image_is_due_for_what_appeared_after_its_build_had_begun_and_once_more_if_that_was_soon() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::below(folder.path());
    let config = run_config();
    let image = manifest(Arch::X64, &[("curl", "1", "amd64"), ("openssl", "1", "amd64")]);
    image.save(&host).unwrap();
    let build = |begun: Option<u64>| Revision {
        target: image.target,
        id: "a".parse().unwrap(),
        job: JobId::random(),
        fingerprint: "f".into(),
        built: Timestamp(900),
        proof: None,
        failed_reads: 0,
        contents: Some(Contents {
            boot: None,
            runner: "1".into(),
            base_image: Timestamp(1),
            base_serial: None,
            manifest: Some(image.digest()),
            snapshot_format: None,
            begun: begun.map(Timestamp),
        }),
        copies: Vec::new(),
    };
    let fixes = known(&[
        (UBUNTU, "main/binary-amd64", "openssl", "2", 50_000),
        (UBUNTU, "main/binary-amd64", "curl", "2", 70_000),
    ]);
    let due =
        |config: &BuilderRunConfig, build: &Revision| words(Some(fixes.due(&host, config, build).unwrap()));
    let both = ["curl 1 -> 2", "openssl 1 -> 2"];
    for begun in [49_999, 50_000, 53_599] {
        assert_eq!(due(&config, &build(Some(begun))), both, "{begun}: a mirror may not have had it");
    }
    for begun in [53_600, 69_999, 73_599] {
        assert_eq!(due(&config, &build(Some(begun))), ["curl 1 -> 2"], "{begun}: it did not bring the other");
    }
    assert_eq!(due(&config, &build(Some(73_600))), [] as [&str; 0], "another would not bring them either");
    assert_eq!(due(&config, &build(None)).len(), 2, "whether it could have is not known");
    let now = Timestamp::now().0;
    let recent = known(&[(UBUNTU, "main/binary-amd64", "openssl", "2", now - 600)]);
    let due_at = |begun| {
        let due = recent.due(&host, &config, &build(Some(begun))).unwrap();
        due.iter().map(|fix| fix.due_since(&build(Some(begun))).unwrap().0).collect::<Vec<_>>()
    };
    assert_eq!(due_at(now - 601), [now - 600]);
    assert_eq!(
        due_at(now - 600),
        [] as [u64; 0],
        "it is tried again once the mirrors must have it, and not before"
    );
    let by_age = BuilderRunConfig { rebuild_on: RebuildOn::Age, ..run_config() };
    assert_eq!(due(&by_age, &build(Some(400))), [] as [&str; 0]);
    let mut unknown = build(Some(400));
    unknown.contents.as_mut().unwrap().manifest = None;
    assert_eq!(due(&config, &unknown), [] as [&str; 0], "what is in it is not known");
}

#[test]
fn a_record_is_read_back_and_a_damaged_one_is_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::below(folder.path());
    let fixes = known(&[(UBUNTU, "main/binary-amd64", "openssl", "2", 500)]);
    fixes.save(&host).unwrap();
    assert_eq!(SecurityFixes::load(&host), fixes);
    let later = br#"{"pockets": {"u": {"keyring": "/k", "of a later version": 1}}, "more": 2}"#;
    host.write(&host.state_dir().join(FILE), later, 0o600).unwrap();
    assert_eq!(SecurityFixes::load(&host).pockets["u"], SecurityPocket::new("/k"));
    host.write(&host.state_dir().join(FILE), b"{", 0o600).unwrap();
    assert_eq!(SecurityFixes::load(&host), SecurityFixes::default());
}
