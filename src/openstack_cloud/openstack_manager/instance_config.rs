//! What a runner is to be, found before it is launched.

use crate::github::{GithubClient, GithubError, GithubPath};
use crate::host::random_uuid;
use crate::model::{BaseImage, Deadline, Secret};
use crate::openstack_cloud::Image;

/// The property of an image that says which release of Ubuntu it is made of, by Glance's own name for it.
pub const OS_VERSION: &str = "os_version";

/// How much of an application's name stands in a runner's: GitHub takes names of 64 characters.
const READABLE: usize = 32;

/// The configuration values for one runner (seed `openstack_manager`: `InstanceConfig`).
#[derive(Clone, Debug)]
pub struct InstanceConfig {
    /// The name of the server and of the runner.
    pub name: String,
    /// The labels by which jobs find the runner.
    pub labels: Vec<String>,
    /// The token with which it becomes one, good for an hour.
    pub registration_token: Secret<String>,
    /// Whose runner it is.
    pub github_path: GithubPath,
    /// The root of the pages of that GitHub, below which the runner finds its organisation or repository.
    pub github_url: String,
    /// What it boots from.
    pub openstack_image: Image,
}

/// Finds out what the next runner of a unit is to be (seed `openstack_manager`: `create_instance_config`): its name is
/// `APPLICATION-NUMBER-` and 24 hexadecimal digits, its labels are the application and the image's Ubuntu release.
pub fn create_instance_config(
    unit_name: &str,
    openstack_image: &Image,
    path: &GithubPath,
    github_client: &GithubClient,
    deadline: Deadline,
) -> Result<InstanceConfig, GithubError> {
    let (application, number) = unit_name.rsplit_once('/').unwrap_or((unit_name, "0"));
    let digits: String = random_uuid().chars().filter(|c| *c != '-').take(24).collect();
    let readable: String = application.chars().take(READABLE).collect();
    let base = base(openstack_image).map(|base| base.to_string());
    Ok(InstanceConfig {
        name: format!("{readable}-{number}-{digits}"),
        labels: std::iter::once(application.to_owned()).chain(base).collect(),
        registration_token: github_client.registration_token(path, deadline)?,
        github_path: path.clone(),
        github_url: github_client.web_url(),
        openstack_image: openstack_image.clone(),
    })
}

/// The release that an image says it is made of; of those from before they said so, their name's.
fn base(image: &Image) -> Option<BaseImage> {
    let told = image.properties.get(OS_VERSION).and_then(|version| BaseImage::parse(version));
    told.or_else(|| image.name.rsplit('-').nth(1).and_then(BaseImage::parse))
}
