//! The journal while threads of a worker change it. Each change is on the disk before its maker goes on; those that come while
//! the file is written go there together, so that many projects cost few writes. A large file is written more rarely than a small
//! one, so that what is written in all stays within bounds.

use std::fs;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::host::Host;
use crate::record::{Journal, RecordError};

/// How many bytes are written in a second at most, as long as changes come: that of 2,000 images, 1 MB, twice.
const RATE: f64 = 2e6;

/// One journal, of one worker.
pub(super) struct SharedJournal<'a> {
    host: &'a Host,
    state: Mutex<State>,
    written: Condvar,
}

struct State {
    journal: Journal,
    /// How many changes were made.
    made: u64,
    /// How many of them are on the disk.
    saved: u64,
    is_writing: bool,
    /// When the next write may begin.
    next: Instant,
}

impl<'a> SharedJournal<'a> {
    /// `journal`, as it is on the disk.
    pub fn new(host: &'a Host, journal: Journal) -> Self {
        let state = State { journal, made: 0, saved: 0, is_writing: false, next: Instant::now() };
        Self { host, state: Mutex::new(state), written: Condvar::new() }
    }

    /// Looks into it.
    pub fn look<T>(&self, look: impl FnOnce(&Journal) -> T) -> T {
        look(&self.lock().journal)
    }

    /// Changes it; this goes to the disk with the next change that is written.
    pub fn note(&self, change: impl FnOnce(&mut Journal)) {
        change(&mut self.lock().journal);
    }

    /// Changes it and writes it down.
    pub fn write(&self, change: impl FnOnce(&mut Journal)) -> Result<(), RecordError> {
        let mut state = self.lock();
        change(&mut state.journal);
        state.made += 1;
        let ours = state.made;
        while state.saved < ours {
            let pause = state.next.saturating_duration_since(Instant::now());
            if state.is_writing {
                state = self.written.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            if !pause.is_zero() {
                let waited = self.written.wait_timeout(state, pause);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            state.is_writing = true;
            let (journal, made) = (state.journal.clone(), state.made);
            drop(state);
            let saved = journal.save(self.host);
            let size = fs::metadata(Journal::path(self.host)).map_or(0, |file| file.len());
            state = self.lock();
            state.is_writing = false;
            state.next = Instant::now() + Duration::from_secs_f64(size as f64 / RATE);
            if saved.is_ok() {
                state.saved = made;
            }
            self.written.notify_all();
            saved?;
        }
        Ok(())
    }

    /// The journal, once nobody changes it any more.
    pub fn into_inner(self) -> Journal {
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner).journal
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::record::CloudName;

    fn host() -> (tempfile::TempDir, Host) {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path());
        host.private_dir(&host.state_dir()).unwrap();
        (dir, host)
    }

    #[test]
    fn each_change_is_on_the_disk_when_its_maker_goes_on() {
        let (_dir, host) = host();
        let shared = SharedJournal::new(&host, Journal::default());
        std::thread::scope(|scope| {
            for number in 0..50 {
                let (shared, host) = (&shared, &host);
                scope.spawn(move || {
                    let name = CloudName::new(format!("cloud-{number}"));
                    shared.write(|journal| journal.works_in(&name, vec![])).unwrap();
                    assert!(Journal::load(host).unwrap().was_built_in(&name));
                });
            }
        });
        assert_eq!(shared.into_inner(), Journal::load(&host).unwrap());
    }

    #[test]
    fn a_large_journal_is_written_more_rarely() {
        let (_dir, host) = host();
        let shared = SharedJournal::new(&host, Journal::default());
        let name = CloudName::new("x".repeat(200_000));
        shared.write(|journal| journal.works_in(&name, vec![])).unwrap();
        let began = Instant::now();
        (0..3).for_each(|_| shared.write(|_| ()).unwrap());
        assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
    }

    #[test]
    fn what_is_only_noted_writes_nothing_until_something_is_written() {
        let (_dir, host) = host();
        let shared = SharedJournal::new(&host, Journal::default());
        shared.write(|_| ()).unwrap();
        let inode = || std::fs::metadata(Journal::path(&host)).unwrap().ino();
        let before = inode();
        let name = CloudName::new("noted");
        shared.note(|journal| journal.works_in(&name, vec![]));
        assert!(shared.look(|journal| journal.was_built_in(&name)));
        assert_eq!(inode(), before);
        shared.write(|_| ()).unwrap();
        assert!(Journal::load(&host).unwrap().was_built_in(&name));
    }

    #[test]
    fn a_disk_that_takes_nothing_fails_each_change_and_keeps_what_was_noted() {
        let (_dir, host) = host();
        let shared = SharedJournal::new(&host, Journal::default());
        std::fs::create_dir(Journal::path(&host)).unwrap();
        let name = CloudName::new("kept");
        assert!(shared.write(|journal| journal.works_in(&name, vec![])).is_err());
        std::fs::remove_dir(Journal::path(&host)).unwrap();
        shared.write(|_| ()).unwrap();
        assert!(Journal::load(&host).unwrap().was_built_in(&name));
    }
}
