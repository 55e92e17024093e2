//! Secrets are in the files that are for them, and nowhere else: looked for in all that others can see.

use std::fs;
use std::path::Path;

use rehearsal::agent::Proxies;
use serde_json::json;

use crate::cloud::NOBODY;
use crate::deploy::{PASSWORD, Plan};
use crate::machine::{PATIENCE, Site};

const SECRETS: [&str; 5] =
    [PASSWORD, "correct horse", "s3same-script", "pr0xy-word", "github_pat_planted-5e1f"];

/// A site that has used all the secrets that there are: a build cloud's, a relation's, a script's, a proxy's,
/// GitHub's.
fn site(keystone: &str) -> Site {
    let plan = Plan::new().keystone(keystone);
    let site = plan.configured();
    let script = site.model.add_secret(&[("token", SECRETS[2])]).unwrap();
    script.grant(&site.app).unwrap();
    let token = site.model.add_secret(&[("token", SECRETS[4])]).unwrap();
    token.grant(&site.app).unwrap();
    let proxy = "http://me:pr0xy-word@127.0.0.1:1".to_owned();
    let no_proxy = "127.0.0.0/8".to_owned();
    site.model.set_proxies(Proxies { http: proxy, no_proxy, ..Proxies::default() }).unwrap();
    site.app
        .set_config(&[("script-secret-id", &script.uri()), ("github-token-secret-id", &token.uri())])
        .unwrap();
    site.app.integrate("image", "runners", &[&plan.project().data()]).unwrap();
    site
}

/// All that nobody may see, with the key that the charm has made itself.
fn secrets(site: &Site) -> Vec<String> {
    let own = site.model.view().secrets.into_values().filter(|secret| secret.owner.is_some());
    let keys: Vec<String> = own.map(|secret| secret.content["private-key"].clone()).collect();
    assert_eq!(keys.len(), 1, "the key that provenance is signed with");
    let key = keys[0].lines().nth(1).unwrap().to_owned();
    SECRETS.into_iter().map(str::to_owned).chain([key]).collect()
}

#[track_caller]
fn assert_clean(secrets: &[String], what: &str, text: &str) {
    for secret in secrets {
        assert!(!text.contains(secret), "{secret:?} is in {what}: {text}");
    }
}

/// All files below `folder`.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files(&entry.path())),
            false => found.push(entry.path()),
        }
    }
    found
}

fn assert_nothing_shows(site: &Site) {
    let secrets = &secrets(site);
    for line in site.model.debug_log() {
        assert_clean(secrets, "the debug log", &line.message);
    }
    for status in site.unit().statuses().unwrap() {
        assert_clean(secrets, "a status", &status.message);
    }
    for run in site.model.runs() {
        assert_clean(secrets, "a hook's output", &format!("{}{}", run.stdout, run.stderr));
        for call in run.calls {
            assert_clean(secrets, &format!("the arguments of {}", call.tool), &call.argv.join(" "));
        }
    }
    for file in files(site.host().root()) {
        let content = String::from_utf8_lossy(&fs::read(&file).unwrap()).into_owned();
        match file.file_name().unwrap().to_str().unwrap() {
            "clouds.yaml" => assert!(content.contains(PASSWORD), "the search does not find what is there"),
            _ => assert_clean(secrets, &file.display().to_string(), &content),
        }
    }
}

#[test]
fn no_secret_is_in_what_others_can_see_while_a_worker_works() {
    let site = site(&crate::cloud::hanging());
    let worker = site.worker();
    site.next_hook();
    site.unit().run_action("run", json!({"bases": "jammy"})).unwrap();
    site.kill_worker();
    // What waits for a worker lies in the run folder; the next one takes it.
    site.next_hook();
    site.worker();
    assert_clean(&secrets(&site), "the worker's command line", &worker.command);
    assert_nothing_shows(&site);
}

#[test]
fn no_secret_is_in_what_a_failed_job_leaves() {
    let site = site(NOBODY);
    let ended = || site.journal().job.is_some_and(|job| job.finished.is_some()) && !site.worker_lives();
    site.model.wait_until("the job to fail", PATIENCE, ended).unwrap();
    site.unit().wait_idle(PATIENCE).unwrap();
    site.assert_status("maintenance: Build failed");
    assert_nothing_shows(&site);
}

#[test]
fn secrets_in_transit_are_for_root_alone_and_end_with_their_reader() {
    use std::os::unix::fs::MetadataExt;
    let site = site(&crate::cloud::hanging());
    site.worker();
    let run_folder = site.host().run_dir();
    assert_eq!(files(&run_folder), Vec::<std::path::PathBuf>::new(), "the worker has taken them");
    site.app.set_config(&[("base-image", "jammy")]).unwrap();
    let waiting = files(&run_folder);
    assert_eq!(waiting.len(), 1, "{waiting:?}");
    assert_eq!(fs::metadata(&waiting[0]).unwrap().mode() & 0o777, 0o600);
}
