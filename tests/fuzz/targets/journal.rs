//! The journal as a disk, another version or a hand has left it: not used, or it means what it says, to people and to the
//! collector of metrics too, and is the same when it is written and read again.

#![no_main]
#![allow(missing_docs, clippy::panic, clippy::unwrap_used, reason = "a failure is what is looked for")]

use std::fs;

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use runner_image_builder::builder::{CloudName, Jobs, Journal, metrics};
use runner_image_builder::host::Host;

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    fuzz::mutate_json(data, size, max_size, seed, 0)
});

fuzz_target!(|bytes: &[u8]| {
    // In memory: whatever is written is flushed to its disk.
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let host = Host::below(dir.path());
    let file = host.state_dir().join("journal.json");
    fs::create_dir_all(host.state_dir()).unwrap();
    fs::write(&file, bytes).unwrap();
    let mut journal = Journal::load(&host).unwrap();
    assert!(!Jobs::load(&host).unwrap().to_string().is_empty());
    assert!(!metrics(&host).unwrap().is_empty());
    let _ = (journal.last_success(), journal.left_something(), journal.sweep_is_due());
    journal.save(&host).unwrap();
    assert_eq!(Journal::load(&host).unwrap(), journal);
    let cloud = CloudName::new("ci-1");
    let ids: Vec<_> = journal.images.iter().map(|image| image.result.id.clone()).collect();
    for id in &ids {
        let _ = journal.may_prune(&cloud, id);
        journal.is_in_use(&cloud, id, String::new());
        assert!(!journal.may_prune(&cloud, id));
    }
});
