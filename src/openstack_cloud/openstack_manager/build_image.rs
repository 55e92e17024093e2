//! A runner image from nothing to Glance: the application that GitHub offers, a disk image built on this machine, an upload
//! that takes the place of the one before.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use sha2::Sha512;

use super::instance_config::OS_VERSION;
use super::proxies::{ProxyConfig, ProxyStringValues};
use super::templates::{MachineFile, TemplateError, docker_files};
use super::{BUILD_OPENSTACK_IMAGE_SCRIPT_FILENAME, IMAGE_NAME, IMAGE_PATH_TMPL};
use crate::github::{GithubClient, GithubError, GithubPath, RunnerApplication};
use crate::host::random_uuid;
use crate::http::HttpClient;
use crate::instance::RUNNER_USER;
use crate::model::{Arch, BaseImage, Cause, Classified, Deadline, Digesting, Metered, Target};
use crate::openstack_cloud::{
    Cloud, CloudConfig, Deletion, Image, ImageFilter, ImageId, ImageStatus, Images, NewImage, NotAnId,
    OpenStackError,
};

/// What is to be built (seed `openstack_manager`: `BuildImageConfig`).
#[derive(Clone, Debug)]
pub struct BuildImageConfig {
    /// The architecture of the image.
    pub arch: Arch,
    /// The Ubuntu release that it is built on.
    pub base_image: BaseImage,
    /// The proxies through which docker in the image reaches the web.
    pub proxies: Option<ProxyConfig>,
}

/// There is no new image (seed `openstack_manager`: `OpenstackImageBuildError`).
#[derive(Debug, thiserror::Error)]
pub enum OpenstackImageBuildError {
    /// A call of the cloud failed.
    #[error("building image {IMAGE_NAME}: {0}")]
    Cloud(#[from] OpenStackError),
    /// GitHub does not give the runner application.
    #[error("building image {IMAGE_NAME}: {0}")]
    Github(#[from] GithubError),
    /// It could not be built on this machine.
    #[error(
        "building image {IMAGE_NAME}: {problem}; {BUILD_OPENSTACK_IMAGE_SCRIPT_FILENAME} builds it on another machine"
    )]
    Build {
        /// Why.
        problem: String,
    },
    /// The proxies cannot be told to docker.
    #[error("building image {IMAGE_NAME}: {0}")]
    Proxies(#[from] TemplateError),
    /// What was built could not be read.
    #[error("building image {IMAGE_NAME}: reading {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Glance has other bytes than were sent.
    #[error(
        "building image {IMAGE_NAME}: the digest of {0} differs from that of the uploaded data; build it again"
    )]
    Different(ImageId),
    /// No id could be made up.
    #[error("building image {IMAGE_NAME}: {0}")]
    NoId(#[from] NotAnId),
    /// An image that is not complete could not be removed.
    #[error("building image {IMAGE_NAME}: {0}")]
    Delete(#[from] ImageDeleteError),
}

impl Classified for OpenstackImageBuildError {
    fn cause(&self) -> Cause {
        Cause::Other
    }
}

/// An image that is there could not be deleted (seed `openstack_manager`: `ImageDeleteError`).
#[derive(Debug, thiserror::Error)]
#[error("deleting image {id}: {problem}; delete it when it is no longer in use")]
pub struct ImageDeleteError {
    /// The image.
    pub id: ImageId,
    /// Why it stays.
    pub problem: String,
}

/// What builds disk images on this machine. This room knows clouds; who calls it knows machines.
pub trait DiskImageBuilder {
    /// Builds the image of `target` with this runner application and these files in it, as a qcow2 at `file`. Returns the
    /// disk that it needs in GiB, or what went wrong.
    fn build(
        &self,
        target: Target,
        runner: &RunnerApplication,
        files: &[MachineFile],
        file: &Path,
        deadline: Deadline,
    ) -> Result<u64, String>;
}

/// Where an image is built and how it is marked: what the seed's function has from its charm.
#[derive(Clone, Copy)]
pub struct BuildSite<'a> {
    /// The door to the web.
    pub http: &'a HttpClient,
    /// What builds it.
    pub builder: &'a dyn DiskImageBuilder,
    /// The folder that it is built into, before it is uploaded.
    pub folder: &'a Path,
    /// The labels of an image of this id that make it ours: those of a copy that somebody makes name another id.
    pub labels: &'a dyn Fn(&ImageId) -> BTreeMap<String, String>,
    /// When to give up.
    pub deadline: Deadline,
}

