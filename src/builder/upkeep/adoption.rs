//! Images that the Python charm has left: taken over when the operator says so (option `adopt`). They have no labels,
//! only the names that ours have too. The newest is told to its own project at once, until the first build is there.

use std::time::Duration;

use crate::builder::clouds::clouds_yaml::read_clouds_yaml;
use crate::builder::clouds::connect::{http_client, in_each};
use crate::builder::clouds::latest::published;
use crate::builder::ownership::labels;
use crate::host::Host;
use crate::model::{Deadline, Target, Timestamp};
use crate::openstack_cloud::{Cloud, Image as CloudImage, ImageFilter, OpenStackError};
use crate::record::{
    BuildConfig, BuildResult, BuildSecrets, BuilderRunConfig, CloudName, Image, JobId, Known, Progress,
};

/// How long all of it may take: all projects are visited side by side, and no build waits for it.
const LIMIT: Duration = Duration::from_secs(180);

/// Who takes over, and what is known already.
pub struct Adoption<'a> {
    /// The machine that we run on.
    pub host: &'a Host,
    /// The job.
    pub job: &'a JobId,
    /// The secrets of the run.
    pub secrets: &'a BuildSecrets,
    /// What earlier jobs have delivered.
    pub known: &'a Known,
    /// Who hears of it.
    pub progress: &'a dyn Progress,
}

/// Takes over the images of all targets in the related projects, and tells each project of the newest that it has while
/// no other image is known there. What fails is tried again with the next job.
pub fn adopt(adoption: &Adoption<'_>, config: &BuilderRunConfig) {
    let Adoption { host, secrets, known: delivered, progress, .. } = *adoption;
    let (Ok(http), Ok(known)) = (http_client(secrets), read_clouds_yaml(host)) else { return };
    let names: Vec<&CloudName> = config.clouds.iter().collect();
    let deadline = Deadline::after(LIMIT);
    in_each(&known, &names, &http, deadline, |name, connection| {
        let cloud = match connection {
            Ok(cloud) => cloud,
            Err(error) => return log::warn!("taking over images in {name}: {error}"),
        };
        for target in &config.targets {
            match adopt_in(&cloud, adoption.job, config, *target, deadline) {
                Ok(Some(newest)) if delivered.image(*target, name).is_none() => {
                    progress.adopted(image_of(newest, *target, name));
                }
                Ok(_) => (),
                Err(error) => log::warn!("taking over images of {target} in {name}: {error}"),
            }
        }
    });
}

/// Labels the images of `target` in the cloud's project that have our name for them and nobody's label: from now on
/// they are revisions like our own. Returns the newest image there.
fn adopt_in(
    cloud: &Cloud,
    job: &JobId,
    config: &BuilderRunConfig,
    target: Target,
    deadline: Deadline,
) -> Result<Option<CloudImage>, OpenStackError> {
    let owner = &config.owner;
    let filter = ImageFilter {
        name: Some(crate::model::image_name(&owner.application, target)),
        owner: Some(cloud.project_id()),
        ..ImageFilter::default()
    };
    let mut found = cloud.images().list(&filter, deadline)?;
    found.retain(|image| image.owner.as_ref() == Some(&cloud.project_id()) && labels::may_be_adopted(image));
    let adopts = |image: &CloudImage| {
        log::info!("taking over image {} ({})", image.name, image.id);
        let labels = labels::adopt(owner, job, image);
        let adopted = cloud.images().update(&image.id, &labels, deadline);
        adopted
            .inspect_err(|error| log::warn!("image {} ({}) is not taken over: {error}", image.name, image.id))
            .is_ok()
    };
    found.retain(adopts);
    // Those of an earlier job, too: it may have ended before it told of them.
    found.extend(published(cloud, owner, target, deadline)?);
    // Of one second, the first that Glance lists.
    found.sort_by(|one, other| other.created_at.cmp(&one.created_at));
    Ok(found.into_iter().next())
}

/// An image of which nothing is known but what its own Glance says.
fn image_of(found: CloudImage, target: Target, cloud: &CloudName) -> Image {
    let config = BuildConfig { base: target.base, arch: target.arch, cloud_name: cloud.clone() };
    Image {
        result: BuildResult { config, id: found.id },
        fingerprint: String::new(),
        hash: found.hash,
        revision: None,
        built: Timestamp::of_rfc3339(&found.created_at).unwrap_or(Timestamp(0)),
    }
}
