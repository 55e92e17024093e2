//! What each step of the charm's recipe leaves in an image, seen from outside: a check per step, so that whoever leaves
//! one out is told which.
//!
//! The names are those that the charm gives to its steps in status and log.

use std::path::Path;

use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};
use tar::Archive;

use crate::instance::WRITTEN_BY_CLOUD_INIT;
use crate::instance::archive::{Content, ImageTree};

/// What is known of an image.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// What is in it.
    pub tree: ImageTree,
    /// The runner's tarball that belongs in it.
    pub tarball: Vec<u8>,
    /// The program that is released as yq.
    pub tool: Vec<u8>,
    /// Whether its builder asked the package mirror.
    pub mirror_asked: bool,
    /// The file that the external script writes: its path and text.
    pub script_mark: (String, String),
    /// What must be nowhere in it.
    pub secret: String,
}

/// What a check has seen, or what is wrong.
pub type Verdict = Result<String, String>;

/// A step, and how to see that it was done.
pub struct StepCheck {
    /// The step's name in status and log.
    pub step: &'static str,
    /// Looks for what it leaves.
    pub look: fn(&Evidence) -> Verdict,
}

/// All steps, in order.
pub const STEPS: [StepCheck; 18] = [
    StepCheck { step: "waiting for cloud-init", look: waited_for_cloud_init },
    StepCheck { step: "masking units", look: has_no_timers },
    StepCheck { step: "choosing package sources", look: used_the_mirror },
    StepCheck { step: "upgrading packages", look: upgraded },
    StepCheck { step: "installing packages", look: has_packages },
    StepCheck { step: "installing snaps", look: has_snaps },
    StepCheck { step: "installing npm packages", look: has_npm_packages },
    StepCheck { step: "installing tools", look: has_tools },
    StepCheck { step: "creating users", look: has_users },
    StepCheck { step: "configuring the system", look: is_configured },
    StepCheck { step: "installing the runner", look: has_the_runner },
    StepCheck { step: "naming the image", look: has_a_name },
    StepCheck { step: "running commands", look: ran_commands },
    StepCheck { step: "running the external script", look: ran_the_script },
    StepCheck { step: "giving both users the same groups", look: shares_groups },
    StepCheck { step: "restoring package sources", look: has_its_own_sources },
    StepCheck { step: "listing what is installed", look: has_a_manifest },
    StepCheck { step: "cleaning up", look: is_clean },
];

/// The names of the steps in a worker's log: `INSTANCE: STEP, N of M`.
pub fn steps_in(log: &str) -> impl Iterator<Item = &str> {
    log.lines().filter_map(|line| {
        let (text, counts) = line.rsplit_once(", ")?;
        let (number, of) = counts.split_once(" of ")?;
        let counted = [number, of].iter().all(|word| word.parse::<usize>().is_ok());
        text.rsplit_once(": ").map(|(_instance, step)| step).filter(|_| counted)
    })
}

const SOURCES: &str = "etc/apt/sources.list.d/ubuntu.sources";

const MANIFEST: &str = "usr/share/runner-image/manifest.json";

fn require(holds: bool, otherwise: impl Into<String>) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}

fn waited_for_cloud_init(image: &Evidence) -> Verdict {
    let written = image.tree.text(SOURCES).starts_with(WRITTEN_BY_CLOUD_INIT);
    require(written, format!("/{SOURCES} is not what cloud-init wrote"))?;
    Ok("package sources are those that cloud-init wrote".into())
}

fn used_the_mirror(image: &Evidence) -> Verdict {
    require(image.mirror_asked, "the builder did not ask build-apt-mirror")?;
    Ok("packages came through build-apt-mirror".into())
}

fn has_no_timers(image: &Evidence) -> Verdict {
    for unit in
        ["apt-daily.timer", "apt-daily.service", "apt-daily-upgrade.timer", "apt-daily-upgrade.service"]
    {
        let masked = image.tree.link(&format!("etc/systemd/system/{unit}")) == Some(Path::new("/dev/null"));
        require(masked, format!("{unit} is not masked"))?;
    }
    Ok("apt's timers are off".into())
}

fn upgraded(image: &Evidence) -> Verdict {
    let old = packages(&image.tree).filter(|(_, version)| version.starts_with("1.0-")).map(|(name, _)| name);
    let old: Vec<&str> = old.collect();
    require(old.is_empty(), format!("not upgraded: {}", old.join(" ")))?;
    require(!is_installed(&image.tree, "unattended-upgrades"), "unattended-upgrades is still there")?;
    Ok("every package is up to date, unattended-upgrades is gone".into())
}

/// What workflows expect of a runner.
const PACKAGES: [&str; 18] = [
    "build-essential",
    "cargo",
    "curl",
    "docker.io",
    "gh",
    "jq",
    "npm",
    "pkg-config",
    "python-is-python3",
    "python3-dev",
    "python3-pip",
    "rustc",
    "shellcheck",
    "socat",
    "tar",
    "time",
    "unzip",
    "wget",
];

