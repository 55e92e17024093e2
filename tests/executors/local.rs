//! The local executor, on the machine that the test runs on.

use runner_image_builder::instance::LocalExecutor;

use crate::promises::Place;

fn place() -> Place {
    Place { executor: Box::new(LocalExecutor), _ground: Box::new(()) }
}

keeps_every_promise!(place());
