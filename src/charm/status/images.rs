//! The images that relations are told: the only target by name, several as a count.

use super::text::age;
use super::trouble::open_failures;
use crate::charm::state::CharmState;
use crate::model::Target;
use crate::record::{CloudName, Image, Journal, Standing};

/// `noble-x64 3 h old`, `3 images current, oldest 5 h`, `14 of 16 images current`; none while relations are told none. An
/// image is current when its target does not fail in its project.
pub fn images(state: &CharmState, journal: &Journal) -> Option<String> {
    let (targets, clouds) = (&state.run.targets, &state.run.clouds);
    let wanted: Vec<(Target, &CloudName)> =
        targets.iter().flat_map(|target| clouds.iter().map(move |cloud| (*target, cloud))).collect();
    let told: Vec<&Image> =
        wanted.iter().filter_map(|(target, cloud)| journal.image(*target, cloud)).collect();
    let (oldest, newest) =
        (told.iter().map(|image| image.built).min()?, told.iter().map(|image| image.built).max()?);
    let pinned = targets.iter().filter(|target| journal.levers.pin_of(**target).is_some()).count();
    if let [target] = targets[..] {
        let projects = match told.len() {
            all if all == clouds.len() => String::new(),
            some => format!(" in {some} of {} projects", clouds.len()),
        };
        let pinned = if pinned > 0 { ", pinned" } else { "" };
        return Some(format!("{target} {} old{projects}{pinned}", age(newest.age())));
    }
    let pinned = if pinned > 0 { format!(", {pinned} pinned") } else { String::new() };
    let failing: Vec<&Standing> = open_failures(state, journal).map(|(standing, _)| standing).collect();
    let current = told.iter().filter(|image| !failing.iter().any(|of| concerns(of, image))).count();
    Some(match wanted.len() {
        all if all == current => format!("{all} images current, oldest {}{pinned}", age(oldest.age())),
        all => format!("{current} of {all} images current{pinned}"),
    })
}

fn concerns(standing: &Standing, image: &Image) -> bool {
    let cloud = &image.result.config.cloud_name;
    standing.target == Some(image.target()) && standing.cloud.as_ref().is_none_or(|of| of == cloud)
}
