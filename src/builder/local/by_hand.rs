//! A build that nobody has asked the worker for: one image, as a file.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use super::{LocalBuild, Workshop};
use crate::builder::config::{BuildSecrets, BuilderRunConfig};
use crate::builder::connect::http_client;
use crate::builder::journal::{Failure, Phase};
use crate::builder::plan::{Ingredients, Planner};
use crate::builder::script;
use crate::deadline::Deadline;
use crate::host::Host;
use crate::target::Target;

/// How long it may take, all in all.
const LIMIT: Duration = Duration::from_secs(3 * 3600);

/// Builds the image of `target` on this machine and puts it at `file`, a qcow2. No cloud is asked for anything.
pub fn build_image_file(
    host: &Host,
    config: &BuilderRunConfig,
    secrets: &BuildSecrets,
    target: Target,
    file: &Path,
    progress: &dyn Fn(Phase),
) -> Result<(), Failure> {
    let deadline = Deadline::after(LIMIT);
    let workshop = Workshop::open(host)
        .and_then(|workshop| workshop.is_ready_for(target).map(|()| workshop))
        .map_err(|error| Failure::of(&error, error.operator_must_act()))?;
    progress(Phase::Checking);
    let http = http_client(secrets)?;
    let fetched = config.script_url.as_deref().map(|url| script::fetch(&http, url, deadline)).transpose();
    let script = fetched.map_err(|error| Failure::of(&error, error.operator_must_act()))?;
    let planner = Planner { host, http: &http, config, secrets, script: script.as_ref() };
    let Ingredients { base, offer, .. } = planner.ingredients(target, deadline)?;
    let build = LocalBuild { host, workshop: &workshop, http: &http, offer: &offer, base: &base, progress };
    let image = build.run(deadline).map_err(|error| Failure::of(&error, error.operator_must_act()))?;
    place(&image.path(), file)
        .map_err(|error| Failure::of(&format!("putting the image to {}: {error}", file.display()), true))
}

/// Moves `from` to `to`, which is whole or not there, also when it lies on another disk.
fn place(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            let beside = to.with_added_extension("part");
            fs::copy(from, &beside)?;
            fs::rename(&beside, to)
        }
        renamed => renamed,
    }
}
