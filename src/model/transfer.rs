//! The transfers of bytes that are under way in this process, for whoever shows people how far they are.

use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// A transfer.
#[derive(Debug)]
pub struct Transfer {
    /// What is transferred.
    pub what: &'static str,
    /// How many bytes it has, when that is known.
    pub total: Option<u64>,
    done: AtomicU64,
}

impl Transfer {
    /// How many bytes have passed.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }
}

/// Each ends with its reader.
static UNDER_WAY: Mutex<Vec<Weak<Transfer>>> = Mutex::new(Vec::new());

/// The transfers under way, the oldest first.
pub fn transfers() -> Vec<Arc<Transfer>> {
    UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade).collect()
}

/// A reader whose bytes are counted as a transfer as long as it is there.
#[derive(Debug)]
pub struct Metered<R> {
    reader: R,
    transfer: Arc<Transfer>,
}

impl<R> Metered<R> {
    /// Begins the transfer of what `reader` gives.
    pub fn new(reader: R, what: &'static str, total: Option<u64>) -> Self {
        let transfer = Arc::new(Transfer { what, total, done: AtomicU64::new(0) });
        let mut under_way = UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.retain(|known| known.strong_count() > 0);
        under_way.push(Arc::downgrade(&transfer));
        Self { reader, transfer }
    }
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.transfer.done.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_is_under_way_as_long_as_its_reader_is_there() {
        // Other tests have transfers of their own.
        let own = || transfers().into_iter().find(|transfer| transfer.what == "a test's bytes");
        let mut reader = Metered::new(&b"1234567"[..], "a test's bytes", Some(7));
        reader.read_exact(&mut [0; 3]).unwrap();
        let (done, total) = own().map(|transfer| (transfer.done(), transfer.total)).unwrap();
        assert_eq!((done, total), (3, Some(7)));
        drop(reader);
        assert!(own().is_none());
    }
}
