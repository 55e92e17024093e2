//! What the worker's log and the unit's say of a job: a line of each milestone with ids, times and bytes, and the same words
//! in both of how it ended.

use std::fs;

use rehearsal::agent::Level;

use crate::fixture::{Deployed, Fixture};

/// The lines of the worker's log, without their times.
fn worker_log(fixture: &Fixture) -> Vec<String> {
    let log = fs::read_to_string(fixture.host(&fixture.unit()).log_dir().join("worker.log")).unwrap();
    log.lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
}

/// The lines of the unit's log at `level` that contain `words`.
fn told(fixture: &Fixture, level: Level, words: &str) -> Vec<String> {
    let log = fixture.model.debug_log();
    let lines = log.iter().filter(|line| line.level == level && line.module == "juju-log");
    let lines = lines.flat_map(|line| line.message.lines().map(str::to_owned).collect::<Vec<_>>());
    lines.filter(|line| line.contains(words)).collect()
}

/// The metrics have each of `samples`, without their prefix.
#[track_caller]
fn assert_counted(fixture: &Fixture, samples: &[&str]) {
    let metrics = fixture.unit().exec("./dispatch metrics").unwrap().stdout;
    for sample in samples {
        assert!(
            metrics.contains(&format!("\nrunner_image_builder_{sample}")),
            "{sample} is not in {metrics}"
        );
    }
}

/// Finds a line for each of `milestones`, in this order.
#[track_caller]
fn assert_in_order(log: &[String], milestones: &[&str]) {
    let mut rest = log.iter();
    for milestone in milestones {
        let words: Vec<&str> = milestone.split(" .. ").collect();
        let is_it = |line: &String| words.iter().all(|word| line.contains(word));
        assert!(rest.any(is_it), "{milestone:?} is not where it should be in {log:#?}");
    }
}

/// The line of a log that tells how a job ended is in both logs, once, whatever the number of hooks.
#[track_caller]
fn assert_told_once(fixture: &Fixture, level: Level, words: &str) -> String {
    fixture.next_hook();
    fixture.next_hook();
    let lines = told(fixture, level, words);
    let [line] = lines.as_slice() else { panic!("{words:?} should be told once: {lines:#?}") };
    assert!(worker_log(fixture).iter().any(|known| known.ends_with(line.as_str())), "{line}");
    line.clone()
}

#[test]
fn a_good_build_has_a_line_of_each_milestone() {
    let fixture = Fixture::set(&[("delivery", "copy")]);
    let relation = fixture.integrate("upload");
    let job = fixture.job_ended();
    assert_eq!(job.failures, []);
    let image = fixture.told(&relation, "id").expect("an id");
    let build = fixture.journal().revisions[0].id.to_string();
    let log = worker_log(&fixture);
    let id = job.id.as_str();
    assert_in_order(
        &log,
        &[
            &format!("INFO  job {id} started: build, triggered by configuration"),
            &format!("INFO  job {id}: noble-x64: checking ended after "),
            "INFO  noble-x64: base image  .. is in the build cloud after ",
            "INFO  noble-x64: server  .. created: flavor  .. , network  .. , image ",
            "INFO  noble-x64: server  .. active after ",
            "INFO  noble-x64: server  .. reachable by ssh at  .. after ",
            &format!("INFO  job {id}: noble-x64: installing packages ended after "),
            &format!("INFO  noble-x64: snapshot {build} of server  .. taken:  .. bytes after "),
            "INFO  noble-x64: server  .. deleted: no longer needed",
            &format!("INFO  noble-x64: snapshot {build} verified after "),
            &format!("INFO  noble-x64: build {build} kept in build project "),
            &format!(
                "INFO  noble-x64: build {build} delivered to upload-project (image: .. ) as image {image}:  .. bytes after "
            ),
            &format!("INFO  job {id} succeeded after "),
        ],
    );
    let line = assert_told_once(&fixture, Level::Info, &format!("job {id} succeeded"));
    assert!(line.contains(&format!(": noble-x64 built as {build}; 1 image delivered, ")), "{line}");
    let named = told(&fixture, Level::Info, &format!(": published image {image} (x64,noble)"));
    assert_eq!(named.len(), 1, "{named:?}");
    assert!(!log.iter().any(|line| line.starts_with("ERROR")), "{log:#?}");
    assert_counted(
        &fixture,
        &[
            "phase_duration_seconds_count{phase=\"installing\"} 1\n",
            "jobs_total{trigger=\"configuration\",outcome=\"succeeded\"} 1\n",
            "results_total{target=\"noble-x64\",cloud=\"\",reason=\"\"} 1\n",
            "results_total{target=\"noble-x64\",cloud=\"upload-project.image-",
            "delivered_bytes_total{target=\"noble-x64\"} ",
            "image_info{target=\"noble-x64\",runner=\"2.",
        ],
    );

    fixture.look_for_work();
    let job = fixture.job_ended();
    let line = assert_told_once(&fixture, Level::Info, &format!("job {} had nothing due", job.id));
    assert!(!line.contains("succeeded"), "{line}");
}

#[test]
fn a_shared_image_is_told_with_the_project_that_gets_it() {
    let fixture = Fixture::set(&[("delivery", "share")]);
    let relation = fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    let image = fixture.told(&relation, "id").expect("an id");
    let line =
        format!("INFO  noble-x64: build {image} shared with upload-project (image: .. (project  .. after ");
    assert_in_order(
        &worker_log(&fixture),
        &[&line, " succeeded after  .. ; 1 image delivered, 0 bytes sent"],
    );
}

#[test]
fn a_failure_is_an_error_with_target_reason_and_next_try_in_both_logs() {
    let fixture = Fixture::set(&[("build-flavor", "no-disk")]);
    fixture.integrate("upload");
    let job = fixture.job_ended();
    let id = job.id.as_str();
    let line = assert_told_once(&fixture, Level::Error, &format!("job {id}: noble-x64: "));
    let begin = format!("job {id}: noble-x64: reason placement: build-flavor \"no-disk\"");
    assert!(line.starts_with(&begin) && line.contains("; next try 20"), "{line}");
    let line = assert_told_once(&fixture, Level::Error, &format!("job {id} failed"));
    assert!(line.ends_with(": 1 failure"), "{line}");
    assert_counted(&fixture, &["results_total{target=\"noble-x64\",cloud=\"\",reason=\"placement\"} "]);
    let of_it = |line: &&String| line.contains("succeeded") || line.contains("nothing due");
    assert_eq!(worker_log(&fixture).iter().filter(of_it).count(), 0);
}

#[test]
fn a_job_whose_worker_died_was_interrupted() {
    let fixture = Fixture::set(&[]);
    fixture.integrate("upload");
    fixture.await_status("Building noble-x64: launching");
    let id = fixture.journal().job.unwrap().id;
    fixture.kill_worker();
    fixture.next_hook();
    assert_eq!(fixture.job_ended().failures, []);
    assert_told_once(&fixture, Level::Warning, &format!("job {id} was interrupted"));
}
