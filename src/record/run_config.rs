//! What a build is to do, as plain data: it travels from the hook to the worker through a file, and holds no
//! secret. Secrets travel beside it, as [`BuildSecrets`].

mod choices;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use self::choices::{BuildMode, Delivery, ImageFormat, LocalVerification, PreparedImages, RebuildOn};
use crate::github::GithubScope;
use crate::host::random_uuid;
use crate::instance::Recipe;
use crate::model::hex;
use crate::model::{Arch, BaseImage, ReleaseDate, Secret, Target};
use crate::openstack_cloud::ImageId;
pub use crate::openstack_cloud::openstack_manager::ProxyConfig;

/// The name of a cloud in clouds.yaml: whole, in files and for programs. Displays for people, who are told the project
/// and the relation, `runners (image:3)`, or the project and the beginning of the digest, `builders-1a2b3c4d`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CloudName(String);

impl CloudName {
    /// The cloud of this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before the digest, and the digest; `None` of a name without one.
    fn parts(&self) -> Option<(&str, &str)> {
        let (readable, digest) = self.0.split_at_checked(self.0.len().checked_sub(DIGEST)?)?;
        digest.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some((readable, digest))
    }
}

/// The length of the digest that a name ends in, in hexadecimal digits.
const DIGEST: usize = 64;

impl fmt::Display for CloudName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((readable, digest)) = self.parts() else { return f.write_str(&self.0) };
        let related = readable.strip_suffix('.').and_then(|readable| readable.split_once('.'));
        match related.and_then(|(project, relation)| Some((project, relation.rsplit_once('-')?))) {
            Some((project, (endpoint, number))) => write!(f, "{project} ({endpoint}:{number})"),
            None => write!(f, "{readable}{}", &digest[..8]),
        }
    }
}

/// Who owns what we create in a cloud: one unit of one application of one model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The model's UUID.
    pub model_uuid: String,
    /// The application's name, which is also the prefix of all names that we give.
    pub application: String,
    /// The unit's number.
    pub unit: u32,
}

/// The name of a job: eight hexadecimal digits, also part of the names of what it makes in a cloud.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(String);

impl JobId {
    /// A new id.
    pub fn random() -> Self {
        let mut uuid = random_uuid();
        uuid.truncate(8);
        Self(uuid)
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One image to build for one cloud (seed `builder`: `BuildConfig`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildConfig {
    /// The Ubuntu base to build on.
    pub base: BaseImage,
    /// The machine architecture to build for.
    pub arch: Arch,
    /// The cloud, by its name in clouds.yaml, that gets the image.
    pub cloud_name: CloudName,
}

impl BuildConfig {
    /// The target.
    pub fn target(&self) -> Target {
        Target { base: self.base, arch: self.arch }
    }
}

/// An image that exists, is active, and was checked (seed `builder`: `BuildResult`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildResult {
    /// What it was built for.
    pub config: BuildConfig,
    /// Its id in that cloud.
    pub id: ImageId,
}

/// Which runner goes into the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunnerSource {
    /// The version without its `v`; the recipe's when absent, and where it names none the latest release.
    pub version: Option<String>,
    /// Where releases lie: `{source}/{owner}/{repository}/releases/download/...`.
    pub source: String,
    /// The root of GitHub's REST API.
    pub api_url: String,
    /// Whose runners the token may manage: it is asked until when their versions are accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<GithubScope>,
}

/// Where Ubuntu's cloud images come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseImageSource {
    /// The root of a cloud-image tree: `{source}/{codename}/current/`.
    pub url: String,
    /// The keyring file that holds the key of SHA256SUMS' signature.
    pub keyring: String,
    /// The bases that are built on the release of a date and not on the newest: `{source}/{codename}/{date}/`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pins: BTreeMap<BaseImage, ReleaseDate>,
}

/// Where Ubuntu's security pockets are looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityMirror {
    /// The archive mirror; when absent that of the builder VM, and where it has none, Ubuntu's own.
    pub url: Option<String>,
    /// The keyring file that holds the key of its lists.
    pub keyring: String,
}

/// The keyring of Ubuntu's archive, from the package `ubuntu-keyring`.
const ARCHIVE_KEYRING: &str = "/usr/share/keyrings/ubuntu-archive-keyring.gpg";

impl Default for SecurityMirror {
    fn default() -> Self {
        Self { url: None, keyring: ARCHIVE_KEYRING.to_owned() }
    }
}

impl SecurityMirror {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// How the builder VM is set up and reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuilderVm {
    /// The flavor's name; the smallest that is large enough when absent.
    pub flavor: Option<String>,
    /// The network's name; the first that has a subnet when absent.
    pub network: Option<String>,
    /// The addresses that may reach the VM's ssh port, as a CIDR.
    pub ssh_ingress: String,
    /// Further options of the ssh client, `Name=value` each.
    pub ssh_options: Vec<String>,
    /// How long it may take from its launch until ssh answers, in seconds.
    pub boot_timeout_s: u32,
    /// An Ubuntu archive mirror to use while building.
    pub apt_mirror: Option<String>,
}

