//! Digests as people and other programs write them, and of what is read as it passes.

use std::io::{self, Read};

use sha2::Digest;

/// Bytes in lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A reader that digests what passes.
#[derive(Debug)]
pub struct Digesting<R, D> {
    reader: R,
    state: D,
}

impl<R, D: Digest + Clone> Digesting<R, D> {
    /// Digests what is read of `reader`.
    pub fn new(reader: R) -> Self {
        Self { reader, state: D::new() }
    }

    /// The digest of all that was read until now, in hexadecimal.
    pub fn hex(&self) -> String {
        hex(&self.state.clone().finalize())
    }
}

impl<R: Read, D: Digest> Read for Digesting<R, D> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.state.update(&buffer[..read]);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use sha2::Sha256;

    use super::*;

    #[test]
    fn what_passes_is_digested_byte_for_byte() {
        let mut reader = Digesting::<_, Sha256>::new(&b"abc"[..]);
        assert_eq!(reader.hex(), hex(&Sha256::digest(b"")));
        assert_eq!(io::copy(&mut reader, &mut io::sink()).unwrap(), 3);
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(reader.hex(), known);
    }
}
