//! What a session sends.

use std::io::{self, Read};

/// Data that can be sent once. Once it was touched, a second attempt fails instead of sending the rest.
pub(super) struct Once<'a> {
    pub(super) reader: &'a mut dyn Read,
    pub(super) touched: bool,
    pub(super) refused: bool,
}

impl Read for Once<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.refused {
            return Err(io::Error::other("the token was refused after part of the data was sent"));
        }
        self.touched = true;
        self.reader.read(buf)
    }
}
