//! What a program prints: each line handed on as it comes, one end of it kept. A program that prints faster than we
//! read waits for us.

use std::cell::Cell;
use std::io::Read;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::ending::Ending;

/// How much of the standard output is kept; the rest is read and dropped.
const KEPT: usize = 1 << 20;
/// How much of the standard error is kept, counted from its end.
const LAST: usize = 4096;
/// A longer line is handed on in pieces.
const LINE: usize = 4096;
/// How many lines may wait for us.
const WAITING: usize = 64;
/// How much of a program's lines is handed on, in bytes; the rest is read and dropped, with a note.
const TOLD: usize = 4 << 20;

/// Called with each line that a program prints while it runs.
pub type LineSink<'a> = &'a (dyn Fn(&str) + Sync);

/// What a program printed, and how it ended.
#[derive(Clone, Debug)]
pub struct Output {
    /// How it ended.
    pub ending: Ending,
    /// The first MiB of its standard output.
    pub stdout: Vec<u8>,
    /// Whether it printed more than that.
    pub is_cut: bool,
    /// The last KiB of its standard error, as text.
    pub stderr: String,
}

/// What has been read so far, and counts also when an end never comes.
#[derive(Default)]
struct Kept {
    stdout: Vec<u8>,
    is_cut: bool,
    stderr: Vec<u8>,
}

/// Hands lines on until there were too many of them: a program that prints without end fills no log.
pub struct Bounded<'a> {
    sink: LineSink<'a>,
    left: Cell<usize>,
}

impl<'a> Bounded<'a> {
    /// For one program.
    pub fn new(sink: LineSink<'a>) -> Self {
        Self { sink, left: Cell::new(TOLD) }
    }

    fn tell(&self, line: &str) {
        let left = self.left.get();
        if left == 0 {
            return;
        }
        self.left.set(left.saturating_sub(line.len() + 1));
        (self.sink)(line);
        if self.left.get() == 0 {
            (self.sink)(&format!("[the program has printed {} MiB; the rest is dropped]", TOLD >> 20));
        }
    }
}

/// What a look at the two outputs has brought.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Something new.
    News,
    /// Nothing, in the time given.
    Nothing,
    /// Both are closed, and all of them has been read.
    End,
}

/// The two outputs of a program.
pub struct Streams {
    lines: Receiver<String>,
    kept: Arc<Mutex<Kept>>,
}

impl Streams {
    /// Begins to read.
    pub fn read(
        stdout: Option<impl Read + Send + 'static>,
        stderr: Option<impl Read + Send + 'static>,
    ) -> Self {
        let (teller, lines) = sync_channel(WAITING);
        let kept = Arc::new(Mutex::new(Kept::default()));
        if let Some(pipe) = stdout {
            let (teller, kept) = (teller.clone(), Arc::clone(&kept));
            std::thread::spawn(move || {
                follow(pipe, &teller, |bytes| {
                    let mut kept = lock(&kept);
                    let room = bytes.len().min(KEPT - kept.stdout.len());
                    kept.stdout.extend_from_slice(&bytes[..room]);
                    kept.is_cut |= room < bytes.len();
                });
            });
        }
        if let Some(pipe) = stderr {
            let kept = Arc::clone(&kept);
            std::thread::spawn(move || {
                follow(pipe, &teller, |bytes| {
                    let stderr = &mut lock(&kept).stderr;
                    stderr.extend_from_slice(bytes);
                    stderr.drain(..stderr.len().saturating_sub(LAST));
                });
            });
        }
        Self { lines, kept }
    }

    /// Waits so long for something new, and hands it on.
    pub fn next(&mut self, wait: Duration, sink: &Bounded<'_>) -> Seen {
        match self.lines.recv_timeout(wait) {
            Ok(line) => sink.tell(&line),
            Err(RecvTimeoutError::Timeout) => return Seen::Nothing,
            Err(RecvTimeoutError::Disconnected) => return Seen::End,
        }
        Seen::News
    }

    /// All that was kept.
    pub fn output(self, ending: Ending) -> Output {
        let Kept { stdout, is_cut, stderr } = std::mem::take(&mut *lock(&self.kept));
        Output { ending, stdout, is_cut, stderr: last_words(&stderr) }
    }

    /// The end of what was kept of the standard error.
    pub fn last_words(self) -> String {
        last_words(&lock(&self.kept).stderr)
    }
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads to the end; whoever does not listen any more misses lines, and the program is not stopped by that.
fn follow(mut pipe: impl Read, teller: &SyncSender<String>, mut keep: impl FnMut(&[u8])) {
    let (mut line, mut buffer) = (Vec::new(), [0; 8192]);
    while let Ok(read @ 1..) = pipe.read(&mut buffer) {
        let bytes = &buffer[..read];
        keep(bytes);
        for &byte in bytes {
            if byte == b'\n' || line.len() >= LINE {
                let _ = teller.send(String::from_utf8_lossy(&line).trim_end().to_owned());
                line.clear();
            }
            if byte != b'\n' {
                line.push(byte);
            }
        }
    }
    if !line.is_empty() {
        let _ = teller.send(String::from_utf8_lossy(&line).into_owned());
    }
}

/// The end of what a program said on its standard error, as text.
pub fn last_words(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(&stderr[stderr.len().saturating_sub(1024)..]);
    text.trim().to_owned()
}
