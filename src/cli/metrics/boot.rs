//! How long machines of the newest builds take to boot, and what that is compared with.

use super::family::{IMAGE_BOOT, IMAGE_BOOT_MEDIAN, Text};
use super::newest;
use crate::record::{Boots, Journal, Seconds};

/// The times of each target, in seconds.
pub(super) fn times(text: &mut Text, journal: &Journal, boots: &[Boots]) {
    let newest = newest(journal);
    let known =
        newest.iter().filter_map(|(target, build)| Some((target, build.contents.as_ref()?.boot.as_ref()?)));
    let times = known.flat_map(|(target, times)| {
        times.known().map(move |(phase, time)| ([target.clone(), phase.to_owned()], Seconds(time).exact()))
    });
    text.samples(&IMAGE_BOOT, times);
    let medians = boots.iter().filter_map(|boots| {
        let target = boots.target.to_string();
        let (median, _) = boots.median_before(&newest.get(&target)?.id)?;
        Some(([target], Seconds(median).exact()))
    });
    text.samples(&IMAGE_BOOT_MEDIAN, medians);
}
