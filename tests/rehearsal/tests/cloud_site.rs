//! Promises of the servers around the cloud.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cloud_support;

use std::process::Command;

use cloud_support::{send, text, until};
use rehearsal::servers::{Proxy, Site, SiteSetup};

#[test]
fn checksums_of_images_are_signed() {
    let site = Site::start(SiteSetup::default()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let base = format!("{}/noble/current", site.images_url());
    for name in ["SHA256SUMS", "SHA256SUMS.gpg", "noble-server-cloudimg-amd64.img"] {
        let reply = send("GET", &format!("{base}/{name}"), &[], b"").unwrap();
        assert_eq!(reply.status, 200, "{name}");
        std::fs::write(directory.path().join(name), reply.bytes).unwrap();
    }
    let verified = Command::new("gpgv")
        .arg("--keyring")
        .arg(site.keyring())
        .args(["SHA256SUMS.gpg", "SHA256SUMS"])
        .current_dir(directory.path())
        .output()
        .unwrap();
    assert!(verified.status.success(), "{}", text(&verified.stderr));
    let summed = Command::new("sha256sum")
        .args(["--check", "--ignore-missing", "SHA256SUMS"])
        .current_dir(directory.path())
        .output()
        .unwrap();
    assert!(summed.status.success(), "{}", text(&summed.stderr));
}

#[test]
fn a_runner_release_names_its_tarball_and_digest() {
    use sha2::Digest as _;
    let site = Site::start(SiteSetup::default()).unwrap();
    let api = format!("{}/repos/actions/runner/releases", site.github_api_url());
    let latest = send("GET", &format!("{api}/latest"), &[], b"").unwrap().json();
    assert_eq!(latest["tag_name"], "v2.337.1");
    assert_eq!(send("GET", &format!("{api}/tags/v2.336.0"), &[], b"").unwrap().status, 200);
    assert_eq!(send("GET", &format!("{api}/tags/v9"), &[], b"").unwrap().status, 404);
    let asset = &latest["assets"][0];
    let bytes = send("GET", asset["browser_download_url"].as_str().unwrap(), &[], b"").unwrap().bytes;
    let digest: String = sha2::Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(asset["digest"], format!("sha256:{digest}"));
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("runner.tgz"), bytes).unwrap();
    let script = "tar -xzf runner.tgz && ./bin/Runner.Listener --version && ./config.sh --url x --token y && cat .runner";
    let ran = Command::new("sh").args(["-c", script]).current_dir(directory.path()).output().unwrap();
    assert_eq!(text(&ran.stdout), "2.337.1\n--url\nx\n--token\ny\n");
}

#[test]
fn the_proxy_forwards_and_tunnels_to_port_443_only() {
    let site = Site::start(SiteSetup::default()).unwrap();
    let proxy = Proxy::start().unwrap();
    let script = site.serve_script("hello.sh", "echo hello\n");
    let curl = |arguments: &[&str]| {
        let mut command = Command::new("curl");
        command.args(["-sS", "--noproxy", "", "--proxy", &proxy.url()]).args(arguments).output().unwrap()
    };
    assert_eq!(text(&curl(&["-f", &script]).stdout), "echo hello\n");
    let tunnelled = curl(&["--proxytunnel", &script]);
    assert!(
        !tunnelled.status.success() && text(&tunnelled.stderr).contains("403"),
        "{}",
        text(&tunnelled.stderr)
    );
    let log = until(|| Some(proxy.log()).filter(|log| log.len() == 2));
    assert_eq!((log[0].status, log[0].url.as_str()), (200, script.as_str()));
    assert_eq!((log[1].method.as_str(), log[1].status), ("CONNECT", 403));
}
