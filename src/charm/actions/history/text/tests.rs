//! What somebody reads who knows nothing of the charm's records.

use serde_json::{Value, json};

use super::*;
use crate::host::Host;

const CI: &str = "ci.image-1.0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A unit with these records.
fn past(journal: &Value, asked: &Value, history: &Value) -> Past {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::below(dir.path());
    let files = [("journal.json", journal), ("asked.json", asked), ("history.json", history)];
    for (file, content) in files {
        host.write(&host.state_dir().join(file), content.to_string().as_bytes(), 0o600).unwrap();
    }
    Past::load(&host).unwrap()
}

fn at(time: &str) -> String {
    format!("2026-05-01T{time}Z")
}

#[test]
fn operators_read_this_history() {
    let (noble, jammy) = (json!({"base": "noble", "arch": "x64"}), json!({"base": "jammy", "arch": "x64"}));
    let failure = json!({"target": noble, "cloud": null, "message": "fetching script-url: not found (HTTP 404)",
        "remedy": "operator", "cause": "script", "since": at("08:00:00")});
    let journal = json!({
        "format": 3, "swept": null, "in_use": [],
        "job": {"id": "f6", "reason": "schedule", "config_digest": "d", "started": at("14:00:00"), "finished": null,
            "owner": {"model_uuid": "m", "application": "a", "unit": 0}, "builds": [], "failures": []},
        "revisions": [{"base": "noble", "arch": "x64", "id": "5d-build", "job": "a1", "fingerprint": "f",
            "built": at("07:10:00"), "copies": [{"cloud": CI, "id": "7c-copy"}]}],
        "images": [{"config": {"base": "noble", "arch": "x64", "cloud_name": CI}, "id": "7c-copy",
            "fingerprint": "f", "built": at("07:10:00"), "revision": "5d-build"}],
        "standings": [
            {"task": "build", "target": noble, "cloud": CI, "last_success": at("07:12:03"),
                "last_failure": at("06:00:00"), "open": null},
            {"task": "build", "target": noble, "cloud": null, "last_success": null, "last_failure": at("13:00:00"),
                "open": {"failures": [failure], "in_row": 4, "next_try": at("15:00:00"), "rebuild": "due",
                    "jobs": [], "config_digest": "d"}},
            {"task": "build", "target": jammy, "cloud": CI, "last_success": null, "last_failure": null,
                "open": null}]
    });
    let request = |id: &str, time: &str, reason: &str, more: Value| {
        let mut request = json!({"id": id, "at": at(time), "reason": reason, "task": "build"});
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        request
    };
    let asked = json!({"format": 1, "requests": [
        request("a1", "07:00:00", "action", json!({"action": "run", "forced": true, "bases": ["noble"]})),
        request("b2", "07:30:00", "action", json!({"action": "pin", "task": "serve"})),
        request("c3", "08:00:00", "configuration",
            json!({"changed": ["script-url", "related project added: ci (image:1)"]})),
        request("d4", "13:00:00", "retry", json!({"retries": ["noble-x64 (script)"]})),
        request("e5", "13:30:00", "cancel", json!({"action": "cancel", "task": "clean_up", "replaced_by": "f6"})),
        request("f6", "14:00:00", "schedule", json!({"continues": "d4"})),
    ]});
    let build = json!({"target": noble, "phase": "done", "built": "5d-build", "changes": "2 packages updated",
        "seconds": {"checking": 2, "preparing": 61, "launching": 45, "total": 720},
        "phases": [{"phase": "checking", "seconds": 2}, {"phase": "preparing", "seconds": 61},
            {"phase": "launching", "seconds": 45}]});
    let up_to_date = json!({"target": jammy, "phase": "up to date", "seconds": {"checking": 2, "total": 2}});
    let job = |id: &str, started: &str, finished: &str, outcome: &str| json!({"id": id, "started": at(started), "finished": at(finished), "outcome": outcome});
    let mut run = job("a1", "07:00:03", "07:12:03", "succeeded");
    (run["builds"], run["delivered"]) =
        (json!([build]), json!([{"target": noble, "project": CI, "id": "7c-copy", "bytes": 536_870_912}]));
    let serve = job("b2", "07:30:01", "07:30:09", "succeeded");
    let mut failed = job("d4", "13:00:01", "13:00:04", "failed");
    failed["failures"] = json!([{"target": noble, "cause": "script",
        "message": "fetching script-url: not found (HTTP 404)\nforged"}]);
    let mut idle = job("0", "06:00:00", "06:00:02", "succeeded");
    idle["builds"] = json!([up_to_date]);
    let history = json!({"format": 1, "jobs": [idle, run, serve, failed]});
    let past = past(&journal, &asked, &history);
    let outcomes = past.outcome_lines().join("\n");
    insta::assert_snapshot!(format!("{past}\n{outcomes}"), @r#"
    job f6: running
      requested by: schedule (option build-interval), continues job d4; 2026-05-01T14:00:00Z
      Building image; started 2026-05-01T14:00:00Z
    job e5: replaced by job f6
      requested by: action cancel (clean-up); 2026-05-01T13:30:00Z
    job d4: failed after 3 s, started 2026-05-01T13:00:01Z
      requested by: retry of noble-x64 (script); 2026-05-01T13:00:00Z
      failed (script): noble-x64: fetching script-url: not found (HTTP 404)\nforged
    job c3: its result is not on record
      requested by: configuration: script-url, related project added: ci (image:1); 2026-05-01T08:00:00Z
    job b2: succeeded after 8 s, started 2026-05-01T07:30:01Z
      requested by: action pin; 2026-05-01T07:30:00Z
    job a1: succeeded after 12 min 0 s, started 2026-05-01T07:00:03Z
      requested by: action run, force=true, only noble; 2026-05-01T07:00:00Z
      noble-x64: done, new build 5d-build; checking 2 s, preparing 1 min 1 s, launching 45 s; 12 min 0 s in all
        changed since the previous build: 2 packages updated
      noble-x64 in ci (image:1): new image 7c-copy, 512 MiB sent
    job 0: succeeded after 2 s, nothing was due, started 2026-05-01T06:00:00Z
      jammy-x64: up to date; checking 2 s; 2 s in all

    noble-x64 in ci (image:1): image 7c-copy of build 5d-build is published, built 2026-05-01T07:10:00Z; last success 2026-05-01T07:12:03Z; last failure 2026-05-01T06:00:00Z, resolved since
    noble-x64 build: last success 2026-05-01T07:10:00Z; failing since 2026-05-01T08:00:00Z, 4 in a row, last 2026-05-01T13:00:00Z (script): fetching script-url: not found (HTTP 404); next try 2026-05-01T15:00:00Z
    jammy-x64 in ci (image:1): no success yet; no failure
    "#);
}
