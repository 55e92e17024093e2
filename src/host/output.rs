//! What a program prints: each line handed on as it comes, one end of it kept. A program that prints faster than we
//! read waits for us.

use std::cell::Cell;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Child, ChildStderr, ChildStdout};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::ending::Ending;

/// How much of the standard output is kept; the rest is read and dropped.
const KEPT: usize = 1 << 20;
/// How much of the standard error is kept, counted from its end.
const LAST: usize = 4096;
/// A longer line is handed on in pieces.
const LINE: usize = 4096;
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

/// What a look at a program has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It has printed something, or closed an output.
    News,
    /// Nothing, in the time given.
    Nothing,
    /// It has ended; what it printed last may wait to be read.
    Exited,
}

/// The two outputs of a program. It is read, and its end seen, as soon as the kernel tells of it.
pub struct Streams {
    stdout: Option<Stream<ChildStdout>>,
    stderr: Option<Stream<ChildStderr>>,
    kept: Vec<u8>,
    is_cut: bool,
    last: Vec<u8>,
}

impl Streams {
    /// Of a program that has just been started.
    pub fn of(child: &mut Child) -> Self {
        let (stdout, stderr) = (child.stdout.take().map(Stream::new), child.stderr.take().map(Stream::new));
        Self { stdout, stderr, kept: Vec::new(), is_cut: false, last: Vec::new() }
    }

    /// Whether an end of both has been read.
    pub fn are_closed(&self) -> bool {
        self.stdout.is_none() && self.stderr.is_none()
    }

    /// Waits so long for something new, and hands it on; `exit` becomes readable when the program has ended.
    pub fn next(&mut self, wait: Duration, exit: Option<BorrowedFd<'_>>, sink: &Bounded<'_>) -> Seen {
        let pipes = [self.stdout.as_ref().map(Stream::as_fd), self.stderr.as_ref().map(Stream::as_fd)];
        let [stdout, stderr, exited] = is_readable([pipes[0], pipes[1], exit], wait);
        if stdout {
            let (kept, is_cut) = (&mut self.kept, &mut self.is_cut);
            follow(&mut self.stdout, sink, |bytes| {
                let room = bytes.len().min(KEPT - kept.len());
                kept.extend_from_slice(&bytes[..room]);
                *is_cut |= room < bytes.len();
            });
        }
        if stderr {
            let last = &mut self.last;
            follow(&mut self.stderr, sink, |bytes| {
                last.extend_from_slice(bytes);
                last.drain(..last.len().saturating_sub(LAST));
            });
        }
        match (exited, stdout || stderr) {
            (true, _) => Seen::Exited,
            (false, true) => Seen::News,
            (false, false) => Seen::Nothing,
        }
    }

    /// All that was kept.
    pub fn output(self, ending: Ending) -> Output {
        Output { ending, stdout: self.kept, is_cut: self.is_cut, stderr: last_words(&self.last) }
    }

    /// The end of what was kept of the standard error.
    pub fn last_words(&self) -> String {
        last_words(&self.last)
    }
}

/// One output, and the line that has begun in it.
struct Stream<R> {
    pipe: R,
    line: Vec<u8>,
}

impl<R: AsFd> Stream<R> {
    fn new(pipe: R) -> Self {
        Self { pipe, line: Vec::new() }
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

/// Which of these can be read, as soon as one can.
fn is_readable<const N: usize>(files: [Option<BorrowedFd<'_>>; N], wait: Duration) -> [bool; N] {
    let mut polled: Vec<PollFd<'_>> =
        files.iter().flatten().map(|file| PollFd::from_borrowed_fd(*file, PollFlags::IN)).collect();
    // A signal ends the wait early: the caller looks at the time and comes again.
    let _ = poll(&mut polled, Timespec::try_from(wait).ok().as_ref());
    let mut ready = polled.iter().map(|polled| !polled.revents().is_empty());
    files.map(|file| file.is_some() && ready.next().unwrap_or_default())
}

/// Reads what is there of a stream, without waiting, and hands its lines on.
fn follow<R: Read>(stream: &mut Option<Stream<R>>, sink: &Bounded<'_>, mut keep: impl FnMut(&[u8])) {
    let Some(Stream { pipe, line }) = stream else { return };
    let mut buffer = [0; 8192];
    let read = match pipe.read(&mut buffer) {
        Err(error) if error.kind() == ErrorKind::Interrupted => return,
        read => read.unwrap_or_default(),
    };
    let bytes = &buffer[..read];
    keep(bytes);
    for &byte in bytes {
        if byte == b'\n' || line.len() >= LINE {
            sink.tell(String::from_utf8_lossy(line).trim_end());
            line.clear();
        }
        if byte != b'\n' {
            line.push(byte);
        }
    }
    if read == 0 {
        if !line.is_empty() {
            sink.tell(&String::from_utf8_lossy(line));
        }
        *stream = None;
    }
}

/// The end of what a program said on its standard error, as text.
pub fn last_words(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(&stderr[stderr.len().saturating_sub(1024)..]);
    text.trim().to_owned()
}
