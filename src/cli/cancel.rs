//! `dispatch cancel`: stops the job that runs or waits, at once. Juju runs actions one after another, and none while its
//! agent is away; a person on the unit need not wait for that.

use std::time::Duration;

use super::{CliError, secrets};
use crate::charm::Cancelled;
use crate::charm::{self, Followed, Turn, failures, follow};
use crate::host::Host;
use crate::model::Deadline;

/// How long the removal is followed.
const WAIT: Duration = Duration::from_secs(120);

/// Stops the job and follows the removal of what it has made. The proxies are those of the environment.
pub fn cancel(host: &Host, say: &dyn Fn(&str)) -> Result<(), CliError> {
    let turn = Turn::take(host).map_err(|error| {
        let remedy = if error.is_forbidden() { "; run it as root" } else { "" };
        CliError::Failed(format!("{error}{remedy}"))
    })?;
    let cancelled = charm::cancel(host, secrets().proxies, turn);
    let Some(Cancelled { what, made, removal }) = cancelled.map_err(failed)? else {
        say("nothing to cancel: no job is running or waiting");
        return Ok(());
    };
    let Some(removal) = removal else {
        say(&format!("cancelled {what}; the next hook deletes what it created"));
        return Ok(());
    };
    say(&format!("cancelled {what}; job {removal} deletes what it created"));
    let show = &mut |progress: &str| {
        say(progress);
        Ok(())
    };
    match follow(host, &removal, Deadline::after(WAIT), show).map_err(failed)? {
        Followed::Ended(journal) => match failures(&journal) {
            None => made.iter().for_each(|what| say(&format!("removed {what}"))),
            Some(failures) => {
                let message = format!("{failures}. The job is cancelled; later hooks retry the removal");
                return Err(CliError::Failed(message));
            }
        },
        Followed::Cancelled | Followed::Orphaned | Followed::TimeIsUp => {
            say(&format!(
                "no build is running; job {removal} continues in the background, see `dispatch jobs`"
            ));
        }
    }
    Ok(())
}

fn failed(error: impl std::error::Error) -> CliError {
    CliError::Failed(error.to_string())
}