fn has_packages(image: &Evidence) -> Verdict {
    let missing: Vec<&str> = PACKAGES.into_iter().filter(|name| !is_installed(&image.tree, name)).collect();
    require(missing.is_empty(), format!("missing: {}", missing.join(" ")))?;
    Ok(format!("all {} packages of the recipe are installed", PACKAGES.len()))
}

fn has_snaps(image: &Evidence) -> Verdict {
    let tree = &image.tree;
    let channel = |name: &str| tree.text(&format!("var/lib/snapd/snaps/{name}_1.snap")).trim_end().to_owned();
    for (name, wanted) in [("aproxy", "latest/edge"), ("opentelemetry-collector", "latest/stable")] {
        require(channel(name) == wanted, format!("snap {name} is not there from {wanted}"))?;
    }
    require(tree.has("snap/bin/aproxy"), "snap aproxy is disabled")?;
    require(!tree.has("snap/bin/opentelemetry-collector"), "snap opentelemetry-collector is not disabled")?;
    Ok("aproxy is there, and opentelemetry-collector, disabled".into())
}

fn has_npm_packages(image: &Evidence) -> Verdict {
    require(image.tree.has("usr/local/bin/yarn"), "yarn is missing")?;
    Ok("yarn is there".into())
}

fn has_tools(image: &Evidence) -> Verdict {
    let yq = image.tree.0.get("usr/local/bin/yq").ok_or("/usr/local/bin/yq is missing")?;
    require(yq.content == Content::File(image.tool.clone()), "/usr/local/bin/yq is not the released one")?;
    require(yq.mode & 0o111 == 0o111, "/usr/local/bin/yq is not executable")?;
    Ok(format!("yq has sha256:{}", digest(&image.tool)))
}

fn is_configured(image: &Evidence) -> Verdict {
    let tree = &image.tree;
    let lines = tree
        .0
        .keys()
        .filter(|path| path.starts_with("etc/sysctl.d/"))
        .flat_map(|path| tree.text(path).lines());
    let lines: Vec<String> = lines.map(|line| line.replace(' ', "")).collect();
    for line in ["net.core.default_qdisc=fq", "net.ipv4.tcp_congestion_control=bbr"] {
        require(lines.iter().any(|known| known == line), format!("no {line} below /etc/sysctl.d"))?;
    }
    Ok("fq and bbr are set".into())
}

fn ran_commands(image: &Evidence) -> Verdict {
    let mode = image.tree.0.get("usr/local/bin").map_or(0, |entry| entry.mode & 0o777);
    require(mode == 0o777, format!("/usr/local/bin has mode {mode:o}"))?;
    Ok("/usr/local/bin is open to jobs".into())
}

fn has_users(image: &Evidence) -> Verdict {
    let tree = &image.tree;
    let groups = tree.text("etc/group");
    for group in ["docker", "lxd", "microk8s", "sudo"] {
        let line = groups.lines().find(|line| line.split(':').next() == Some(group)).unwrap_or_default();
        require(has_member(line, "ubuntu"), format!("ubuntu is not in group {group}"))?;
    }
    let ids = |user: &str| -> Option<(String, String)> {
        let mut words =
            tree.text("etc/passwd").lines().find(|line| line.starts_with(&format!("{user}:")))?.split(':');
        Some((words.nth(2)?.to_owned(), words.next()?.to_owned()))
    };
    require(ids("runner").is_some() && ids("runner") == ids("ubuntu"), "user runner is not user ubuntu")?;
    require(
        tree.link("home/runner") == Some(Path::new("/home/ubuntu")),
        "/home/runner does not lead to /home/ubuntu",
    )?;
    require(tree.has("var/lib/systemd/linger/ubuntu"), "ubuntu does not linger")?;
    Ok("ubuntu is in docker, lxd, microk8s and sudo, and is also called runner".into())
}

fn has_member(group: &str, user: &str) -> bool {
    group.rsplit(':').next().unwrap_or_default().split(',').any(|member| member == user)
}

fn shares_groups(image: &Evidence) -> Verdict {
    let groups = image.tree.text("etc/group");
    for group in groups.lines().filter(|group| has_member(group, "ubuntu")) {
        require(has_member(group, "runner"), format!("runner is not in {group}"))?;
    }
    Ok("runner is in every group of ubuntu".into())
}

