//! Until when GitHub gives jobs to the runners of the images that relations are told.

use std::collections::BTreeMap;

use super::family::{Family, Text, gauge};
use crate::host::Host;
use crate::model::Timestamp;
use crate::record::{BuilderRunConfig, Image, Journal, RecordError, Upstream};

pub(super) const RUNNER_REFUSED: Family = gauge(
    "runner_refused_timestamp_seconds",
    &["target"],
    "When GitHub stops giving jobs to the runner of a target's published image; no sample while there is no newer runner.",
);

/// The earliest of each target.
pub(super) fn refusals(
    text: &mut Text,
    host: &Host,
    config: Option<&BuilderRunConfig>,
) -> Result<(), RecordError> {
    let (journal, upstream) = (Journal::load_told(host)?, Upstream::load(host));
    let is_wanted = |image: &&Image| {
        let cloud = &image.result.config.cloud_name;
        config.is_some_and(|config| config.targets.contains(&image.target()) && config.clouds.contains(cloud))
    };
    let mut earliest: BTreeMap<String, Timestamp> = BTreeMap::new();
    for image in journal.images.iter().filter(is_wanted) {
        let refused = journal.runner_of(image).and_then(|runner| upstream.runner_refused(runner));
        if let Some(at) = refused {
            let known = earliest.entry(image.target().to_string()).or_insert(at);
            *known = at.min(*known);
        }
    }
    text.samples(&RUNNER_REFUSED, earliest.into_iter().map(|(target, at)| ([target], at.0)));
    Ok(())
}