/// Builds an image and uploads it as [`IMAGE_NAME`] (seed `openstack_manager`: `build_image`). Once it is active it takes the
/// place of those of that name that are ours; an old one that something still uses stays, and that is logged. Nothing of
/// somebody else's is touched. What a build that was killed has left goes with the next one.
pub fn build_image(
    cloud_config: &CloudConfig,
    github_client: &GithubClient,
    path: &GithubPath,
    config: &BuildImageConfig,
    site: BuildSite<'_>,
) -> Result<ImageId, OpenstackImageBuildError> {
    let BuildSite { http, builder, folder, deadline, .. } = site;
    let target = Target { base: config.base_image, arch: config.arch };
    let cloud = Cloud::connect(cloud_config, http, deadline)?;
    for left in ours(&cloud, site)?.iter().filter(|image| image.status != ImageStatus::Active) {
        delete(&cloud.images(), &left.id, deadline)?;
    }
    let runner = github_client.runner_application(path, config.arch, deadline)?;
    let files = docker_files(&ProxyStringValues::from(config.proxies.as_ref()), RUNNER_USER)?;
    let file = folder.join(image_path(target));
    let built = builder.build(target, &runner, &files, &file, deadline);
    let uploaded = built
        .map_err(|problem| OpenstackImageBuildError::Build { problem })
        .and_then(|min_disk| upload(&cloud, target, &file, min_disk, site));
    let _ = std::fs::remove_file(&file);
    let id = uploaded?;
    // The new one is there, whatever becomes of the old ones.
    for old in ours(&cloud, site).unwrap_or_default().iter().filter(|image| image.id != id) {
        if let Err(error) = delete(&cloud.images(), &old.id, deadline) {
            log::warn!("{error}");
        }
    }
    Ok(id)
}

/// The name of the file that an image is built into.
fn image_path(target: Target) -> String {
    IMAGE_PATH_TMPL.replace("{base}", target.base.as_str()).replace("{architecture}", target.arch.as_str())
}

/// The images of this name, and for this target, that are ours by every label.
fn ours(cloud: &Cloud, site: BuildSite<'_>) -> Result<Vec<Image>, OpenStackError> {
    let project = cloud.project_id();
    let filter = ImageFilter {
        name: Some(IMAGE_NAME.to_owned()),
        owner: Some(project.clone()),
        ..ImageFilter::default()
    };
    let mut images = cloud.images().list(&filter, site.deadline)?;
    images.retain(|image| {
        let labels = (site.labels)(&image.id);
        image.name == IMAGE_NAME
            && image.owner.as_ref() == Some(&project)
            && labels.iter().all(|(name, value)| image.properties.get(name) == Some(value))
    });
    Ok(images)
}

fn delete(images: &Images<'_>, id: &ImageId, deadline: Deadline) -> Result<(), ImageDeleteError> {
    let problem = match images.delete(id, deadline) {
        Ok(Deletion::Deleted | Deletion::Absent) => return Ok(()),
        Ok(Deletion::InUse(why)) => why,
        Err(error) => error.to_string(),
    };
    Err(ImageDeleteError { id: id.clone(), problem })
}

fn upload(
    cloud: &Cloud,
    target: Target,
    path: &Path,
    min_disk: u64,
    site: BuildSite<'_>,
) -> Result<ImageId, OpenstackImageBuildError> {
    let unreadable = |source| OpenstackImageBuildError::File { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    let id: ImageId = random_uuid().parse()?;
    let mut properties = (site.labels)(&id);
    properties.insert("architecture".into(), target.arch.glance().into());
    properties.insert("os_distro".into(), "ubuntu".into());
    properties.insert(OS_VERSION.into(), target.base.version().into());
    let image = NewImage {
        id: Some(id.clone()),
        name: IMAGE_NAME.into(),
        disk_format: "qcow2".into(),
        container_format: "bare".into(),
        min_disk,
        min_ram: 0,
        properties,
    };
    let images = cloud.images();
    let send = || {
        images.create(&image, site.deadline)?;
        let file = Metered::new(file, "uploading the image", Some(size));
        let mut reader = Digesting::<_, Sha512>::new(file);
        images.upload(&id, Some(size), &mut reader, site.deadline)?;
        let there = images.wait_until_active(&id, site.deadline)?;
        let is_sha512 = there.hash_algorithm.as_deref() == Some("sha512");
        let sent = reader.hex();
        match there.hash {
            Some(stored) if is_sha512 && stored != sent => {
                Err(OpenstackImageBuildError::Different(id.clone()))
            }
            _ => Ok(id.clone()),
        }
    };
    let sent = send();
    if sent.is_err() {
        // What cannot be removed now goes with the next build.
        let _ = delete(&images, &id, site.deadline);
    }
    sent
}
