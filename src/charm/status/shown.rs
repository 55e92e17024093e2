//! The status that Juju shows: one that is shown already is not set again.

use crate::host::Host;
use crate::juju::{HookToolError, HookTools, Status};
use crate::record::LastHook;

/// Lets Juju show `status`.
pub fn show(host: &Host, tools: &dyn HookTools, status: &Status) -> Result<(), HookToolError> {
    let mut last = LastHook::load(host).unwrap_or_default();
    let now = (status.name().to_owned(), status.message().to_owned());
    if last.status.as_ref() == Some(&now) {
        return Ok(());
    }
    // Whoever is killed in between leaves nothing that is not so.
    let was_known = last.status.take().is_some();
    if was_known {
        leave(host, &last);
    }
    tools.status_set(status)?;
    if last.read.is_some() {
        last.status = Some(now);
        leave(host, &last);
    }
    Ok(())
}

fn leave(host: &Host, last: &LastHook) {
    if let Err(error) = last.save(host) {
        log::warn!("{error}; the next hook asks Juju for everything");
        let _ = LastHook::forget(host);
    }
}
