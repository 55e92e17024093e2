//! What a program prints: each line handed on as it comes, one end of it kept. A program that prints faster than we
//! read waits for us.

use std::cell::Cell;
use std::io::Read;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

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
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
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

enum News {
    Line(String),
    Stdout { first: Vec<u8>, is_cut: bool },
    Stderr { last: Vec<u8> },
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
    news: Receiver<News>,
    stdout: Vec<u8>,
    is_cut: bool,
    stderr: Vec<u8>,
}

impl Streams {
    /// Begins to read.
    pub fn read(
        stdout: Option<impl Read + Send + 'static>,
        stderr: Option<impl Read + Send + 'static>,
    ) -> Self {
        let (teller, news) = sync_channel(WAITING);
        if let Some(pipe) = stdout {
            let teller = teller.clone();
            std::thread::spawn(move || {
                let (mut first, mut is_cut) = (Vec::new(), false);
                follow(pipe, &teller, |bytes| {
                    let room = bytes.len().min(KEPT - first.len());
                    first.extend_from_slice(&bytes[..room]);
                    is_cut |= room < bytes.len();
                });
                let _ = teller.send(News::Stdout { first, is_cut });
            });
        }
        if let Some(pipe) = stderr {
            std::thread::spawn(move || {
                let mut last = Vec::new();
                follow(pipe, &teller, |bytes| {
                    last.extend_from_slice(bytes);
                    last.drain(..last.len().saturating_sub(LAST));
                });
                let _ = teller.send(News::Stderr { last });
            });
        }
        Self { news, stdout: Vec::new(), is_cut: false, stderr: Vec::new() }
    }

    /// Waits so long for something new, and hands it on.
    pub fn next(&mut self, wait: Duration, sink: &Bounded<'_>) -> Seen {
        match self.news.recv_timeout(wait) {
            Ok(News::Line(line)) => sink.tell(&line),
            Ok(News::Stdout { first, is_cut }) => (self.stdout, self.is_cut) = (first, is_cut),
            Ok(News::Stderr { last }) => self.stderr = last,
            Err(RecvTimeoutError::Timeout) => return Seen::Nothing,
            Err(RecvTimeoutError::Disconnected) => return Seen::End,
        }
        Seen::News
    }

    /// All that was kept.
    pub fn output(self, code: Option<i32>) -> Output {
        Output { code, stdout: self.stdout, is_cut: self.is_cut, stderr: last_words(&self.stderr) }
    }
}

/// Reads to the end; whoever does not listen any more misses lines, and the program is not stopped by that.
fn follow(mut pipe: impl Read, teller: &SyncSender<News>, mut keep: impl FnMut(&[u8])) {
    let (mut line, mut buffer) = (Vec::new(), [0; 8192]);
    while let Ok(read @ 1..) = pipe.read(&mut buffer) {
        let bytes = &buffer[..read];
        keep(bytes);
        for &byte in bytes {
            if byte == b'\n' || line.len() >= LINE {
                let _ = teller.send(News::Line(String::from_utf8_lossy(&line).trim_end().to_owned()));
                line.clear();
            }
            if byte != b'\n' {
                line.push(byte);
            }
        }
    }
    if !line.is_empty() {
        let _ = teller.send(News::Line(String::from_utf8_lossy(&line).into_owned()));
    }
}

/// The end of what a program said on its standard error, as text.
pub fn last_words(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(&stderr[stderr.len().saturating_sub(1024)..]);
    text.trim().to_owned()
}
