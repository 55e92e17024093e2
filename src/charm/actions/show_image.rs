//! What is inside of an image, and what differs between two. Read from the unit's records alone, so it may be asked at any time.

use std::fmt;

use serde::{Serialize, Serializer};

use super::answer::Results;
use super::levers::{self, LeverError};
use super::provenance::envelope;
use crate::charm::dispatch::{DispatchError, Unit};
use crate::host::Host;
use crate::model::{Target, Timestamp};
use crate::openstack_cloud::ImageId;
use crate::record::{
    BootTimes, Component, Difference, JobId, Journal, MANIFEST_PATH, Manifest, OpenFix, RecordError, Request,
    Revision, SecurityFixes,
};

/// An image cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum ShowError {
    /// No build is meant, or several are.
    #[error(transparent)]
    Lever(#[from] LeverError),
    /// Nothing is kept of a target.
    #[error("no build of {0} is kept; see list-images")]
    NoBuild(Target),
    /// There is nothing to compare it with.
    #[error("only one build of {0} is kept; name two builds (see list-images)")]
    OnlyOne(Target),
    /// The build before it is kept no more.
    #[error(
        "build {build} is the oldest of {target} that is kept; name the build to compare it with (list-images)"
    )]
    Oldest {
        /// The build.
        build: ImageId,
        /// What it was built for.
        target: Target,
    },
    /// Its manifest is not here.
    #[error("{}", missing(build, manifest.as_deref()))]
    NoManifest {
        /// The build.
        build: ImageId,
        /// The digest of its manifest, unless it was built without.
        manifest: Option<String>,
    },
    /// Nothing is known of its bytes.
    #[error(
        "the digest of build {0}, which its provenance requires, is not known yet; try again once the build has been delivered"
    )]
    Unread(ImageId),
    /// Nobody has signed where it comes from.
    #[error("the provenance of build {0} is not signed: {1}")]
    Unsigned(ImageId, String),
    /// A record could not be read.
    #[error(transparent)]
    Record(#[from] RecordError),
}

fn missing(build: &ImageId, manifest: Option<&str>) -> String {
    match manifest {
        Some(digest) => format!(
            "the manifest of build {build} is not on this unit: another unit has built it; run this on that unit, or read {MANIFEST_PATH} (SHA-256 {digest}) in an instance of the image"
        ),
        None => format!("the content of build {build} is not known: it was built before manifests were kept"),
    }
}

/// A build and its content; displays as a page of text, serialises as JSON.
#[derive(Debug, Serialize)]
pub struct ShownImage {
    /// Its id in the build project.
    pub build: ImageId,
    /// What it was built for, as `noble-x64`.
    #[serde(serialize_with = "as_text")]
    pub target: Target,
    /// When it was built.
    pub built: Timestamp,
    /// The job that built it.
    pub job: JobId,
    /// The SHA-512 of its bytes, once they were read.
    pub sha512: Option<String>,
    /// The number of its bytes, once they were read.
    pub size: Option<u64>,
    /// How long its machine took to boot when it was verified; absent of one that was not booted.
    pub boot: Option<BootTimes>,
    /// The SHA-256 of its manifest, as the image itself has it.
    pub manifest_sha256: String,
    /// The packages of which the security pocket has a newer version; none where that is not known.
    pub security_fixes: Option<Vec<OpenFix>>,
    /// The manifest.
    pub manifest: Manifest,
}

impl ShownImage {
    /// The build that `word` means: its id or that of a copy, the beginning of either, the SHA-512 of its bytes, or a target,
    /// of which it is the build that relations are told.
    pub fn load(host: &Host, word: &str) -> Result<Self, ShowError> {
        Self::of(host, find(&Journal::load_told(host)?, word)?)
    }