fn has_the_runner(image: &Evidence) -> Verdict {
    let owner = image.tree.0.get("home/ubuntu").map(|entry| entry.uid);
    let wrong = |error: std::io::Error| format!("the tarball itself is broken: {error}");
    let mut count = 0;
    for entry in Archive::new(GzDecoder::new(image.tarball.as_slice())).entries().map_err(wrong)? {
        let mut entry = entry.map_err(wrong)?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).map_err(wrong)?;
        let name = entry.path().map_err(wrong)?.display().to_string();
        let path = format!("home/ubuntu/actions-runner/{}", name.trim_start_matches("./"));
        let found = image.tree.0.get(&path).ok_or_else(|| format!("/{path} is missing"))?;
        require(found.content == Content::File(bytes), format!("/{path} is not the one in the tarball"))?;
        require(Some(found.uid) == owner, format!("/{path} is not ubuntu's"))?;
        count += 1;
    }
    Ok(format!("{count} files, byte for byte those of the tarball with sha256:{}", digest(&image.tarball)))
}

fn has_a_name(image: &Evidence) -> Verdict {
    let variables = image.tree.text("etc/environment");
    for name in ["ImageOS", "ImageVersion", "RUNNER_TOOL_CACHE"] {
        let is_set = variables.lines().any(|line| line.starts_with(&format!("{name}=")));
        require(is_set, format!("/etc/environment has no {name}"))?;
    }
    require(image.tree.has("opt/hostedtoolcache"), "/opt/hostedtoolcache is missing")?;
    Ok("jobs find ImageOS, ImageVersion and a tool cache".into())
}

fn has_a_manifest(image: &Evidence) -> Verdict {
    let manifest: serde_json::Value = serde_json::from_str(image.tree.text(MANIFEST))
        .map_err(|error| format!("/{MANIFEST} is no manifest: {error}"))?;
    let listed = manifest["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_missing = |name: &&str| listed.iter().all(|package| package["name"] != *name);
    let missing: Vec<&str> = PACKAGES.into_iter().filter(is_missing).collect();
    require(missing.is_empty(), format!("/{MANIFEST} does not list {}", missing.join(" ")))?;
    Ok(format!("/{MANIFEST} lists {} packages", listed.len()))
}

fn ran_the_script(image: &Evidence) -> Verdict {
    let (path, text) = &image.script_mark;
    require(image.tree.has(path), format!("/{path}, which the script writes, is missing"))?;
    require(image.tree.text(path) == text, format!("/{path} is {:?}, not {text:?}", image.tree.text(path)))?;
    Ok(format!("/{path} is what the script makes of its secret"))
}

fn has_its_own_sources(image: &Evidence) -> Verdict {
    let tree = &image.tree;
    let files: Vec<&str> = (tree.0.iter())
        .filter(|(path, entry)| {
            path.starts_with("etc/apt/sources.list.d/") && entry.content != Content::Directory
        })
        .map(|(path, _)| path.as_str())
        .collect();
    require(files == [SOURCES], format!("package sources are {files:?}"))?;
    require(tree.text(SOURCES).contains("http://archive.ubuntu.com/"), "package sources are not Ubuntu's")?;
    let lists = tree.0.keys().find(|path| path.starts_with("var/lib/apt/lists/"));
    require(lists.is_none(), format!("lists of the mirror's packages stay: {lists:?}"))?;
    Ok("package sources are Ubuntu's again".into())
}

/// What must not be the same in two machines, and what was only for the builder.
const NEVER: [&str; 5] = [
    "etc/ssh/ssh_host_ed25519_key",
    "home/ubuntu/.ssh/authorized_keys",
    "root/.ssh/authorized_keys",
    "root/runner-image-builder-script",
    "var/lib/cloud/instance/boot-finished",
];

fn is_clean(image: &Evidence) -> Verdict {
    let tree = &image.tree;
    for path in NEVER {
        require(!tree.has(path), format!("/{path} is in the image"))?;
    }
    // Absent, it keeps a machine with a read-only / from getting one; the same everywhere, from being somebody.
    require(tree.file("etc/machine-id") == Some(b""), "/etc/machine-id is not there and empty")?;
    for (path, entry) in &tree.0 {
        let Content::File(bytes) = &entry.content else { continue };
        let told = bytes.windows(image.secret.len()).any(|window| window == image.secret.as_bytes());
        require(!told, format!("/{path} has the script's secret"))?;
        require(!path.starts_with("var/log/") || bytes.is_empty(), format!("/{path} is not empty"))?;
    }
    Ok("no key, no machine-id, no log, no secret of its builder".into())
}

/// The packages in an image: names and versions.
fn packages(tree: &ImageTree) -> impl Iterator<Item = (&str, &str)> {
    tree.text("var/lib/dpkg/status").split("\n\n").filter_map(|paragraph| {
        let field = |name: &str| paragraph.lines().find_map(|line| line.strip_prefix(name));
        Some((field("Package: ")?, field("Version: ")?))
    })
}

fn is_installed(tree: &ImageTree, package: &str) -> bool {
    packages(tree).any(|(name, _)| name == package)
}

/// A SHA-256 in hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
