//! Base images for local builds: fetched once and wholly, or refused for a reason.

use std::fs;

use rehearsal::cloud::{Fault, What};

use crate::workbench::{IMAGE, Workbench};

/// An empty disk as qcow2, of no use but quickly made; `salt` makes it another one.
fn empty_disk(salt: u8) -> Vec<u8> {
    crate::workbench::material();
    let dir = tempfile::tempdir().unwrap();
    let (raw, packed) = (dir.path().join("raw"), dir.path().join("packed"));
    let mut bytes = vec![salt; 1 << 20];
    bytes.iter_mut().step_by(7).for_each(|byte| *byte = byte.wrapping_mul(31));
    fs::write(&raw, bytes).unwrap();
    let convert = ["convert", "-f", "raw", "-O", "qcow2"];
    let status = std::process::Command::new("qemu-img").args(convert).args([&raw, &packed]).status();
    assert!(status.unwrap().success());
    fs::read(packed).unwrap()
}

/// The statuses of the requests for the image's bytes.
fn transfers(bench: &Workbench) -> Vec<u16> {
    let log = bench.site.log();
    log.iter().filter(|entry| entry.url.ends_with(IMAGE)).map(|entry| entry.status).collect()
}

/// The names in the cache, sorted.
fn cached(bench: &Workbench, kind: &str) -> usize {
    let folder = fs::read_dir(bench.folder().join("base-images")).unwrap();
    folder.flatten().filter(|entry| entry.path().extension().is_some_and(|found| found == kind)).count()
}

/// The build gets as far as the disk, which is empty.
const FETCHED: &str = "use an Ubuntu cloud image";

#[test]
fn a_broken_transfer_goes_on_where_it_ended() {
    let bench = Workbench::with_image(&empty_disk(1));
    bench.site.inject(Fault::new("GET", &format!("{IMAGE}$"), What::TruncateBody).unwrap().times(1));
    let said = bench.failure(&[]);
    assert!(said.contains(FETCHED), "{said}");
    assert_eq!(transfers(&bench), [200, 206], "the second brings the rest");
    assert_eq!((cached(&bench, "raw"), cached(&bench, "part")), (1, 0));
}

#[test]
fn an_image_is_fetched_once_and_few_are_kept() {
    let bench = Workbench::with_image(&empty_disk(1));
    for _ in 0..2 {
        assert!(bench.failure(&[]).contains(FETCHED));
    }
    assert_eq!(transfers(&bench), [200]);
    for salt in 2..8 {
        crate::workbench::publish(&bench.site, &empty_disk(salt));
        assert!(bench.failure(&[]).contains(FETCHED));
    }
    assert_eq!(cached(&bench, "raw"), 4);
    // The newest is among them.
    assert!(bench.failure(&[]).contains(FETCHED));
    assert_eq!(transfers(&bench).len(), 7);
}

#[test]
fn each_way_in_which_an_image_can_be_wrong_is_named() {
    let folder = "/cloud-images/noble/current";
    type Spoil = fn(&Workbench, &str);
    let cases: [(&str, Spoil); 7] = [
        ("its SHA-256 is", |bench, folder| {
            bench.site.serve(&format!("{folder}/{IMAGE}"), "application/octet-stream", b"other".to_vec());
        }),
        ("HTTP 404", |bench, _| {
            bench.site.inject(
                Fault::new("GET", &format!("{IMAGE}$"), What::Status(404, vec![], "no".into())).unwrap(),
            );
        }),
        ("the connection was interrupted", |bench, _| {
            bench.site.inject(Fault::new("GET", &format!("{IMAGE}$"), What::TruncateBody).unwrap());
        }),
        ("checking the signature", |bench, folder| {
            bench.site.serve(&format!("{folder}/SHA256SUMS.gpg"), "text/plain", b"not a signature".to_vec());
        }),
        ("SHA256SUMS.gpg: ", |bench, _| {
            let missing = What::Status(404, vec![], "no".into());
            bench.site.inject(Fault::new("GET", "SHA256SUMS.gpg$", missing).unwrap());
        }),
        ("lists no noble-server", |bench, _| {
            bench.site.publish_sums("noble", &format!("{} *else.img\n", "0".repeat(64))).unwrap();
        }),
        ("is not a usable address", |bench, folder| {
            let to = vec![("Location".to_owned(), format!("ftp://127.0.0.1{folder}/{IMAGE}"))];
            let elsewhere = What::Status(302, to, String::new());
            bench.site.inject(Fault::new("GET", &format!("{IMAGE}$"), elsewhere).unwrap());
        }),
    ];
    for (words, spoil) in cases {
        let bench = Workbench::with_image(&empty_disk(1));
        spoil(&bench, folder);
        let said = bench.failure(&[]);
        assert!(said.contains(words), "{words}: {said}");
        assert_eq!(cached(&bench, "raw"), 0, "{words}");
    }
}

#[test]
fn a_list_that_an_unknown_key_has_signed_is_not_believed() {
    let (bench, stranger) = (Workbench::with_image(&empty_disk(1)), Workbench::with_image(&empty_disk(1)));
    let said = bench.failure(&[&format!("base-image-keyring={}", stranger.site.keyring().display())]);
    assert!(said.contains("checking the signature") && said.contains("base-image-keyring"), "{said}");
}
