//! `dispatch list-images`, `show-image`, `diff-images`, `show-public-key`, `history`, `pin`, `unpin` and `revoke`: what the actions of these names
//! do, for people on the unit; and `dispatch verify`, for people anywhere.
//! A decision is noted at once; Juju is asked for a hook that tells relations.

mod verify;

use std::fmt::Display;

use serde::Serialize;

pub use self::verify::{show_public_key, verify};
use super::CliError;
use super::arguments::{DiffImages, Format, Output, Pin, Revoke, ShowFormat, ShowImage, Unpin};
use crate::charm::{
    Force, ImageDifference, ImageList, LeverError, Past, ShownImage, Turn, envelope, levers, provenance,
    spdx, tell_juju,
};
use crate::host::Host;
use crate::record::Peers;

/// Prints the images that there are.
pub fn list_images(host: &Host, output: Output, say: &dyn Fn(&str)) -> Result<(), CliError> {
    let list = ImageList::load(host).map_err(failed)?;
    show(&list, &list.images, output, say)
}

/// Prints what is in a build.
pub fn show_image(host: &Host, words: &ShowImage, say: &dyn Fn(&str)) -> Result<(), CliError> {
    let shown = ShownImage::load(host, &words.image).map_err(failed)?;
    let json = Output { format: Format::Json };
    match words.format {
        ShowFormat::Text => show(&shown, &shown, Output { format: Format::Text }, say),
        ShowFormat::Json => show(&shown, &shown, json, say),
        ShowFormat::Spdx => show(&shown, &spdx(&shown), json, say),
        ShowFormat::Slsa => show(&shown, &provenance(&shown).map_err(failed)?, json, say),
        ShowFormat::Dsse => show(&shown, &envelope(host, &shown).map_err(failed)?, json, say),
    }
}

/// Prints what differs between two builds.
pub fn diff_images(host: &Host, words: &DiffImages, say: &dyn Fn(&str)) -> Result<(), CliError> {
    let difference = ImageDifference::load(host, &words.first, words.second.as_deref()).map_err(failed)?;
    show(&difference, &difference, words.output, say)
}

/// Prints what the last jobs were, and how each target stands in each project.
pub fn history(host: &Host, output: Output, say: &dyn Fn(&str)) -> Result<(), CliError> {
    let past = Past::load(host).map_err(failed)?;
    show(&past, &past, output, say)?;
    if output.format == Format::Text {
        past.outcome_lines().iter().for_each(|outcome| say(outcome));
    }
    Ok(())
}

/// Has relations told of one build whatever is newer.
pub fn pin(host: &Host, words: &Pin, say: &dyn Fn(&str)) -> Result<(), CliError> {
    let force = if words.force { Force::Yes } else { Force::No };
    decide(host, say, || {
        let build = levers::pin(host, &words.image, force)?;
        Ok(format!("{}: build {} is pinned", build.target, build.id))
    })
}

/// Has relations told of the newest builds again.
pub fn unpin(host: &Host, words: &Unpin, say: &dyn Fn(&str)) -> Result<(), CliError> {
    decide(host, say, || {
        let builds = levers::unpin(host, words.target)?;
        let lines =
            builds.iter().map(|build| format!("{}: build {} is no longer pinned", build.target, build.id));
        Ok(lines.collect::<Vec<_>>().join("\n"))
    })
}

/// Has no relation told of a build again.
pub fn revoke(host: &Host, words: &Revoke, say: &dyn Fn(&str)) -> Result<(), CliError> {
    decide(host, say, || {
        let (target, build) = levers::revoke(host, &words.image, &words.reason)?;
        Ok(format!("{target}: build {build} is revoked"))
    })
}

fn decide(
    host: &Host,
    say: &dyn Fn(&str),
    decision: impl FnOnce() -> Result<String, LeverError>,
) -> Result<(), CliError> {
    let turn = Turn::take(host).map_err(|error| {
        let remedy = if error.is_forbidden() { "; run it as root" } else { "" };
        CliError::Failed(format!("{error}{remedy}"))
    })?;
    if !Peers::load(host).map_err(failed)?.leads {
        return Err(CliError::Failed("this unit is not the leader; run it on the leader".into()));
    }
    decision().map_err(failed)?.lines().for_each(say);
    drop(turn);
    match tell_juju(host) {
        Ok(()) => {
            say("relation data is updated; `dispatch list-images` shows projects that still lack the image")
        }
        Err(error) => say(&format!(
            "the next hook updates the relation data; Juju could not be asked to run one now: {error}"
        )),
    }
    Ok(())
}

fn show<T: Serialize>(
    text: &impl Display,
    data: &T,
    output: Output,
    say: &dyn Fn(&str),
) -> Result<(), CliError> {
    match output.format {
        Format::Text => text.to_string().lines().for_each(say),
        Format::Json => say(&serde_json::to_string_pretty(data).map_err(failed)?),
    }
    Ok(())
}

fn failed(error: impl Display) -> CliError {
    CliError::Failed(error.to_string())
}