    fn of(host: &Host, build: &Revision) -> Result<Self, ShowError> {
        let manifest = build.contents.as_ref().and_then(|contents| contents.manifest.clone());
        let (Some(known), Some(digest)) = (Manifest::of(host, build)?, &manifest) else {
            return Err(ShowError::NoManifest { build: build.id.clone(), manifest });
        };
        let config = Request::load(host)?.map(|request| request.config);
        let config = config.filter(|config| config.rebuild_on.security());
        Ok(Self {
            security_fixes: config.and_then(|config| SecurityFixes::load(host).open(&config, &known)),
            build: build.id.clone(),
            target: build.target,
            built: build.built,
            job: build.job.clone(),
            sha512: build.proof.as_ref().map(|proof| proof.sha512.clone()),
            size: build.proof.as_ref().map(|proof| proof.size),
            boot: build.contents.as_ref().and_then(|contents| contents.boot.clone()),
            manifest_sha256: digest.clone(),
            manifest: known,
        })
    }
}

fn as_text<S: Serializer>(target: &Target, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(target)
}

/// Two builds and what differs in the second; displays as a page of text whose first line sums it up.
#[derive(Debug, Serialize)]
pub struct ImageDifference {
    /// The one that is compared with.
    pub before: Side,
    /// The other.
    pub after: Side,
    /// The difference in a line.
    pub summary: String,
    /// All of it.
    pub difference: Difference,
}

/// One of two builds.
#[derive(Debug, Serialize)]
pub struct Side {
    /// Its id in the build project.
    pub build: ImageId,
    /// What it was built for.
    pub target: String,
    /// When it was built.
    pub built: Timestamp,
}

impl ImageDifference {
    /// What differs between the builds that two words mean; of one, between the build before and it.
    pub fn load(host: &Host, first: &str, second: Option<&str>) -> Result<Self, ShowError> {
        let journal = Journal::load_told(host)?;
        let (before, after) = match second {
            Some(second) => (find(&journal, first)?, find(&journal, second)?),
            None => {
                let after = find(&journal, first)?;
                (journal.build_before(after).ok_or_else(|| alone(&journal, after))?, after)
            }
        };
        let (before, after) = (ShownImage::of(host, before)?, ShownImage::of(host, after)?);
        let difference = Difference::between(&before.manifest, &after.manifest);
        let side = |shown: ShownImage| {
            let target = shown.target.to_string();
            Side { build: shown.build, target, built: shown.built }
        };
        Ok(Self { before: side(before), after: side(after), summary: difference.to_string(), difference })
    }
}

/// Why there is no build before `build`.
fn alone(journal: &Journal, build: &Revision) -> ShowError {
    let (id, target) = (build.id.clone(), build.target);
    let mut others = journal.revisions.iter().filter(|other| other.target == target && other.id != id);
    match others.next() {
        Some(_) => ShowError::Oldest { build: id, target },
        None => ShowError::OnlyOne(target),
    }
}

/// The build that a word means, in a journal with the images that relations are told: of a target, the newest of those. While
/// none is told, the newest there is.
fn find<'a>(journal: &'a Journal, word: &str) -> Result<&'a Revision, ShowError> {
    if let Some(target) = Target::parse(word) {
        let is_told =
            |build: &Revision| journal.images.iter().any(|image| image.revision.as_ref() == Some(&build.id));
        let builds = journal.revisions.iter().filter(|build| build.target == target);
        return builds.max_by_key(|build| (is_told(build), build.built)).ok_or(ShowError::NoBuild(target));
    }
    let digest = word.strip_prefix("sha512:").unwrap_or(word);
    let has_bytes = |build: &&Revision| build.proof.as_ref().is_some_and(|proof| proof.sha512 == digest);
    match journal.revisions.iter().find(has_bytes) {
        Some(build) => Ok(build),
        None => Ok(levers::kept_build(journal, word)?),
    }
}

