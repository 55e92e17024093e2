//! The images that relations are told: the only target by name, several as a count.

use super::text::age;
use super::trouble::open_failures;
use crate::charm::state::CharmState;
use crate::model::Target;
use crate::record::{CloudName, Image, Journal, Standing};

/// How much is told of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// All there is to tell.
    Whole,
    /// How many there are: what is wrong has to stand beside it. [`pinned`] says the rest.
    Count,
}

/// `noble-x64 3 h old`, `3 images current, oldest 5 h`, `14 of 16 images current`; none while relations are told none. An
/// image is current when its target does not fail in its project.
pub fn images(state: &CharmState, journal: &Journal, detail: Detail) -> Option<String> {
    let (targets, clouds) = (&state.run.targets, &state.run.clouds);
    let wanted: Vec<(Target, &CloudName)> =
        targets.iter().flat_map(|target| clouds.iter().map(move |cloud| (*target, cloud))).collect();
    let told: Vec<&Image> =
        wanted.iter().filter_map(|(target, cloud)| journal.image(*target, cloud)).collect();
    let (oldest, newest) =
        (told.iter().map(|image| image.built).min()?, told.iter().map(|image| image.built).max()?);
    let pinned = pinned(state, journal).filter(|_| detail == Detail::Whole);
    let pinned = pinned.map(|pinned| format!(", {pinned}")).unwrap_or_default();
    if let [target] = targets[..] {
        let age = age(newest.age());
        return Some(match (told.len(), clouds.len()) {
            (some, all) if some == all => format!("{target} {age} old{pinned}"),
            (some, all) if detail == Detail::Count => format!("{target} in {some} of {all} projects"),
            (some, all) => format!("{target} {age} old in {some} of {all} projects{pinned}"),
        });
    }
    let failing: Vec<&Standing> = open_failures(state, journal).map(|(standing, _)| standing).collect();
    let current = told.iter().filter(|image| !failing.iter().any(|of| concerns(of, image))).count();
    Some(match wanted.len() {
        all if all == current && detail == Detail::Count => format!("{all} images current"),
        all if all == current => format!("{all} images current, oldest {}{pinned}", age(oldest.age())),
        all => format!("{current} of {all} images current{pinned}"),
    })
}

/// `pinned`, or of several targets `2 pinned`; none while none is.
pub fn pinned(state: &CharmState, journal: &Journal) -> Option<String> {
    let is_pinned = |target: &&Target| journal.levers.pin_of(**target).is_some();
    match (state.run.targets.iter().filter(is_pinned).count(), state.run.targets.len()) {
        (0, _) => None,
        (_, 1) => Some("pinned".to_owned()),
        (count, _) => Some(format!("{count} pinned")),
    }
}

fn concerns(standing: &Standing, image: &Image) -> bool {
    let cloud = &image.result.config.cloud_name;
    standing.target == Some(image.target()) && standing.cloud.as_ref().is_none_or(|of| of == cloud)
}
