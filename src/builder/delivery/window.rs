//! One stream of bytes for many readers, in bounded memory: each gets all of it. One that keeps the others waiting for too
//! long is dropped.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The size of a piece in flight.
pub const PIECE: usize = 256 << 10;
/// How many pieces the fastest reader may be ahead of the slowest.
const AHEAD: usize = 8;
/// How long, all in all, a reader may keep others waiting.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is looked whether a reader keeps others waiting.
const LOOK: Duration = Duration::from_millis(50);

/// What was written and not yet read by all.
#[derive(Debug)]
pub struct Window {
    state: Mutex<State>,
    changed: Condvar,
    patience: Duration,
}

#[derive(Debug, Default)]
struct State {
    /// The number of the first piece that is still held.
    first: u64,
    pieces: VecDeque<Arc<[u8]>>,
    readers: BTreeMap<usize, Progress>,
    dropped: BTreeSet<usize>,
    end: Option<Result<(), String>>,
}

/// How far a reader is.
#[derive(Debug, Default)]
struct Progress {
    next: u64,
    held_up: Duration,
}

impl State {
    fn newest(&self) -> u64 {
        self.first + self.pieces.len() as u64
    }

    fn take(&self, piece: u64) -> Option<Arc<[u8]>> {
        self.pieces.get(usize::try_from(piece.checked_sub(self.first)?).ok()?).cloned()
    }

    /// Forgets what all have read; `None` when nobody reads any more.
    fn advance(&mut self) -> Option<()> {
        let slowest = self.readers.values().map(|reader| reader.next).min()?;
        while self.first < slowest && self.pieces.pop_front().is_some() {
            self.first += 1;
        }
        Some(())
    }

    /// Those who are furthest behind have kept others waiting for this long. Returns how many are dropped for it.
    fn held_up(&mut self, waited: Duration, patience: Duration) -> usize {
        let first = self.first;
        for reader in self.readers.values_mut().filter(|reader| reader.next == first) {
            reader.held_up += waited;
        }
        let late = self.readers.extract_if(.., |_, reader| reader.held_up > patience);
        let late: Vec<usize> = late.map(|(number, _)| number).collect();
        self.dropped.extend(&late);
        late.len()
    }
}

impl Window {
    /// A window with so many readers, and its writing end.
    pub fn open(readers: usize) -> (Feeder, Vec<Pieces>) {
        Self::with_patience(readers, PATIENCE)
    }

    fn with_patience(readers: usize, patience: Duration) -> (Feeder, Vec<Pieces>) {
        let state = State {
            readers: (0..readers).map(|number| (number, Progress::default())).collect(),
            ..State::default()
        };
        let window = Arc::new(Self { state: Mutex::new(state), changed: Condvar::new(), patience });
        let pieces = |number| Pieces { window: Arc::clone(&window), number, rest: Arc::from([]), at: 0 };
        let pieces = (0..readers).map(pieces).collect();
        (Feeder(window), pieces)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The writing end. Dropped without a word it ends the stream with an error: a reader must never take a part for the
/// whole.
#[derive(Debug)]
pub struct Feeder(Arc<Window>);

/// What became of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    /// Whether anybody reads on.
    pub anybody: bool,
    /// How many readers were dropped meanwhile.
    pub dropped: usize,
}

impl Feeder {
    /// Gives a piece to every reader, once there is room. `others_wait` says whether somebody waits for the end of this
    /// stream.
    pub fn give(&self, piece: Arc<[u8]>, others_wait: &dyn Fn() -> bool) -> Given {
        let window = &*self.0;
        let (mut state, mut dropped) = (window.lock(), 0);
        loop {
            if state.advance().is_none() {
                return Given { anybody: false, dropped };
            }
            if state.pieces.len() < AHEAD {
                state.pieces.push_back(piece);
                window.changed.notify_all();
                return Given { anybody: true, dropped };
            }
            let started = Instant::now();
            let waited = window.changed.wait_timeout(state, LOOK);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            let newest = state.newest();
            if others_wait() || state.readers.values().any(|reader| reader.next == newest) {
                dropped += state.held_up(started.elapsed(), window.patience);
                window.changed.notify_all();
            }
        }
    }

    /// Ends the stream: well, or with what went wrong.
    pub fn end(self, end: Result<(), String>) {
        self.0.lock().end = Some(end);
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.0.lock().end.get_or_insert_with(|| Err("the source ended early".to_owned()));
        self.0.changed.notify_all();
    }
}

/// The stream as one reader sees it.
#[derive(Debug)]
pub struct Pieces {
    window: Arc<Window>,
    number: usize,
    rest: Arc<[u8]>,
    at: usize,
}

impl Pieces {
    /// Reads no more. Returns whether it was dropped before: for keeping others waiting.
    pub fn close(self) -> bool {
        let mut state = self.window.lock();
        state.readers.remove(&self.number);
        state.dropped.contains(&self.number)
    }