impl fmt::Display for ShownImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { build, target, built, job, sha512, size, boot, manifest_sha256, security_fixes, manifest } =
            self;
        let Manifest { base_image, runner, tools, recipe_sha256, script_sha256, inventory, .. } = manifest;
        let unknown = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".to_owned());
        writeln!(f, "build {build} of {target}, built {built} by job {job}")?;
        if let (Some(sha512), Some(size)) = (sha512, size) {
            writeln!(f, "image: {} MiB, sha512:{sha512}", size.div_ceil(1 << 20))?;
        }
        boot.iter().try_for_each(|times| writeln!(f, "boot: {times}"))?;
        writeln!(f, "manifest: sha256:{manifest_sha256}, {MANIFEST_PATH} in the image")?;
        match security_fixes.as_deref() {
            Some([]) => writeln!(f, "security fixes: has all")?,
            Some(lacking) => {
                writeln!(f, "security fixes: lacks {}", lacking.len())?;
                lacking.iter().try_for_each(|fix| writeln!(f, "  {fix}"))?;
            }
            None => writeln!(f, "security fixes: not known")?,
        }
        let serial = unknown(&inventory.base_serial);
        writeln!(
            f,
            "base image: serial {serial}, signed {}, sha256:{}",
            base_image.signed, base_image.sha256
        )?;
        writeln!(f, "kernel: {}", unknown(&inventory.kernel))?;
        writeln!(f, "recipe: sha256:{recipe_sha256}")?;
        script_sha256.iter().try_for_each(|digest| writeln!(f, "script: sha256:{digest}"))?;
        writeln!(f, "runner: {} sha256:{}", runner.version, runner.sha256)?;
        for Component { path, version, sha256 } in tools {
            writeln!(f, "tool: {path} {version} sha256:{sha256}")?;
        }
        for snap in &inventory.snaps {
            let channel = snap.channel.as_ref().map_or(String::new(), |channel| format!(" {channel}"));
            writeln!(f, "snap: {} {}{channel}", snap.name, snap.release())?;
        }
        inventory.npm.iter().try_for_each(|npm| writeln!(f, "npm: {} {}", npm.name, npm.version))?;
        writeln!(f, "packages: {}", inventory.packages.len())?;
        let mut packages = inventory.packages.iter();
        packages.try_for_each(|package| writeln!(f, "  {} {}", package.name, package.version))
    }
}

impl fmt::Display for ImageDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { before, after, summary, difference } = self;
        writeln!(f, "{summary}")?;
        for (word, Side { build, target, built }) in [("from", before), ("to", after)] {
            writeln!(f, "{word} build {build} of {target}, built {built}")?;
        }
        difference.lines().iter().try_for_each(|line| writeln!(f, "  {line}"))
    }
}

impl Unit<'_> {
    /// Shows what is inside of an image.
    pub(in crate::charm) fn show_image(&self) -> Result<(), DispatchError> {
        let parameters = self.tools.action_get()?;
        let word = parameters.get("image").and_then(|word| word.as_str()).unwrap_or_default().trim();
        let shown = ShownImage::load(self.host, word);
        if parameters.get("format").and_then(|format| format.as_str()) == Some("dsse") {
            return self.reply(shown.and_then(|shown| {
                let signed = serde_json::to_string(&envelope(self.host, &shown)?).unwrap_or_default();
                Ok((vec![("dsse", signed)], format!("show-image {} --format dsse", shown.build)))
            }));
        }
        self.reply(shown.map(|shown| {
            let command = format!("show-image {} --format json", shown.build);
            (both(&shown), command)
        }))
    }

    /// Shows what differs between two images.
    pub(in crate::charm) fn diff_images(&self) -> Result<(), DispatchError> {
        let parameters = self.tools.action_get()?;
        let word =
            |name: &str| parameters.get(name).and_then(|word| word.as_str()).unwrap_or_default().trim();
        let second = Some(word("with")).filter(|word| !word.is_empty());
        let (first, second) = second.map_or((word("image"), None), |with| (with, Some(word("image"))));
        self.reply(ImageDifference::load(self.host, first, second).map(|shown| {
            let command = format!("diff-images {} {} --format json", shown.before.build, shown.after.build);
            (both(&shown), command)
        }))
    }

    /// Returns what is shown, or why it cannot be.
    fn reply(&self, shown: Result<(Results, String), ShowError>) -> Result<(), DispatchError> {
        match shown {
            Ok((results, command)) => self.answer(results, &command),
            Err(ShowError::Record(error)) => Err(error.into()),
            Err(refusal) => Ok(self.tools.action_fail(&format!("{refusal}."))?),
        }
    }
}

/// For people and for programs.
fn both<T: fmt::Display + Serialize>(shown: &T) -> Results {
    // Plain data always serialises.
    vec![("json", serde_json::to_string(shown).unwrap_or_default()), ("text", shown.to_string())]
}
