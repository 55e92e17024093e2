//! What a hostile server does to those who talk with it: it takes data slowly or not at all, and says whatever it likes.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use super::Shared;

/// Between two looks whether the server stops.
const LOOK: Duration = Duration::from_millis(100);

/// What a server says: instead of a real answer, by the request's URL; or in the place of a real answer's body.
#[derive(Clone, Copy, Debug)]
pub struct Script(pub fn(&str) -> String);

impl PartialEq for Script {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::fn_addr_eq(self.0, other.0)
    }
}

impl Eq for Script {}

/// A body that is read at so many bytes a second; at none, never.
pub(super) struct Throttled<'a, R> {
    pub(super) shared: &'a Shared,
    pub(super) body: R,
    pub(super) rate: Option<u32>,
}

impl<R: Read> Read for Throttled<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(rate) = self.rate else { return self.body.read(buffer) };
        if rate == 0 {
            loop {
                pause(self.shared)?;
            }
        }
        pause(self.shared)?;
        let most = buffer.len().min(usize::try_from(rate / 10).unwrap_or(usize::MAX).max(1));
        self.body.read(&mut buffer[..most])
    }
}

/// Writes a byte at a time, with a pause after each.
pub(super) fn trickle(shared: &Shared, writer: &mut TcpStream, text: &[u8]) -> io::Result<()> {
    for byte in text {
        writer.write_all(&[*byte])?;
        pause(shared)?;
    }
    Ok(())
}

fn pause(shared: &Shared) -> io::Result<()> {
    thread::sleep(LOOK);
    if shared.stopping.load(Ordering::SeqCst) { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
}
