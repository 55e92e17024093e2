//! Clouds that are not used any more: what is ours there goes, with the credentials that clouds.yaml still has. What
//! cannot be removed holds up no build; it is noted, and tried again.

use std::time::Duration;

use super::clouds_yaml::{is_same_project, read_clouds_yaml};
use super::config::{BuilderRunConfig, CloudName};
use super::connect::{ConnectError, in_each};
use super::leftovers::{Leftovers, Work};
use super::progress::Progress;
use super::sweep::{Keep, sweep_cloud, sweep_copies};
use crate::deadline::Deadline;
use crate::host::Host;
use crate::http::HttpClient;
use crate::openstack_cloud::Cloud;
use crate::secret::redacted;

/// How long all of them may take: a build waits for it.
const LIMIT: Duration = Duration::from_secs(120);
/// How long a cloud may take to accept us.
const CONNECT_LIMIT: Duration = Duration::from_secs(30);

/// Removes what is left in the clouds that `config` does not use any more. `build_cloud` is the one that it does use:
/// before it has answered nothing is left for it, a name with a typing error above all. `former` are the clouds that may
/// hold something.
pub fn leave_clouds(
    host: &Host,
    former: &[Leftovers],
    progress: &dyn Progress,
    config: &BuilderRunConfig,
    http: &HttpClient,
    build_cloud: &Cloud,
) {
    if former.is_empty() {
        return;
    }
    let known = match read_clouds_yaml(host) {
        Ok(known) => known,
        Err(error) => return log::warn!("{error}"),
    };
    let current = known.get(&config.build_cloud);
    let is_current =
        |name: &CloudName| current.zip(known.get(name)).is_some_and(|(a, b)| is_same_project(a, b));
    // What is ours in a project that is still built in, as another user or under another address, is found there.
    let (same, former): (Vec<&Leftovers>, Vec<&Leftovers>) =
        former.iter().partition(|leftovers| is_current(&leftovers.cloud));
    same.iter().for_each(|leftovers| progress.has_left(&leftovers.cloud));
    let names: Vec<&CloudName> = former.iter().map(|leftovers| &leftovers.cloud).collect();
    let deadline = Deadline::after(LIMIT);
    in_each(&known, &names, http, deadline.at_most(CONNECT_LIMIT), |name, connection| {
        let work = former.iter().find(|leftovers| leftovers.cloud == *name).map(|leftovers| leftovers.work);
        let left = connection.map(|cloud| {
            if cloud.is_same_project(build_cloud) {
                return Vec::new();
            }
            log::info!("{name} is not used any more: what is left there goes");
            match work {
                Some(Work::Deliveries) => sweep_copies(&cloud, &config.owner, Keep::Nothing, deadline),
                Some(Work::Builds) | None => sweep_cloud(&cloud, &config.owner, Keep::Nothing, deadline),
            }
        });
        tell(progress, name, left);
    });
}

fn tell(progress: &dyn Progress, name: &CloudName, left: Result<Vec<String>, ConnectError>) {
    match left {
        Ok(left) if left.is_empty() => {
            log::info!("nothing is left in {name}, which is not used any more");
            progress.has_left(name);
        }
        Ok(left) => {
            log::warn!("left in {name}, which is not used any more: {}", left.join("; "));
            progress.could_not_leave(name, Some(left), None);
        }
        Err(error) => {
            let why = redacted(&error.to_string());
            log::warn!("{name}, which is not used any more, could not be searched: {why}");
            progress.could_not_leave(name, None, Some(why));
        }
    }
}
