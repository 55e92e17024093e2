//! Our own files, damaged: by a disk, an older version, a hand. Made from a seed, so that a failure can be seen again.

use serde_json::{Value, json};

use super::job::TaskKind;
use super::jobs::Jobs;
use super::journal::{Image, Journal};
use super::peers::{Announcement, Peers};
use super::published::Published;
use crate::builder::{CloudName, Request};
use crate::host::Host;
use crate::testing::Random;

const ROUNDS: usize = 600;

fn journal() -> Value {
    let time = "2026-05-01T12:00:00Z";
    let target = json!({"base": "noble", "arch": "x64"});
    let resource = json!({"kind": "builder_vm", "cloud": "ci-1", "name": "vm", "id": "7"});
    json!({
        "format": 3, "swept": null,
        "standings": [{"task": "build", "target": target, "cloud": "ci-1", "last_success": time, "last_failure": time,
            "open": {"failures": [{"target": target, "cloud": "ci-1", "message": "no", "remedy": "retry"}], "in_row": 2,
                "next_try": time, "rebuild": "always", "jobs": ["ab"], "config_digest": "d"}}],
        "job": {
            "id": "ab", "reason": "schedule", "config_digest": "d", "started": time, "finished": time,
            "owner": {"model_uuid": "m", "application": "a", "unit": 0},
            "builds": [{"target": target, "since": time, "resources": [resource],
                "phase": {"name": "installing", "step": "s", "number": 1, "of": 2}}],
            "failures": [{"target": target, "cloud": "ci-1", "message": "no", "remedy": "retry"}]
        },
        "images": [{"config": {"base": "noble", "arch": "x64", "cloud_name": "ci-1"}, "id": "i", "fingerprint": "f",
            "hash": "h", "built": time}],
        "in_use": [{"cloud": "ci-1", "image": "i", "why": "w", "tries": 2, "last": time}],
        "leftovers": [{"cloud": "ci-2", "work": "builds", "what": ["base image b"], "tries": 2, "why": "no",
            "since": time, "last": time, "given_up": null}]
    })
}

fn images() -> Value {
    journal()["images"].take()
}

/// Writes `whole` as a file of the state, damaged in many ways, and lets `look` at each.
fn damaged(file: &str, whole: &Value, look: impl Fn(&Host, &str)) {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::below(dir.path());
    let mut random = Random::seeded(0x0dd_f11e);
    for round in 0..ROUNDS {
        let text = match round % 4 {
            0 => random.damaged(whole.to_string().as_bytes()),
            _ => random.distorted(whole).to_string().into_bytes(),
        };
        host.write(&host.state_dir().join(file), &text, 0o600).unwrap();
        look(&host, &String::from_utf8_lossy(&text));
    }
}

#[test]
fn a_damaged_journal_is_not_used_or_means_what_it_says() {
    let read = std::cell::Cell::new(0);
    let whole: Journal = serde_json::from_value(journal()).unwrap();
    assert_eq!(whole.images.len(), 1);
    damaged("journal.json", &journal(), |host, text| match Journal::read(host).unwrap() {
        Err(unreadable) => {
            assert_eq!(unreadable.file, "journal.json");
            assert_eq!(Journal::load(host).unwrap(), Journal::default(), "{text}");
        }
        Ok(journal) => {
            read.set(read.get() + 1);
            let config = crate::testing::run_config();
            let _ = (
                journal.next_try(&config, TaskKind::Build),
                journal.left_something(),
                journal.sweep_is_due(),
            );
            let first = CloudName::new("ci-1");
            let prunes = |image: &Image| journal.may_prune(&first, &image.result.id);
            let _ = journal.images.iter().filter(|image| prunes(image)).count();
            assert!(!Jobs::load(host).unwrap().to_string().is_empty());
            journal.save(host).unwrap();
            assert_eq!(Journal::load(host).unwrap(), journal, "{text}");
        }
    });
    assert!(read.get() > 10, "only {} were read: the others say nothing", read.get());
}

#[test]
fn what_is_known_of_databags_and_peers_is_asked_for_again_when_it_is_damaged() {
    let databags = json!({"image:1": {"cloud": "ci-1", "read": {"id": "i", "images": "[{\"id\": \"i\"}]"},
        "written": [["ci-1", {"id": "j"}]]}});
    damaged("databags.json", &databags, |host, _| drop(Published::load(host).unwrap().named_images()));
    let peers = json!({"relation": "units:0", "leads": true, "announced": "d",
        "units": {"a/1": {"acknowledged": "d", "names": ["i"]}}, "announcement": "[]",
        "unit_databag": {"written": {"names": "[]"}, "confirmed": true},
        "application_databag": {"written": null, "confirmed": false}});
    damaged("peers.json", &peers, |host, _| {
        let peers = Peers::load(host).unwrap();
        let _ = (peers.behind().len(), peers.named_images());
    });
}

#[test]
fn a_damaged_request_is_not_used_or_read() {
    let read = |host: &Host, text: &str| match Request::read(host).unwrap() {
        Ok(Some(request)) => drop(request.config.digest()),
        Ok(None) => panic!("it is there: {text}"),
        Err(unreadable) => assert_eq!(unreadable.file, "request.json"),
    };
    damaged("request.json", &json!({"id": "ab", "at": "2026-05-01T12:00:00Z", "config": {}}), read);
}

#[test]
fn an_announcement_that_is_damaged_is_not_understood_or_names_images() {
    let mut random = Random::seeded(0xa_11ce);
    for _ in 0..ROUNDS {
        let text = random.distorted(&images()).to_string();
        let Some(announcement) = Announcement::parse(&text) else { continue };
        assert_eq!((announcement.text(), announcement.digest().len()), (text.as_str(), 16));
    }
}
