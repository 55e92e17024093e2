//! A read that keeps nobody waiting.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use crate::record::Progress;

/// How often it is looked whether other work waits.
const LOOK: Duration = Duration::from_secs(1);

/// What is read for one that is slow: it ends when other work waits.
pub struct Yielding<'a, R> {
    source: R,
    progress: &'a dyn Progress,
    looked: Instant,
}

impl<'a, R> Yielding<'a, R> {
    /// `source`, as long as nobody waits for the end of the run that `progress` is of.
    pub fn new(source: R, progress: &'a dyn Progress) -> Self {
        Self { source, progress, looked: Instant::now() }
    }
}

impl<R: Read> Read for Yielding<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.looked.elapsed() > LOOK {
            self.looked = Instant::now();
            if self.progress.is_waited_for() {
                return Err(io::Error::other("other work waits"));
            }
        }
        self.source.read(buffer)
    }
}
