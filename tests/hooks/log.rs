//! What `juju debug-log` has of jobs: how each ended and why it failed, told by the next hook, once.

use rehearsal::agent::Level;
use runner_image_builder::model::Timestamp;
use runner_image_builder::record::{History, JobId};

use crate::cloud::NOBODY;
use crate::deploy::Plan;
use crate::machine::{PATIENCE, Site};

/// The unit's log at `level`, by lines.
fn lines(site: &Site, level: Level) -> Vec<String> {
    let log = site.model.debug_log();
    let messages = log.iter().filter(|line| line.level == level && line.module == "juju-log");
    messages.flat_map(|line| line.message.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// How many of the lines contain `words`.
fn count(lines: &[String], words: &str) -> usize {
    lines.iter().filter(|line| line.contains(words)).count()
}

/// Waits for the end of the job that was asked for last.
fn job_ended(site: &Site) -> JobId {
    let wanted = site.request().unwrap().id;
    let has_ended = || History::load(&site.host()).unwrap().jobs.iter().any(|job| job.id == wanted);
    site.model.wait_until("the job's end", PATIENCE, has_ended).unwrap();
    wanted
}

#[test]
fn each_job_that_fails_is_told_once_with_its_reason_and_next_try() {
    let (site, _relation) = Plan::new().keystone(NOBODY).related();
    for _ in 0..3 {
        let job = job_ended(&site);
        let finished = site.journal().standings.iter().find_map(|standing| standing.open.clone());
        let next_try: String = Timestamp::into(finished.unwrap().next_try);
        site.next_hook();
        site.next_hook();
        let errors = lines(&site, Level::Error);
        assert_eq!(count(&errors, &format!("job {job} failed after ")), 1, "{errors:#?}");
        let why = format!("job {job}: Builders");
        let told: Vec<_> = errors.iter().filter(|line| line.starts_with(&why)).collect();
        assert_eq!(told.len(), 1, "{errors:#?}");
        assert!(told[0].contains(": reason network: "), "{told:?}");
        assert!(told[0].ends_with(&format!("; next try {next_try}")), "{told:?}");
        site.time_has_come();
        site.next_hook();
        assert_ne!(site.request().unwrap().id, job, "it is tried again");
    }
}

#[test]
fn what_ended_while_no_hook_ran_is_told_by_the_next_one_and_what_an_older_version_did_is_not() {
    let (site, _relation) = Plan::new().keystone(NOBODY).related();
    let first = job_ended(&site);
    // As an older version leaves it, which tells nothing.
    std::fs::remove_file(site.state_file("logged.json")).unwrap();
    site.next_hook();
    let before = count(&lines(&site, Level::Error), first.as_str());
    site.time_has_come();
    site.next_hook();
    let second = job_ended(&site);
    site.next_hook();
    let errors = lines(&site, Level::Error);
    assert_eq!(count(&errors, first.as_str()), before);
    assert_eq!(count(&errors, &format!("job {second} failed after ")), 1, "{errors:#?}");
}

#[test]
fn a_job_whose_worker_was_killed_right_after_its_end_is_in_the_history_all_the_same() {
    let (site, _relation) = Plan::new().keystone(NOBODY).related();
    let job = job_ended(&site);
    site.next_hook();
    site.kill_worker();
    // As it is between the job's end in the journal and the note of it in the history.
    let file = site.state_file("history.json");
    let mut history: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    history["jobs"].as_array_mut().unwrap().retain(|known| known["id"] != job.as_str());
    std::fs::write(&file, history.to_string()).unwrap();
    let told = site.unit().run_action("history", serde_json::json!({})).unwrap();
    let text = told.results["history"].as_str().unwrap();
    assert!(text.contains(&format!("job {job}: failed after ")), "{text}");
    site.time_has_come();
    site.next_hook();
    let next = job_ended(&site);
    let jobs: Vec<JobId> =
        History::load(&site.host()).unwrap().jobs.into_iter().map(|known| known.id).collect();
    assert_eq!(jobs.iter().filter(|known| **known == job).count(), 1, "{jobs:?}");
    assert!(jobs.contains(&next) && jobs.last() == Some(&next), "{jobs:?}");
}
