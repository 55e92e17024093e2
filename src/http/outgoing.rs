//! Data on its way out, read as it is sent.

use std::io::{self, ErrorKind, Read};

/// What an upload sends.
pub struct Outgoing<'a> {
    /// The exact number of bytes when it is known; else the data is sent in chunks until the reader ends.
    pub size: Option<u64>,
    /// Where the data comes from.
    pub reader: &'a mut dyn Read,
}

/// A reader that counts, insists on the announced size, and keeps its own failure apart from the network's.
pub(super) struct Source<'a> {
    data: Outgoing<'a>,
    taken: u64,
    failure: Option<io::Error>,
}

impl<'a> Source<'a> {
    pub(super) fn new(data: Outgoing<'a>) -> Self {
        Self { data, taken: 0, failure: None }
    }

    /// The announced size.
    pub(super) fn size(&self) -> Option<u64> {
        self.data.size
    }

    /// Whether anything was read: from then on there is no second attempt.
    pub(super) fn is_touched(&self) -> bool {
        self.taken > 0 || self.failure.is_some()
    }

    /// The reader's own error, if it had one; also when it has more to give than was announced.
    pub(super) fn failure(&mut self) -> Option<io::Error> {
        if self.failure.is_none() && self.data.size.is_some_and(|size| size == self.taken) {
            let mut byte = [0];
            match self.data.reader.read(&mut byte) {
                Ok(0) => {}
                Ok(_) => return Some(io::Error::other("there is more data than announced")),
                Err(error) => return Some(error),
            }
        }
        self.failure.take()
    }

    fn next(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.data.size.map_or(u64::MAX, |size| size - self.taken);
        let room = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        if room == 0 {
            return Ok(0);
        }
        let buf = buf.get_mut(..room).unwrap_or_default();
        loop {
            match self.data.reader.read(buf) {
                Ok(0) if self.data.size.is_some() => {
                    let text = format!("the data ended {left} bytes before its announced size");
                    return Err(io::Error::new(ErrorKind::UnexpectedEof, text));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }
}

impl Read for Source<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.next(buf) {
            Ok(count) => {
                self.taken += count as u64;
                Ok(count)
            }
            Err(error) => {
                self.failure = Some(error);
                Err(io::Error::other("the data to send could not be read"))
            }
        }
    }
}
