//! Records that this version cannot read: a newer version's after a refresh back, or damaged ones. They are put aside, and
//! the unit goes on without them: what relations name stays, and the clouds are searched for the rest.

use serde_json::Value;

use crate::host::{Exclusive, Host};
use crate::record::file::RecordError;
use crate::record::journal::Journal;
use crate::record::orphans::Orphans;
use crate::record::relations::Peers;
use crate::record::request::{Request, worker_lock};

/// A record that cannot be read.
#[derive(Debug)]
pub struct Unreadable {
    /// Its file in the state folder.
    pub file: &'static str,
    /// What it says, where it is JSON.
    pub says: Value,
    /// What is wrong.
    pub problem: String,
}

impl Unreadable {
    /// Of bytes that are no record of ours.
    pub fn of(file: &'static str, bytes: &[u8], problem: impl ToString) -> Self {
        let says = serde_json::from_slice(bytes).unwrap_or_default();
        Self { file, says, problem: problem.to_string() }
    }

    /// The name under which it is kept.
    fn kept_as(&self) -> String {
        match self.says.get("format").and_then(Value::as_u64) {
            Some(format) => format!("{}.format-{format}", self.file),
            None => format!("{}.unreadable", self.file),
        }
    }

    /// The projects that may still hold something of ours, as far as that can be read: nobody else knows of them.
    fn orphans(&self) -> Vec<Orphans> {
        let noted = self.says.get("leftovers").and_then(Value::as_array);
        noted.into_iter().flatten().filter_map(|noted| serde_json::from_value(noted.clone()).ok()).collect()
    }
}

/// For a hook: puts aside what cannot be read, unless a worker lives. One of another version can read it, and writes it
/// again; it is waited for.
pub fn put_aside(host: &Host) -> Result<(), RecordError> {
    if unreadable(host)?.is_empty() {
        return Ok(());
    }
    match Exclusive::try_acquire(&worker_lock(host))? {
        Some(_lock) => put_aside_locked(host),
        None => {
            log::warn!("a worker of another version is still running; its records are not used");
            Ok(())
        }
    }
}

/// The same for whoever holds the worker's lock.
pub fn put_aside_locked(host: &Host) -> Result<(), RecordError> {
    for record in unreadable(host)? {
        let kept_as = record.kept_as();
        host.rename(&host.state_dir().join(record.file), &host.state_dir().join(&kept_as))?;
        log::warn!(
            "{} cannot be read: {}; it is kept as {kept_as}, and the unit continues without it",
            record.file,
            record.problem
        );
        // The leader's evidence also stands in the peer relation: it is heard before anything is told there.
        Peers::forget(host)?;
        let orphans = record.orphans();
        if !orphans.is_empty() {
            Journal { orphans, ..Journal::default() }.save(host)?;
        }
    }
    Ok(())
}

fn unreadable(host: &Host) -> Result<Vec<Unreadable>, RecordError> {
    let journal = Journal::read(host)?.err();
    let request = Request::read(host)?.err();
    Ok(journal.into_iter().chain(request).collect())
}
