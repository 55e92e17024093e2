//! The bytes between `hook-tool` and the agent: lists of byte strings, each with its length before it.
//!
//! Shared by the library and the executable, so it must not need anything but the standard library.

use std::io::{self, Read, Write};

/// What the agent answers when a tool wants to read its standard input; the next message carries it.
pub const NEEDS_STDIN: &[u8] = b"stdin";
/// What the agent answers with a result: exit code, standard output, standard error.
pub const ANSWER: &[u8] = b"answer";

const LARGEST_FIELD: u32 = 64 << 20;

/// Writes one message.
pub fn send(stream: &mut impl Write, fields: &[&[u8]]) -> io::Result<()> {
    let mut message = Vec::new();
    message.extend(length(fields.len())?);
    for field in fields {
        message.extend(length(field.len())?);
        message.extend(*field);
    }
    stream.write_all(&message)?;
    stream.flush()
}

/// Reads one message.
pub fn receive(stream: &mut impl Read) -> io::Result<Vec<Vec<u8>>> {
    let count = read_length(stream)?;
    (0..count)
        .map(|_| {
            let mut field = vec![0; read_length(stream)? as usize];
            stream.read_exact(&mut field)?;
            Ok(field)
        })
        .collect()
}

fn length(value: usize) -> io::Result<[u8; 4]> {
    let value = u32::try_from(value).map_err(io::Error::other)?;
    Ok(value.to_le_bytes())
}

fn read_length(stream: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    stream.read_exact(&mut bytes)?;
    let value = u32::from_le_bytes(bytes);
    if value > LARGEST_FIELD {
        return Err(io::Error::other(format!("a field of {value} bytes")));
    }
    Ok(value)
}
