//! A web site with a base image, a runner and packages, and the command that builds an image of them.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use rehearsal::fixture::wait_for;
use rehearsal::servers::{Site, SiteSetup, own_address};
use sha2::{Digest, Sha256};

/// The file name of the base image.
pub const IMAGE: &str = "noble-server-cloudimg-amd64.img";

/// Base image, signing keys and apt repository, made once for all tests.
pub fn material() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("local-build");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/local_build/material.sh");
        let status = Command::new(script).arg(&folder).stdin(Stdio::null()).status().unwrap();
        assert!(status.success(), "the material for local builds could not be made");
        folder
    })
}

/// Serves `image` as the base image of noble, signed.
pub fn publish(site: &Site, image: &[u8]) {
    let digest: String = Sha256::digest(image).iter().map(|byte| format!("{byte:02x}")).collect();
    site.serve(&format!("/cloud-images/noble/current/{IMAGE}"), "application/octet-stream", image);
    site.publish_sums("noble", &format!("{digest} *{IMAGE}\n")).unwrap();
}

/// The apt repository of the material at an address of its own, as long as this lives.
pub struct Packages {
    server: Child,
    pub url: String,
}

impl Packages {
    pub fn serve(log: &Path) -> Self {
        let address = own_address().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openstack/site.py");
        let server = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "--", "/usr/bin/python3", "-I"])
            .arg(script)
            .arg("serve")
            .arg(material().join("site"))
            .args([address.ip().to_string(), address.port().to_string()])
            .arg(log)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let connected = wait_for(Duration::from_secs(120), || std::net::TcpStream::connect(address).ok());
        assert!(connected.is_some(), "the apt repository does not answer");
        Self { server, url: format!("http://{address}/ubuntu") }
    }
}

impl Drop for Packages {
    fn drop(&mut self) {
        let _ = (self.server.kill(), self.server.wait());
    }
}

/// Everything that `dispatch local-build` needs.
pub struct Workbench {
    pub site: Site,
    pub root: PathBuf,
    packages: Option<Packages>,
    pub dir: tempfile::TempDir,
}

impl Workbench {
    /// With this base image and without packages: for builds that end before they need any.
    pub fn with_image(image: &[u8]) -> Self {
        // It brings the programs as well.
        material();
        let site = Site::start(SiteSetup { image_size: 1 << 10, ..SiteSetup::default() }).unwrap();
        publish(&site, image);
        let dir = tempfile::Builder::new().prefix("rib-local-").tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir(&root).unwrap();
        Self { site, root, packages: None, dir }
    }

    /// With the base image and the packages of the material.
    pub fn complete() -> Self {
        let mut bench = Self::with_image(&fs::read(material().join("base.qcow2")).unwrap());
        bench.packages = Some(Packages::serve(&bench.dir.path().join("packages.log")));
        bench
    }

    /// Where the image is put.
    pub fn file(&self) -> PathBuf {
        self.dir.path().join("image.qcow2")
    }

    /// The folder of local builds.
    pub fn folder(&self) -> PathBuf {
        self.root.join("var/lib/runner-image-builder/local")
    }

    /// The options by which a build finds all that is here.
    pub fn settings(&self) -> Vec<String> {
        let mut settings = vec![
            format!("base-image-source={}", self.site.images_url()),
            format!("base-image-keyring={}", self.site.keyring().display()),
            format!("github-api-url={}", self.site.github_api_url()),
            format!("runner-source={}", self.site.github_url()),
        ];
        settings.extend(self.packages.iter().map(|packages| format!("build-apt-mirror={}", packages.url)));
        settings
    }

    /// The command, with `settings` on top of what it needs.
    pub fn command(&self, target: &str, settings: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dispatch"));
        command.args(["local-build", target]).arg(self.file()).env("RUNNER_IMAGE_BUILDER_ROOT", &self.root);
        command.args(self.settings()).args(settings).stdin(Stdio::null());
        command
    }

    /// Builds to the end.
    pub fn build(&self, settings: &[&str]) -> Output {
        self.command("noble-x64", settings).output().unwrap()
    }

    /// What a build that must fail says.
    pub fn failure(&self, settings: &[&str]) -> String {
        let output = self.build(settings);
        assert!(!output.status.success(), "the build should have failed");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Starts a build in a process group of its own.
    pub fn start(&self) -> Started {
        let mut child = self
            .command("noble-x64", &[])
            .process_group(0)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Started { child, lines: Box::new(lines.map_while(Result::ok)) }
    }
}

/// A build under way.
pub struct Started {
    pub child: Child,
    /// What it says.
    pub lines: Box<dyn Iterator<Item = String> + Send>,
}

/// Runs a script as root in a mount namespace of its own, on the root of the image `file`, which is `$1`.
pub fn look_into(file: &Path, scratch: &Path, script: &str) -> String {
    let whole = format!(
        "qemu-img convert -O raw \"$0\" \"$1/look.raw\"; mkdir -p \"$1/look\"
         set -- \"$1\" $(sfdisk --json \"$1/look.raw\" | python3 -c '
import json, sys
root = max(json.load(sys.stdin)[\"partitiontable\"][\"partitions\"], key=lambda part: part[\"size\"])
print(root[\"start\"] * 512, root[\"size\"] * 512)')
         e2fsck -fn \"$1/look.raw?offset=$2\" >/dev/null 2>&1 || {{ echo 'the file system is damaged' >&2; exit 1; }}
         mount -o ro,noload,loop,offset=$2,sizelimit=$3 \"$1/look.raw\" \"$1/look\"; cd \"$1/look\"
         {script}"
    );
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "bash", "-euc", &whole])
        .args([file, scratch])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
