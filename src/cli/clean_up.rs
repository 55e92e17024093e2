//! `dispatch clean-up`: what the action of this name does, for a person on the unit who need not wait for Juju.

use std::time::Duration;

use super::arguments::{CleanUp, Format};
use super::{CliError, secrets};
use crate::charm::{self, Followed, Turn, failures, follow, page};
use crate::host::Host;
use crate::model::Deadline;
use crate::record::{Found, Peers};

/// How long the search is followed.
const WAIT: Duration = Duration::from_secs(20 * 60);

/// Lists what nothing needs in the build project, and deletes what has one of the ids. The proxies are those of the
/// environment.
pub fn clean_up(host: &Host, words: &CleanUp, say: &dyn Fn(&str)) -> Result<(), CliError> {
    let refused = |text: &str| Err(CliError::Failed(text.to_owned()));
    let turn = Turn::take(host).map_err(|error| {
        let remedy = if error.is_forbidden() { "; run it as root" } else { "" };
        CliError::Failed(format!("{error}{remedy}"))
    })?;
    if !Peers::load(host).map_err(failed)?.leads {
        return refused("this unit is not the leader; run the command on the leader");
    }
    let asked = charm::clean_up(host, words.ids.clone(), &secrets(), turn).map_err(failed)?;
    let Some(job) = asked else {
        return refused(
            "a job runs or waits, or none has run yet; run it again when one has ended (`dispatch jobs`)",
        );
    };
    let is_text = words.output.format == Format::Text;
    let show = &mut |progress: &str| {
        if is_text {
            say(progress);
        }
        Ok(())
    };
    let followed = follow(host, &job, Deadline::after(WAIT), show).map_err(failed)?;
    let Followed::Ended(journal) = followed else {
        return refused(&format!("job {job} has not ended yet; `dispatch jobs` shows it"));
    };
    if let Some(failures) = failures(&journal) {
        return Err(CliError::Failed(failures));
    }
    let found = Found::load(host, &job).map_err(failed)?.map(|found| found.unneeded).unwrap_or_default();
    match words.output.format {
        Format::Text => page(&found).lines().for_each(say),
        Format::Json => say(&serde_json::to_string_pretty(&found).map_err(failed)?),
    }
    Ok(())
}

fn failed(error: impl std::error::Error) -> CliError {
    CliError::Failed(error.to_string())
}
