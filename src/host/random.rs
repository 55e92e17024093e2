//! Chance, from the kernel.

use std::hash::{BuildHasher, RandomState};

/// A random UUID (version 4), from the kernel.
pub fn random_uuid() -> String {
    match std::fs::read_to_string("/proc/sys/kernel/random/uuid") {
        Ok(uuid) => uuid.trim().to_owned(),
        // Without /proc: the randomly keyed hasher of the standard library.
        Err(_) => {
            let (a, b) = (RandomState::new().hash_one(1), RandomState::new().hash_one(2));
            format!(
                "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
                a >> 32,
                (a >> 16) & 0xffff,
                a & 0xfff,
                0x8000 | (b >> 48 & 0x3fff),
                b & 0xffff_ffff_ffff
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_have_their_form_and_differ() {
        let (a, b) = (random_uuid(), random_uuid());
        assert_ne!(a, b);
        assert!(a.len() == 36 && a.as_bytes()[14] == b'4', "{a}");
    }
}
