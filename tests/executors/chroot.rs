//! The chroot executor, in a tree that looks like this machine's own, which it cannot harm.

use std::time::Duration;

use runner_image_builder::host::Namespaces;
use runner_image_builder::instance::ChrootExecutor;
use runner_image_builder::model::Deadline;

use crate::promises::Place;

/// This machine's tree with a layer of memory above it.
const TREE: &str = "cd \"$0\"; mount -t tmpfs none .; cd .; mkdir \"$0/upper\" \"$0/work\" \"$0/root\"
    mount -t overlay -o \"lowerdir=/,upperdir=$0/upper,workdir=$0/work\" none \"$0/root\"";

fn place() -> Place {
    let ground = tempfile::tempdir().unwrap();
    let deadline = Deadline::after(Duration::from_secs(60));
    // They end with the test's process at the latest.
    let namespaces: &'static Namespaces = Box::leak(Box::new(Namespaces::open().unwrap()));
    namespaces.program("bash").args(["-euc", TREE]).args([ground.path()]).run(deadline).unwrap();
    let root = ground.path().join("root");
    let chroot = ChrootExecutor::enter(namespaces, &root, "a chroot".into(), deadline).unwrap();
    Place { executor: Box::new(chroot), _ground: Box::new(ground) }
}

keeps_every_promise!(place());
