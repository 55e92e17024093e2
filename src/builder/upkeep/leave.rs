//! Clouds that are not used any more: what is ours there goes, with the credentials that clouds.yaml still has. What
//! cannot be removed holds up no build; it is noted, and tried again.

use std::time::Duration;

use super::sweep::{Keep, sweep_cloud, sweep_copies};
use crate::builder::clouds::clouds_yaml::read_clouds_yaml;
use crate::builder::clouds::connect::{ConnectError, in_each};
use crate::builder::clouds::names::is_same_project;
use crate::host::Host;
use crate::http::HttpClient;
use crate::model::{Deadline, redacted};
use crate::openstack_cloud::Cloud;
use crate::record::{BuilderRunConfig, CloudName, JobId, Orphans, Progress, Told, Work};

/// How long all of them may take: a build waits for it.
const LIMIT: Duration = Duration::from_secs(120);
/// How long a cloud may take to accept us.
const CONNECT_LIMIT: Duration = Duration::from_secs(30);

/// Removes what is left in the clouds that `config` does not use any more: in those of `former`, which may hold something,
/// that `concerns` names. `build_cloud` is the one that it does use: before it has answered nothing is left for it, a name
/// with a typing error above all.
pub fn leave_clouds(
    host: &Host,
    former: &[Orphans],
    (job, progress): (&JobId, &dyn Progress),
    config: &BuilderRunConfig,
    http: &HttpClient,
    build_cloud: &Cloud,
    concerns: &dyn Fn(&CloudName) -> bool,
) {
    let former: Vec<&Orphans> = former.iter().filter(|former| concerns(&former.cloud)).collect();
    if former.is_empty() {
        return;
    }
    let (known, told) = match (read_clouds_yaml(host), Told::load(host)) {
        (Ok(known), Ok(told)) => (known, told),
        (Err(error), _) => return log::warn!("{error}"),
        (_, Err(error)) => return log::warn!("{error}"),
    };
    let current = known.get(&config.build_cloud);
    let is_current =
        |name: &CloudName| current.zip(known.get(name)).is_some_and(|(a, b)| is_same_project(a, b));
    // What is ours in a project that is still built in, as another user or under another address, is found there.
    let (same, former): (Vec<&Orphans>, Vec<&Orphans>) =
        former.into_iter().partition(|orphans| is_current(&orphans.cloud));
    same.iter().for_each(|orphans| progress.has_left(&orphans.cloud));
    let names: Vec<&CloudName> = former.iter().map(|orphans| &orphans.cloud).collect();
    let deadline = Deadline::after(LIMIT);
    in_each(&known, &names, http, deadline.at_most(CONNECT_LIMIT), |name, connection| {
        let work = former.iter().find(|orphans| orphans.cloud == *name).map(|orphans| orphans.work);
        let left = connection.map(|cloud| {
            if cloud.is_same_project(build_cloud) {
                return Vec::new();
            }
            log::info!("{name} is no longer used: deleting what is left there");
            match work {
                Some(Work::Deliveries) => sweep_copies(&cloud, &config.owner, Keep::OfJob(job), deadline),
                Some(Work::Builds) | None => {
                    sweep_cloud(&cloud, &config.owner, Keep::OfJob(job), &told, deadline)
                }
            }
        });
        tell(progress, name, left);
    });
}

fn tell(progress: &dyn Progress, name: &CloudName, left: Result<Vec<String>, ConnectError>) {
    match left {
        Ok(left) if left.is_empty() => {
            log::info!("nothing is left in {name}, which is no longer used");
            progress.has_left(name);
        }
        Ok(left) => {
            log::warn!("left in {name}, which is no longer used: {}", left.join("; "));
            progress.could_not_leave(name, Some(left), None);
        }
        Err(error) => {
            let why = redacted(&error.to_string());
            log::warn!("{name}, which is no longer used, could not be searched: {why}");
            progress.could_not_leave(name, None, Some(why));
        }
    }
}
