//! The security fixes that the images lack which relations are told.

use std::collections::BTreeMap;

use super::family::{Family, Text, gauge};
use crate::host::Host;
use crate::record::{BuilderRunConfig, Journal, Manifest, RecordError, SecurityFixes};

pub(super) const FIXES_OPEN: Family = gauge(
    "security_fixes_open",
    &["target"],
    "The packages in a target's published image of which the security pocket has a newer version; no sample while that is not \
     known, or rebuild-on has no `security`.",
);
pub(super) const FIXES_CHECKED: Family = gauge(
    "security_fixes_checked_timestamp_seconds",
    &["target"],
    "When the security pocket of a target was last looked at with success; no sample before the first time.",
);

/// Of several published images of a target, the one that lacks most counts.
pub(super) fn fixes(
    text: &mut Text,
    host: &Host,
    config: Option<&BuilderRunConfig>,
) -> Result<(), RecordError> {
    let (journal, fixes) = (Journal::load_told(host)?, SecurityFixes::load(host));
    let config = config.filter(|config| config.rebuild_on.security());
    let mut open: BTreeMap<String, u64> = BTreeMap::new();
    let mut checked = BTreeMap::new();
    if let Some(config) = config {
        for target in &config.targets {
            let at = fixes.confirmed(config, *target);
            checked.extend(at.map(|at| (target.to_string(), at.0)));
        }
        for build in journal.told_builds(config) {
            let Some(manifest) = Manifest::of(host, build)? else { continue };
            let Some(lacking) = fixes.open(config, &manifest) else { continue };
            let count = u64::try_from(lacking.len()).unwrap_or(u64::MAX);
            let known = open.entry(build.target.to_string()).or_default();
            *known = count.max(*known);
        }
    }
    text.samples(&FIXES_OPEN, open.into_iter().map(|(target, count)| ([target], count)));
    text.samples(&FIXES_CHECKED, checked.into_iter().map(|(target, at)| ([target], at)));
    Ok(())
}
