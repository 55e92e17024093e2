//! Builds that nobody has asked the worker for: one image, as a file or right into a cloud.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::builder::clouds::connect::http_client;
use crate::builder::image::local::{LocalBuild, Workspace};
use crate::builder::ownership::labels;
use crate::builder::plan::{BuildInputs, Planner};
use crate::builder::{releases, script};
use crate::github::{GithubClient, GithubPath, RunnerApplication};
use crate::host::Host;
use crate::instance::{Recipe, RunnerTarball};
use crate::model::{Deadline, DiskFormat, Secret, Target};
use crate::openstack_cloud::openstack_manager::{
    BuildImageConfig, BuildSite, DiskImageBuilder, MachineFile, build_image,
};
use crate::openstack_cloud::{CloudConfig, ImageId};
use crate::record::{BuildSecrets, BuilderRunConfig, Failure, Phase};

/// How long it may take, all in all.
const LIMIT: Duration = Duration::from_secs(3 * 3600);

/// A build by hand on this machine.
pub struct ByHand<'a> {
    /// The machine that we run on.
    pub host: &'a Host,
    /// What goes into the image; nothing of it is about a cloud.
    pub config: &'a BuilderRunConfig,
    /// The secrets of the build.
    pub secrets: &'a BuildSecrets,
    /// Told of each phase.
    pub progress: &'a dyn Fn(Phase),
}

impl ByHand<'_> {
    /// Builds the image of `target` on this machine and puts it at `file`, a qcow2. No cloud is asked for anything.
    pub fn build_file(&self, target: Target, file: &Path) -> Result<(), Failure> {
        self.build_with(self.config, None, target, file, Deadline::after(LIMIT)).map(drop)
    }

    /// Builds the image of `target` with the runner application that GitHub offers to `path`, and uploads it to a cloud in
    /// the place of the one before.
    pub fn build_in_cloud(
        &self,
        cloud: &CloudConfig,
        token: Secret<String>,
        path: &GithubPath,
        target: Target,
    ) -> Result<ImageId, Failure> {
        let http = http_client(self.secrets)?;
        let github = GithubClient::anonymous(&http, &self.config.runner.api_url).with_token(token);
        let config = BuildImageConfig {
            arch: target.arch,
            base_image: target.base,
            proxies: Some(self.secrets.proxies.clone()),
        };
        let folder = self.host.state_dir();
        self.host.private_dir(&folder).map_err(|error| Failure::of(&error, false))?;
        let labels = |id: &ImageId| labels::of_image_by_hand(target, id);
        let deadline = Deadline::after(LIMIT);
        let site = BuildSite { http: &http, builder: self, folder: &folder, labels: &labels, deadline };
        build_image(cloud, &github, path, &config, site).map_err(|error| Failure::of(&error, true))
    }

    /// Returns the disk that the image needs, in GiB.
    fn build_with(
        &self,
        config: &BuilderRunConfig,
        runner: Option<&RunnerTarball>,
        target: Target,
        file: &Path,
        deadline: Deadline,
    ) -> Result<u64, Failure> {
        let Self { host, secrets, progress, .. } = *self;
        let target = target.supported().map_err(|error| Failure::of(&error, true))?;
        let workspace = Workspace::open(host)
            .and_then(|workspace| workspace.is_ready_for(target).map(|()| workspace))
            .map_err(|error| Failure::of(&error, error.operator_must_act()))?;
        progress(Phase::Checking);
        let http = http_client(secrets)?;
        let fetched = config.script_url.as_deref().map(|url| script::fetch(&http, url, deadline)).transpose();
        let script = fetched.map_err(|error| Failure::of(&error, error.operator_must_act()))?;
        let github = &releases::github(host, &http, &config.runner, secrets);
        let planner = Planner { host, http: &http, github, config, secrets, script: script.as_ref(), runner };
        let BuildInputs { base, offer, fingerprint } = &planner.inputs(target, deadline)?;
        let (workspace, http, verify) = (&workspace, &http, config.verify_image);
        let format = DiskFormat::Qcow2;
        let build = LocalBuild { host, workspace, http, offer, base, fingerprint, format, verify, progress };
        let image = build.run(deadline).map_err(|error| Failure::of(&error, error.operator_must_act()))?;
        let placed = place(&image.path(), file);
        placed.map_err(|error| {
            Failure::of(&format!("storing the image as {}: {error}", file.display()), true)
        })?;
        Ok(image.min_disk)
    }
}

