//! Juju's agent is away, or busy, while the worker works: what was built is published once it is back, and a person on the
//! unit need not wait for it.

use std::process::Output;
use std::thread;

use rehearsal::agent::{ActionStatus, RunKind, StoppedSocket};
use runner_image_builder::record::{BuildSecrets, JobId, Rebuild, Request};
use serde_json::json;

use crate::fixture::{Deployed, Fixture, wait_for};

/// Clock ticks, of which Linux has 100 in a second, that a process has used.
fn cpu_ticks(process: i32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

fn request(fixture: &Fixture) -> Request {
    Request::load(&fixture.host(&fixture.unit())).unwrap().expect("a request")
}

fn worker_log(fixture: &Fixture) -> String {
    std::fs::read_to_string(fixture.host(&fixture.unit()).log_dir().join("worker.log")).unwrap()
}

/// How often Juju has not heard of a report.
fn tries(fixture: &Fixture) -> usize {
    worker_log(fixture).matches(" reporting to Juju, attempt ").count()
}

fn await_job(fixture: &Fixture, id: &JobId) {
    wait_for("the job's end", || {
        fixture.journal().job.filter(|job| job.id == *id && job.finished.is_some()).map(drop)
    });
}

#[test]
fn what_was_built_while_the_agent_was_away_is_published_when_it_is_back_without_any_hook() {
    let fixture = Fixture::set(&[("revision-history-limit", "2")]);
    let relation = fixture.integrate("upload");
    let published = || fixture.told(&relation, "id").expect("an id");
    fixture.job_ended();
    let oldest = published();
    fixture.build_again();
    let named = published();

    fixture.unit().run_action("run", json!({"force": true})).unwrap();
    fixture.model.stop_agents(StoppedSocket::Missing).unwrap();
    let before = fixture.unit().runs().len();
    await_job(&fixture, &request(&fixture).id);
    wait_for("a try", || (tries(&fixture) > 0).then_some(()));
    assert_eq!(published(), named);
    // Nothing else waits for the report: neither pruning nor another request.
    let images = || fixture.images_of_stage("upload-project", "published");
    wait_for("pruning", || (!images().contains(&oldest)).then_some(()));
    assert!(images().contains(&named) && images().len() == 2, "{:?}", images());
    let another = Request { id: JobId::random(), rebuild: Rebuild::Due, ..request(&fixture) };
    another.save(&fixture.host(&fixture.unit()), &BuildSecrets::default()).unwrap();
    await_job(&fixture, &another.id);

    let before_rest = tries(&fixture);
    wait_for("a try", || (tries(&fixture) > before_rest).then_some(()));
    let worker = fixture.worker().expect("a worker that waits to report");
    let begin = cpu_ticks(worker);
    wait_for("another try", || (tries(&fixture) > before_rest + 1).then_some(()));
    let used = cpu_ticks(worker) - begin;
    assert!(used < 20, "{used} ticks for a pause of some seconds");

    fixture.model.start_agents().unwrap();
    wait_for("the new image in the relation", || (published() != named).then_some(()));
    fixture.job_ended();
    assert!(images().contains(&published()));
    let runs = fixture.unit().runs();
    assert!(runs[before..].iter().all(|run| run.kind == RunKind::Exec), "a hook ran: {:?}", runs.last());
    assert!(worker_log(&fixture).contains("reported to Juju after "));
}

/// A build whose script takes minutes, once that runs.
fn slow_build() -> Fixture {
    let fixture = Fixture::set(&[]);
    let url = fixture.site.serve_script("slow.sh", "#!/bin/bash\nsleep 300\n");
    fixture.app.set_config(&[("script-url", &url)]).unwrap();
    fixture.integrate("upload");
    fixture.await_status("running the external script");
    fixture
}

/// `dispatch cancel` on the unit.
fn cancel(fixture: &Fixture) -> (Output, String) {
    let dispatch = fixture.unit().charm_dir().unwrap().join("dispatch");
    let mut command = fixture.unit().command(dispatch.to_str().unwrap()).unwrap();
    let output = command.arg("cancel").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (output, said)
}

#[test]
fn a_person_on_the_unit_cancels_a_build_that_an_action_waits_for() {
    let fixture = slow_build();
    let unit = fixture.unit();
    let running = fixture.journal().job.unwrap().id;
    thread::scope(|scope| {
        let action = scope.spawn(|| unit.run_action("run", json!({"wait": true})).unwrap());
        wait_for("the action", || (request(&fixture).id != running).then_some(()));
        let asked = request(&fixture).id;
        let (output, said) = cancel(&fixture);
        assert!(output.status.success(), "{output:?}");
        assert!(said.starts_with(&format!("cancelled {running}; job ")), "{said}");
        assert!(said.contains("removed builder VM image-builder-image-builder-noble-x64-"), "{said}");
        let action = action.join().unwrap();
        assert_eq!(action.status, ActionStatus::Failed);
        assert_eq!(action.message, format!("Job {asked} was cancelled."));
    });
    assert_eq!(fixture.leftovers(), [] as [String; 0]);
    assert_eq!(cancel(&fixture).1, "nothing to cancel: no job is running or waiting\n");
}

#[test]
fn a_person_on_the_unit_cancels_a_build_while_the_agent_is_away() {
    let fixture = slow_build();
    fixture.model.stop_agents(StoppedSocket::Refusing).unwrap();
    let (output, _) = cancel(&fixture);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(fixture.leftovers(), [] as [String; 0]);
    fixture.model.start_agents().unwrap();
    fixture.job_ended();
}
