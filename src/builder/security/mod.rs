//! The look for security fixes: which packages of images have a newer version in the security pocket of the archive, and for
//! which of them an image is due. A mirror in trouble is told of once, and fails no build.

mod packages;
mod pocket;
mod release;

use std::collections::BTreeMap;
use std::time::Duration;

use self::pocket::{Pocket, PocketError, Wanted};
use crate::host::Host;
use crate::http::HttpClient;
use crate::model::{BaseImage, Deadline};
use crate::record::{
    BuilderRunConfig, DueFix, Journal, Manifest, RecordError, Revision, SecurityFixes, SecurityPocket,
    Upstream, first_few, list_of,
};

/// How long all pockets may take.
const LIMIT: Duration = Duration::from_secs(300);

/// Looks, and notes what there is: in the record of fixes, and for hooks in that of upstream.
pub fn look(host: &Host, http: &HttpClient, config: &BuilderRunConfig) -> Result<(), RecordError> {
    if !config.rebuild_on.security() {
        return Upstream::change(host, |known| known.fixes.clear());
    }
    let journal = Journal::load_told(host)?;
    let wanted = wanted(host, config, &journal)?;
    let deadline = Deadline::after(LIMIT);
    let before = SecurityFixes::load(host);
    let mut fixes = SecurityFixes::default();
    for ((url, base), wanted) in &wanted {
        let keyring = &config.security_mirror.keyring;
        let pocket = Pocket { host, http, url, base: *base, keyring, wanted };
        let known = before.pockets.get(url);
        let now = match pocket.refresh(known, deadline) {
            Ok(now) => {
                if known.is_some_and(|known| known.trouble.is_some()) {
                    log::info!("{url}: security fixes are known again");
                }
                now
            }
            Err(error) => in_trouble(&pocket, known, &error),
        };
        fixes.pockets.insert(url.clone(), now);
    }
    if fixes != before {
        fixes.save(host)?;
    }
    let due = due(host, config, &journal, &fixes)?;
    Upstream::change(host, |known| known.fixes = due)
}

/// A pocket that could not be looked at is as it was before; operators are told of each kind of trouble once.
fn in_trouble(pocket: &Pocket<'_>, known: Option<&SecurityPocket>, error: &PocketError) -> SecurityPocket {
    let known = known.filter(|known| known.keyring == pocket.keyring);
    let kind = error.kind().to_owned();
    if known.and_then(|known| known.trouble.as_ref()) == Some(&kind) {
        log::debug!("{error}");
    } else {
        log::warn!("{error}; until that is mended, no build starts for new security fixes");
    }
    let before = known.cloned().unwrap_or_else(|| SecurityPocket::new(pocket.keyring));
    SecurityPocket { trouble: Some(kind), ..before }
}

/// The packages of the images that relations are told, or would be told next, by pocket and architecture.
fn wanted(
    host: &Host,
    config: &BuilderRunConfig,
    journal: &Journal,
) -> Result<BTreeMap<(String, BaseImage), Wanted>, RecordError> {
    let mut wanted: BTreeMap<(String, BaseImage), Wanted> = BTreeMap::new();
    for build in builds(config, journal) {
        let Some(manifest) = Manifest::of(host, build)? else { continue };
        let base = manifest.target.base;
        for package in &manifest.inventory.packages {
            let architecture = list_of(&manifest, package);
            let pocket = (config.security_pocket(base, architecture), base);
            let packages = wanted.entry(pocket).or_default().entry(architecture.to_owned()).or_default();
            packages.names.insert(package.name.clone());
            packages.is_of_image |= architecture == manifest.target.arch.ubuntu();
        }
    }
    Ok(wanted)
}

/// The newest build of each target, and those that relations are told beside it.
fn builds<'j>(config: &'j BuilderRunConfig, journal: &'j Journal) -> impl Iterator<Item = &'j Revision> {
    let newest = config.targets.iter().filter_map(|target| journal.newest_build(*target));
    newest.chain(journal.told_builds(config))
}

/// For which targets an image is due, since their newest builds lack fixes that a new one may bring.
fn due(
    host: &Host,
    config: &BuilderRunConfig,
    journal: &Journal,
    fixes: &SecurityFixes,
) -> Result<Vec<DueFix>, RecordError> {
    let before = Upstream::load(host).fixes;
    let mut due = Vec::new();
    for target in &config.targets {
        let Some(build) = journal.newest_build(*target) else { continue };
        let lacking = fixes.due(host, config, build)?;
        let Some(appeared) = lacking.iter().filter_map(|fix| fix.due_since(build)).max() else { continue };
        let fix = DueFix { target: *target, build: build.id.clone(), appeared };
        if !before.contains(&fix) {
            log::info!("{target}: build {} lacks security fixes: {}", build.id, first_few(&lacking));
        }
        due.push(fix);
    }
    Ok(due)
}