impl DiskImageBuilder for ByHand<'_> {
    fn build(
        &self,
        target: Target,
        runner: &RunnerApplication,
        files: &[MachineFile],
        file: &Path,
        deadline: Deadline,
    ) -> Result<u64, String> {
        let tarball = tarball(runner, target).ok_or_else(|| {
            format!("GitHub offers {:?}, which names no version of the runner", runner.filename)
        })?;
        let mut config = self.config.clone();
        for file in files {
            add(&mut config.recipe, file).map_err(|error| format!("adding {}: {error}", file.path))?;
        }
        self.build_with(&config, Some(&tarball), target, file, deadline).map_err(|failure| failure.message)
    }
}

/// What GitHub offers, as a build wants it: the version stands in the file's name only.
fn tarball(runner: &RunnerApplication, target: Target) -> Option<RunnerTarball> {
    let version = runner.filename.strip_prefix(&format!("actions-runner-linux-{}-", target.arch))?;
    let version = version.strip_suffix(".tar.gz")?.to_owned();
    Some(RunnerTarball { version, url: runner.download_url.clone(), sha256: runner.sha256_checksum.clone()? })
}

/// Adds a file to a recipe, and gives its folder to those whose home it is in.
fn add(
    recipe: &mut Recipe,
    MachineFile { path, owner, mode, content }: &MachineFile,
) -> serde_json::Result<()> {
    let file = json!({"path": path, "owner": owner, "mode": mode, "content": content});
    recipe.files.push(serde_json::from_value(file)?);
    if let Some((folder, _)) = path.rsplit_once('/').filter(|(folder, _)| folder.starts_with("/home/")) {
        let command = json!({"run": format!("chown {owner}:{owner} {folder}")});
        recipe.commands.push(serde_json::from_value(command)?);
    }
    Ok(())
}

/// Moves `from` to `to`, which is whole or not there, also when it lies on another disk.
fn place(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            let beside = to.with_added_extension("part");
            fs::copy(from, &beside)?;
            fs::rename(&beside, to)
        }
        renamed => renamed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::DEFAULT_RECIPE;
    use crate::model::{Arch, BaseImage};

    #[test]
    fn the_application_that_github_offers_is_what_is_installed() {
        let target = Target { base: BaseImage::Noble, arch: Arch::X64 };
        let offer = |filename: &str| RunnerApplication {
            os: "linux".into(),
            architecture: "x64".into(),
            download_url: "https://d/x".into(),
            filename: filename.into(),
            sha256_checksum: Some("ab".into()),
        };
        let found = tarball(&offer("actions-runner-linux-x64-2.337.1.tar.gz"), target).unwrap();
        assert_eq!(
            (found.version.as_str(), found.url.as_str(), found.sha256.as_str()),
            ("2.337.1", "https://d/x", "ab")
        );
        assert!(tarball(&offer("actions-runner-linux-arm64-2.337.1.tar.gz"), target).is_none());
        assert!(tarball(&offer("runner.zip"), target).is_none());
    }

    #[test]
    fn files_for_docker_fit_into_a_recipe() {
        let mut recipe: Recipe = DEFAULT_RECIPE.parse().unwrap();
        let (files, commands) = (recipe.files.len(), recipe.commands.len());
        let of =
            |path, owner| MachineFile { path, owner, mode: "0600", content: "{\"a\": \"$(id)\"}".into() };
        add(&mut recipe, &of("/etc/systemd/system/docker.service.d/http-proxy.conf", "root")).unwrap();
        add(&mut recipe, &of("/home/ubuntu/.docker/config.json", "ubuntu")).unwrap();
        assert_eq!((recipe.files.len(), recipe.commands.len()), (files + 2, commands + 1));
        assert_eq!(recipe.files[files].content, "{\"a\": \"$(id)\"}");
        assert_eq!(recipe.commands[commands].run.as_str(), "chown ubuntu:ubuntu /home/ubuntu/.docker");
    }
}