    fn next(&self) -> io::Result<Option<Arc<[u8]>>> {
        let mut state = self.window.lock();
        loop {
            if state.dropped.contains(&self.number) {
                return Err(io::Error::other("the upload was too slow while others waited"));
            }
            let next = state.readers.get(&self.number).map_or(0, |reader| reader.next);
            if let Some(piece) = state.take(next) {
                state.readers.entry(self.number).or_default().next = next + 1;
                self.window.changed.notify_all();
                return Ok(Some(piece));
            }
            match &state.end {
                Some(Ok(())) => return Ok(None),
                Some(Err(problem)) => return Err(io::Error::other(problem.clone())),
                None => state = self.window.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.rest.len() {
            let Some(piece) = self.next()? else { return Ok(0) };
            (self.rest, self.at) = (piece, 0);
        }
        let read = buffer.len().min(self.rest.len() - self.at);
        buffer[..read].copy_from_slice(&self.rest[self.at..self.at + read]);
        self.at += read;
        Ok(read)
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        self.window.lock().readers.remove(&self.number);
        self.window.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOBODY: &dyn Fn() -> bool = &|| false;

    fn piece(byte: u8) -> Arc<[u8]> {
        Arc::from([byte; 2])
    }

    #[test]
    fn every_reader_gets_all_of_it() {
        let (feeder, readers) = Window::open(3);
        std::thread::scope(|scope| {
            let reads: Vec<_> = readers
                .into_iter()
                .map(|mut reader| {
                    scope.spawn(move || {
                        let mut bytes = Vec::new();
                        reader.read_to_end(&mut bytes).unwrap();
                        bytes
                    })
                })
                .collect();
            for byte in 0..100 {
                assert_eq!(feeder.give(piece(byte), NOBODY), Given { anybody: true, dropped: 0 });
            }
            feeder.end(Ok(()));
            let expected: Vec<u8> = (0..100).flat_map(|byte| [byte; 2]).collect();
            for read in reads {
                assert_eq!(read.join().unwrap(), expected);
            }
        });
    }

    #[test]
    fn a_part_is_never_taken_for_the_whole() {
        for end in [None, Some("reset")] {
            let (feeder, mut readers) = Window::open(1);
            feeder.give(piece(1), NOBODY);
            match end {
                None => drop(feeder),
                Some(problem) => feeder.end(Err(problem.to_owned())),
            }
            let error = readers[0].read_to_end(&mut Vec::new()).unwrap_err().to_string();
            assert_eq!(error, end.unwrap_or("the source ended early"));
        }
    }

    #[test]
    fn one_that_keeps_others_waiting_is_dropped_and_they_get_the_rest() {
        let (feeder, mut readers) = Window::with_patience(2, Duration::from_millis(1));
        let (idle, mut quick) = (readers.remove(0), readers.remove(0));
        std::thread::scope(|scope| {
            let read = scope.spawn(move || io::copy(&mut quick, &mut io::sink()).unwrap());
            let given: usize = (0..50).map(|byte| feeder.give(piece(byte), NOBODY).dropped).sum();
            feeder.end(Ok(()));
            assert_eq!((read.join().unwrap(), given), (100, 1));
        });
        assert!(idle.close());
    }

    #[test]
    fn one_that_is_alone_has_all_the_time_until_somebody_waits_for_its_end() {
        let (feeder, mut readers) = Window::with_patience(1, Duration::from_millis(1));
        let waits = std::sync::atomic::AtomicBool::new(false);
        let others_wait = || waits.load(std::sync::atomic::Ordering::Relaxed);
        for byte in 0..8 {
            assert!(feeder.give(piece(byte), &others_wait).anybody);
        }
        std::thread::scope(|scope| {
            let ninth = scope.spawn(|| feeder.give(piece(8), &others_wait));
            readers[0].read_exact(&mut [0; 2]).unwrap();
            assert_eq!(ninth.join().unwrap(), Given { anybody: true, dropped: 0 });
        });
        waits.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(feeder.give(piece(9), &others_wait), Given { anybody: false, dropped: 1 });
        assert!(readers.remove(0).close());
    }

    #[test]
    fn nobody_is_waited_for_who_has_gone() {
        let (feeder, readers) = Window::open(2);
        drop(readers);
        assert_eq!(feeder.give(piece(0), NOBODY), Given { anybody: false, dropped: 0 });
    }
}
