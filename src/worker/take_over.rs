//! Images that the leader has announced, looked at with our own eyes before any relation names them: there, active, the
//! application's own, and of the announced bytes.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::builder::ownership::labels;
use crate::builder::{http_client, in_each, read_clouds_yaml};
use crate::host::Host;
use crate::model::{Cause, Classified, Deadline, Target};
use crate::openstack_cloud::{Cloud, OpenStackError};
use crate::record::{BuildSecrets, CloudName, Comparison, Failure, Image, Owner, Progress, Revision};

/// How long one cloud may take.
const LIMIT: Duration = Duration::from_secs(300);

/// An announced image cannot be taken over.
#[derive(Debug, thiserror::Error)]
enum TakeOverError {
    /// The cloud did not tell.
    #[error(transparent)]
    Cloud(#[from] OpenStackError),
    /// It is not what the leader says.
    #[error("checking announced image {id}: {problem}; the last image stays published")]
    Refused {
        /// The image.
        id: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl Classified for TakeOverError {
    fn cause(&self) -> Cause {
        match self {
            Self::Cloud(error) => error.cause(),
            Self::Refused { .. } => Cause::Image,
        }
    }

    fn summary(&self) -> String {
        match self {
            Self::Cloud(error) => error.summary(),
            Self::Refused { id, problem } => {
                format!("{problem} (image {id}); the last image stays published")
            }
        }
    }
}

/// What the leader has announced.
pub struct Announced<'a> {
    /// Whose images they are.
    pub owner: &'a Owner,
    /// The images that this unit is to check.
    pub images: &'a [Image],
    /// The builds that they are copies of.
    pub revisions: &'a [Revision],
}

/// Checks each of the announced images in its cloud and tells `progress` of those that are good. Returns what went wrong.
pub fn take_over(
    host: &Host,
    secrets: &BuildSecrets,
    announced: &Announced<'_>,
    progress: &dyn Progress,
) -> Vec<Failure> {
    let (http, clouds) = match (http_client(secrets), read_clouds_yaml(host)) {
        (Ok(http), Ok(clouds)) => (http, clouds),
        (Err(refused), _) => return vec![refused],
        (_, Err(error)) => return vec![Failure::of(&error, false)],
    };
    let mut by_cloud: BTreeMap<&CloudName, Vec<&Image>> = BTreeMap::new();
    for image in announced.images {
        by_cloud.entry(&image.result.config.cloud_name).or_default().push(image);
    }
    // Of what is in a cloud whose relation has gone since nobody asks any more.
    by_cloud.retain(|name, _| clouds.contains_key(*name));
    let names: Vec<&CloudName> = by_cloud.keys().copied().collect();
    let deadline = Deadline::after(LIMIT);
    let failures = in_each(&clouds, &names, &http, deadline, |name, connection| {
        let failures = match connection {
            Ok(cloud) => in_cloud(&cloud, announced, &by_cloud[name], progress, deadline),
            Err(error) => vec![Failure::of(&error, error.operator_must_act())],
        };
        let of_it = failures.into_iter().map(|failure| Failure { cloud: Some(name.clone()), ..failure });
        of_it.inspect(|failure| log::warn!("{failure}")).collect::<Vec<_>>()
    });
    failures.into_iter().flatten().collect()
}

fn in_cloud(
    cloud: &Cloud,
    announced: &Announced<'_>,
    images: &[&Image],
    progress: &dyn Progress,
    deadline: Deadline,
) -> Vec<Failure> {
    let mut failures = Vec::new();
    for image in images {
        match check(cloud, announced, image, deadline) {
            Ok(revision) => {
                revision.iter().for_each(|revision| progress.revision(revision));
                progress.published((*image).clone());
            }
            Err(error) => {
                let place = &image.result.config;
                let target = Some(Target { base: place.base, arch: place.arch });
                failures.push(Failure { target, ..Failure::of(&error, false) });
            }
        }
    }
    failures
}

/// Returns the build that `image` is a copy of, if it is of a leader that keeps evidence.
fn check<'a>(
    cloud: &Cloud,
    announced: &Announced<'a>,
    image: &Image,
    deadline: Deadline,
) -> Result<Option<&'a Revision>, TakeOverError> {
    let found = cloud.images().get(&image.result.id, deadline)?;
    let refused = |problem| Err(TakeOverError::Refused { id: image.result.id.to_string(), problem });
    let Some(found) = found else { return refused("the image is not in its project") };
    let project = cloud.project_id();
    let Some(id) = &image.revision else {
        return match &found {
            found if !labels::is_published(announced.owner, &project.to_string(), found) => {
                refused("it is not an active image of this application")
            }
            found if found.hash != image.hash => refused(OTHER_BYTES),
            _ => Ok(None),
        };
    };
    let revision = announced.revisions.iter().find(|revision| revision.id == *id);
    let Some((revision, proof)) = revision.and_then(|revision| Some((revision, revision.proof.as_ref()?)))
    else {
        return refused("the leader announces no digest of it");
    };
    match proof.compare(&found) {
        Comparison::Different => refused(OTHER_BYTES),
        // The one image of this id is the leader's build, whoever may use it.
        _ if image.is_shared() && proof.holds(&found) => Ok(Some(revision)),
        _ if !proof.holds_for(&found, &project) => refused("it is not an active image of its project"),
        _ => Ok(Some(revision)),
    }
}

const OTHER_BYTES: &str = "its content differs from what the leader delivered";
