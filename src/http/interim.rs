//! The server's word that it wants the data, made readable.
//!
//! An upload asks first (`Expect: 100-continue`). Squid, and others on the way, put headers into the answer
//! "100 Continue", which HTTP allows; ureq takes such an answer for a refusal, sends nothing and waits for ever.
//! Here those headers are taken out.

use std::fmt;

use ureq::Error;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

const WANTED: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
const END: &[u8] = b"\r\n\r\n";

/// Puts every connection into a [`Listening`].
#[derive(Debug)]
pub(super) struct Interim;

impl<In: Transport> Connector<In> for Interim {
    type Out = Listening<In>;

    fn connect(&self, _: &ConnectionDetails, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        Ok(chained.map(|transport| Listening { transport, asked: false }))
    }
}

/// A connection that knows whether the server was asked and has not answered yet.
pub(super) struct Listening<T> {
    transport: T,
    asked: bool,
}

impl<T: Transport> Listening<T> {
    /// Takes the headers out of a "100 Continue" at the beginning of the input. Returns whether the head of an
    /// answer is complete.
    fn tidy(&mut self) -> bool {
        let buffers = self.transport.buffers();
        let input = buffers.input();
        let Some(end) = position(input, END).map(|start| start + END.len()) else { return false };
        if !input.starts_with(b"HTTP/1.1 100 ") || end == WANTED.len() {
            return true;
        }
        let tidied = [WANTED, input.get(end..).unwrap_or_default()].concat();
        let amount = input.len();
        buffers.input_consume(amount);
        if let Some(room) = buffers.input_append_buf().get_mut(..tidied.len()) {
            room.copy_from_slice(&tidied);
            buffers.input_appended(tidied.len());
        }
        true
    }
}

impl<T: Transport> Transport for Listening<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.transport.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let output = self.transport.buffers().output().get(..amount).unwrap_or_default();
        self.asked |= output.ends_with(END) && position(output, b"\r\nexpect: 100-continue\r\n").is_some();
        self.transport.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let mut progress = self.transport.await_input(timeout)?;
        while self.asked && progress {
            if self.tidy() {
                self.asked = false;
                break;
            }
            progress = self.transport.await_input(timeout)?;
        }
        Ok(progress)
    }

    fn is_open(&mut self) -> bool {
        self.transport.is_open()
    }

    fn is_tls(&self) -> bool {
        self.transport.is_tls()
    }
}

impl<T> fmt::Debug for Listening<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listening(..)")
    }
}

fn position(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}
