//! Two applications in one project, the name of one the beginning of the other's: neither touches what the other has.

use rehearsal::agent::{Application, Relation};
use runner_image_builder::builder::{Journal, worker_lives};
use runner_image_builder::host::Host;

use crate::scene::{Deployed, Scene, wait_for};

const NAME: &str = "image-builder-2";

/// A second application with the configuration of the first, and one option more.
fn neighbour(scene: &Scene, option: (&str, &str)) -> Application {
    let app = scene.deploy_neighbour(NAME, &scene.charm()).unwrap();
    let password = scene.model.add_secret(&[("password", "builder-password")]).unwrap();
    password.grant(&app).unwrap();
    let needed = scene.options(&password);
    let mut config: Vec<(&str, &str)> = needed.iter().map(|(name, value)| (*name, value.as_str())).collect();
    config.push(option);
    app.set_config(&config).unwrap();
    app
}

fn host(scene: &Scene) -> Host {
    Host::below(scene.around().neighbours_root(0))
}

fn ended(scene: &Scene) {
    let host = host(scene);
    let job = wait_for("the end of the neighbour's worker", || {
        let ended = Journal::load(&host).unwrap().job.filter(|job| job.finished.is_some());
        (!worker_lives(&host).unwrap()).then_some(ended).flatten()
    });
    assert_eq!(job.failures, []);
}

/// A job that searches the clouds for what is left.
fn sweep(app: &Application, host: &Host) {
    let mut journal = Journal::load(host).unwrap();
    journal.swept = None;
    journal.save(host).unwrap();
    assert_eq!(app.unit(0).exec("JUJU_DISPATCH_PATH=run ./dispatch").unwrap().code, 0);
}

/// The project's images of this name.
fn images(scene: &Scene, project: &str, name: &str) -> Vec<String> {
    let images = scene.cloud.project(project).images();
    images.iter().filter(|image| image.name.as_deref() == Some(name)).map(|image| image.id.clone()).collect()
}

fn told(app: &Application, relation: &Relation) -> String {
    relation.written_by(&app.unit(0)).unwrap()["id"].clone()
}

#[test]
fn each_sweeps_prunes_and_goes_without_touching_what_the_other_has() {
    let scene = Scene::set(&[("revision-history-limit", "2")]);
    let first = scene.integrate("upload");
    assert_eq!(scene.job_ended().failures, []);

    let slow =
        scene.site.serve_script("slow.sh", "#!/bin/bash\nwhile [ ! -e /opt/go ]; do sleep 0.1; done\n");
    let app = neighbour(&scene, ("script-url", &slow));
    let second = scene.around().integrate(&app, "upload").unwrap();
    let builder = || scene.cloud.project("builder-project").servers().pop();
    let vm = wait_for("the neighbour's builder VM", builder);
    assert!(vm.name.starts_with("image-builder-2-image-builder-"), "{}", vm.name);
    sweep(&scene.app, &scene.host(&scene.unit()));
    assert_eq!(scene.job_ended().failures, []);
    assert_eq!(builder().map(|found| found.id), Some(vm.id.clone()), "the neighbour is still at work");
    let go = || {
        let tree = scene.cloud.project("builder-project").server_tree(&vm.id)?;
        std::fs::write(tree.join("opt/go"), "").ok()
    };
    wait_for("the neighbour's machine", go);
    ended(&scene);

    for _ in 0..3 {
        assert_eq!(scene.build_again().failures, []);
    }
    sweep(&app, &host(&scene));
    ended(&scene);
    let (ours, theirs) = ("image-builder-noble-x64", "image-builder-2-noble-x64");
    assert_eq!(images(&scene, "upload-project", ours).len(), 2, "one more was pruned");
    assert!(images(&scene, "upload-project", ours).contains(&told(&scene.app, &first)));
    assert_eq!(images(&scene, "upload-project", theirs), [told(&app, &second)]);

    let removed = scene.app.remove().unwrap();
    assert!(removed.iter().all(|run| run.succeeded()), "{removed:?}");
    let bases =
        |name: &str| images(&scene, "builder-project", &format!("{name}-image-builder-base-noble-x64"));
    assert_eq!((bases("image-builder").len(), bases(NAME).len()), (0, 1));
    assert_eq!(images(&scene, "upload-project", ours).len(), 2, "published images stay");
    assert_eq!(images(&scene, "upload-project", theirs), [told(&app, &second)]);
}
