//! The unit's turn: one at a time reads what is asked for and what was done, and asks for something else.
//!
//! Juju runs one hook or action of a unit at a time. Whoever stops a job on the unit's own machine does not wait for Juju,
//! and an action that only follows a job has given its turn back.

use std::time::Duration;

use crate::host::{Exclusive, FileError, Host};
use crate::model::{Backoff, Deadline, poll};

/// How long another's turn is waited for: whoever stops a worker may take some seconds.
const WAIT: Duration = Duration::from_secs(10);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// The turn, until it is dropped.
#[derive(Debug)]
pub struct Turn {
    _lock: Option<Exclusive>,
}

impl Turn {
    /// Waits for the turn and takes it. A holder that hangs and a disk that is full do not hold the unit: it goes on.
    pub fn take(host: &Host) -> Result<Self, FileError> {
        let path = host.state_dir().join("turn.lock");
        let lock = match poll(Backoff::steady(LOOK), Deadline::after(WAIT), || Exclusive::try_acquire(&path))
        {
            Ok(Some(lock)) => Some(lock),
            Ok(None) => {
                let waited = WAIT.as_secs();
                log::warn!(
                    "another process has held {} for {waited} s; continuing without the lock",
                    path.display()
                );
                None
            }
            // Nothing is installed yet.
            Err(error) if error.is_absent() => None,
            Err(error) if error.is_forbidden() => return Err(error),
            Err(error) => {
                log::warn!("{error}; continuing");
                None
            }
        };
        Ok(Self { _lock: lock })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_has_it_and_where_nothing_is_installed_nothing_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path());
        drop(Turn::take(&host).unwrap());
        assert!(!host.state_dir().exists());
        host.private_dir(&host.state_dir()).unwrap();
        let first = Turn::take(&host).unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let second = Turn::take(&host).unwrap();
                sender.send(()).unwrap();
                drop(second);
            });
            assert!(receiver.recv_timeout(LOOK * 5).is_err(), "two at a time");
            drop(first);
            receiver.recv_timeout(WAIT).unwrap();
        });
    }
}