/// The configuration of one run of the builder (seed `builder`: `BuilderRunConfig`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuilderRunConfig {
    /// Whose images these are.
    pub owner: Owner,
    /// The images to build, in the operator's order: bases first, then architectures.
    pub targets: Vec<Target>,
    /// The cloud that builder VMs run in.
    pub build_cloud: CloudName,
    /// The clouds that get each image.
    pub clouds: Vec<CloudName>,
    /// Where they are built.
    #[serde(default)]
    pub build_mode: BuildMode,
    /// How the clouds get it.
    #[serde(default, skip_serializing_if = "Delivery::is_auto")]
    pub delivery: Delivery,
    /// The format of what is uploaded.
    #[serde(default, skip_serializing_if = "ImageFormat::is_auto")]
    pub image_format: ImageFormat,
    /// Where base images come from.
    pub base_image: BaseImageSource,
    /// The builder VM.
    pub vm: BuilderVm,
    /// What goes into the images.
    pub recipe: Recipe,
    /// Where the runner, and the recipe's tools that are releases on GitHub, come from.
    pub runner: RunnerSource,
    /// The external script's URL.
    pub script_url: Option<String>,
    /// The secret, by its URI, that holds the script's variables: another one makes another image.
    pub script_secret: Option<String>,
    /// Whether an image must prove itself before it is delivered.
    pub verify_image: bool,
    /// How one that is built on this machine does.
    #[serde(default, skip_serializing_if = "LocalVerification::is_chroot")]
    pub verify_local_image: LocalVerification,
    /// Whether images of our names that nobody has labelled are taken over.
    pub adopt: bool,
    /// How many revisions of an image are kept in each cloud.
    pub revision_history_limit: u32,
    /// An image older than this many hours is built anew even when nothing changed.
    pub max_image_age_hours: u32,
    /// Whether builds may begin on prepared images.
    #[serde(default, skip_serializing_if = "PreparedImages::are_kept")]
    pub prepared_images: PreparedImages,
    /// What else makes one due when nothing changed.
    #[serde(default, skip_serializing_if = "RebuildOn::is_default")]
    pub rebuild_on: RebuildOn,
    /// Where fixes are looked for.
    #[serde(default, skip_serializing_if = "SecurityMirror::is_default")]
    pub security_mirror: SecurityMirror,
}

/// The longest that a prepared image is built on.
const PREPARED_AGE: Duration = Duration::from_secs(24 * 3600);

impl BuilderRunConfig {
    /// Whether the build project keeps prepared images. Of builds on the unit, the unit does.
    pub fn keeps_prepared_images(&self) -> bool {
        self.prepared_images == PreparedImages::Kept && self.build_mode == BuildMode::External
    }

    /// How old a prepared image may be that is built on: what is built anew because it has grown old begins on the base image.
    pub fn prepared_image_age(&self) -> Duration {
        PREPARED_AGE.min(Duration::from_secs(u64::from(self.max_image_age_hours) * 1800))
    }

    /// Whether a new image takes a VM in the build project: to be built in, or to be verified.
    pub fn launches_vms(&self) -> bool {
        match self.build_mode {
            BuildMode::External => true,
            BuildMode::Local => self.verify_image && self.verify_local_image == LocalVerification::Vm,
        }
    }

    /// A digest of all of it: two configurations with the same digest ask for the same.
    pub fn digest(&self) -> String {
        // A struct of strings and numbers always serialises.
        hex(&Sha256::digest(serde_json::to_vec(self).unwrap_or_default()))
    }

    /// How old an image may be that is made of the same as a new one; any age where that does not count.
    pub fn max_image_age(&self) -> Duration {
        if self.rebuild_on.age() { self.max_unknown_age() } else { Duration::MAX }
    }

    /// The same for an image of which it is not known what is in it: no fix would make a new one due.
    pub fn max_unknown_age(&self) -> Duration {
        Duration::from_secs(u64::from(self.max_image_age_hours) * 3600)
    }

    /// The URL of the suite with the fixes of `base` for packages of `architecture`, in Debian's word. By default it is where
    /// Ubuntu's images look.
    pub fn security_pocket(&self, base: BaseImage, architecture: &str) -> String {
        let configured = self.security_mirror.url.as_deref().or(self.vm.apt_mirror.as_deref());
        let mirror = configured.unwrap_or(match architecture {
            "amd64" | "i386" => "http://security.ubuntu.com/ubuntu",
            _ => "http://ports.ubuntu.com/ubuntu-ports",
        });
        format!("{}/dists/{base}-security", mirror.trim_end_matches('/'))
    }

    /// What a failure of one target in one project is noted with: a digest of the settings, of which other targets and other
    /// projects are no part; and the digest of all of it, with which earlier versions noted it.
    pub fn failure_digests(&self) -> [String; 2] {
        let settings = Self { targets: Vec::new(), clouds: Vec::new(), ..self.clone() };
        [settings.digest(), self.digest()]
    }
}

/// The secrets of one run. They live in memory, in pipes, and for a moment in a 0600 file on a tmpfs.
#[derive(Clone, Debug, Default)]
pub struct BuildSecrets {
    /// The external script's variables.
    pub script: BTreeMap<String, Secret<String>>,
    /// The token for GitHub's releases.
    pub github_token: Option<Secret<String>>,
    /// The private key that provenance is signed with, as PEM. A build does without it.
    pub signing_key: Option<Secret<String>>,
    /// The proxies of the model.
    pub proxies: ProxyConfig,
}

impl BuildSecrets {
    /// Whether there is nothing that a build needs.
    pub fn is_empty(&self) -> bool {
        self.script.is_empty()
            && self.github_token.is_none()
            && self.proxies.http.is_none()
            && self.proxies.https.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::run_config;

    #[test]
    fn only_a_local_build_that_is_not_booted_needs_no_vm() {
        let config = |build_mode, verify_image, verify_local_image| {
            BuilderRunConfig { build_mode, verify_image, verify_local_image, ..run_config() }.launches_vms()
        };
        use {BuildMode::*, LocalVerification::*};
        assert!(config(External, false, Chroot) && config(Local, true, Vm));
        assert!(!config(Local, true, Chroot) && !config(Local, false, Vm));
    }

    #[test]
    fn an_earlier_version_reads_what_asks_for_nothing_new() {
        let text = serde_json::to_string(&run_config()).unwrap();
        assert!(!text.contains("verify_local_image"), "{text}");
    }
}
