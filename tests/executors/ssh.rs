//! The ssh executor, on a real sshd.

use std::time::Duration;

use runner_image_builder::instance::{Command, Executor, ExecutorError, KeyPair, SshExecutor};
use runner_image_builder::model::Deadline;

use crate::promises::Place;
use crate::sshd::Sshd;

fn place() -> Place {
    let sshd = Sshd::start();
    Place { executor: Box::new(sshd.connect()), _ground: Box::new(sshd) }
}

keeps_every_promise!(place());

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(120))
}

#[test]
fn comes_back_after_the_instance_was_booted_again() {
    let mut sshd = Sshd::start();
    let executor = sshd.connect();
    executor.run(Command::new(["true"]), soon()).unwrap();
    sshd.stop();
    sshd.start_again();
    // The connection may still look alive to the first command.
    let _ = executor.run(Command::new(["true"]), soon());
    executor.run(Command::new(["true"]), soon()).unwrap();
}

#[test]
fn says_that_the_connection_broke_and_does_not_run_the_command_again() {
    let mut sshd = Sshd::start();
    let executor = sshd.connect();
    let file = sshd.connection().with_file_name("runs");
    let script = format!("echo run >>{0}; while [ -e {0} ]; do sleep 0.1; done", file.display());
    let error = std::thread::scope(|scope| {
        let running = scope.spawn(|| executor.run(Command::shell(&script), soon()).unwrap_err());
        while !file.exists() && !running.is_finished() {
            std::thread::sleep(Duration::from_millis(20));
        }
        sshd.stop();
        sshd.start_again();
        running.join().unwrap()
    });
    assert!(matches!(error, ExecutorError::Unreachable { .. }), "{error}");
    executor.run(Command::new(["true"]), soon()).unwrap();
    assert_eq!(std::fs::read_to_string(file).unwrap(), "run\n");
}

#[test]
fn gives_up_at_once_when_it_is_abandoned_while_it_connects_again() {
    let mut sshd = Sshd::start();
    let executor = sshd.connect();
    sshd.stop();
    executor.run(Command::new(["true"]), Deadline::after(Duration::from_secs(1))).unwrap_err();
    // The first thing that an attempt does is to remove what is left of the connection before.
    let left = sshd.connection().join("ssh");
    std::fs::write(&left, "").unwrap();
    let error = std::thread::scope(|scope| {
        let running = scope.spawn(|| executor.run(Command::new(["true"]), soon()).unwrap_err());
        while left.exists() && !running.is_finished() {
            std::thread::sleep(Duration::from_millis(20));
        }
        executor.abandon();
        running.join().unwrap()
    });
    assert!(error.to_string().contains("the connection was given up"), "{error}");
}

#[test]
fn believes_no_other_host_key() {
    let sshd = Sshd::start();
    let mut target = sshd.target();
    target.host_key = KeyPair::generate(&sshd.host, sshd.connection().parent().unwrap(), "x").unwrap().public;
    let deadline = Deadline::after(Duration::from_secs(60));
    let error = SshExecutor::connect(&sshd.host, target, sshd.connection(), deadline).err().unwrap();
    assert!(error.to_string().contains("Host key verification failed"), "{error}");
    assert!(!sshd.connection().exists(), "keys were left behind");
}

#[test]
fn leaves_no_key_and_no_client_behind() {
    let sshd = Sshd::start();
    let executor = sshd.connect();
    executor.run(Command::new(["true"]), soon()).unwrap();
    assert!(sshd.connection().join("key").exists());
    drop(executor);
    assert!(!sshd.connection().exists());
}
