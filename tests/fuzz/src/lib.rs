//! Changes to JSON documents that leave them documents: what libFuzzer does to bytes alone seldom gets past a parser.

use libfuzzer_sys::fuzzer_mutate;
use serde_json::Value;

// The unit tests' own, which do the same from a few seeds.
#[allow(dead_code, reason = "they need more of it")]
#[path = "../../../src/testing/random.rs"]
mod random;

use random::Random;

/// Changes the document in `data[head..size]` and returns the new size of the whole, at most `max_size`. One time in
/// four, and where there is no document, the bytes are changed as libFuzzer does it.
pub fn mutate_json(data: &mut [u8], size: usize, max_size: usize, seed: u32, head: usize) -> usize {
    let mut random = Random::seeded(seed.into());
    let document = data.get(head..size).and_then(|text| serde_json::from_slice::<Value>(text).ok());
    let Some(document) = document.filter(|_| random.below(4) > 0) else {
        return fuzzer_mutate(data, size, max_size);
    };
    let text = random.distorted(&document).to_string();
    match data.get_mut(head..max_size).and_then(|room| room.get_mut(..text.len())) {
        Some(room) => {
            room.copy_from_slice(text.as_bytes());
            head + text.len()
        }
        None => fuzzer_mutate(data, size, max_size),
    }
}
