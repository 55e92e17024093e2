//! Two applications in one project, the name of one the beginning of the other's: neither touches what the other has.

use rehearsal::agent::{Application, Relation};
use runner_image_builder::host::Host;
use runner_image_builder::record::{Journal, worker_lives};

use crate::fixture::{Deployed, Fixture, wait_for};

const NAME: &str = "image-builder-2";

/// A second application with the configuration of the first, and one option more.
fn neighbour(fixture: &Fixture, option: (&str, &str)) -> Application {
    let app = fixture.deploy_neighbour(NAME, &fixture.charm()).unwrap();
    let password = fixture.model.add_secret(&[("password", "builder-password")]).unwrap();
    password.grant(&app).unwrap();
    let needed = fixture.options(&password);
    let mut config: Vec<(&str, &str)> = needed.iter().map(|(name, value)| (*name, value.as_str())).collect();
    config.push(option);
    app.set_config(&config).unwrap();
    app
}

fn host(fixture: &Fixture) -> Host {
    Host::below(fixture.around().neighbours_root(0))
}

fn ended(fixture: &Fixture) {
    let host = host(fixture);
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
fn images(fixture: &Fixture, project: &str, name: &str) -> Vec<String> {
    let images = fixture.cloud.project(project).images();
    images.iter().filter(|image| image.name.as_deref() == Some(name)).map(|image| image.id.clone()).collect()
}

fn told(app: &Application, relation: &Relation) -> String {
    relation.written_by(&app.unit(0)).unwrap()["id"].clone()
}

#[test]
fn each_sweeps_prunes_and_goes_without_touching_what_the_other_has() {
    let fixture = Fixture::set(&[("revision-history-limit", "2")]);
    let first = fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);

    let slow =
        fixture.site.serve_script("slow.sh", "#!/bin/bash\nwhile [ ! -e /opt/go ]; do sleep 0.1; done\n");
    let app = neighbour(&fixture, ("script-url", &slow));
    let second = fixture.around().integrate(&app, "upload").unwrap();
    let builder = || fixture.cloud.project("builder-project").servers().pop();
    let vm = wait_for("the neighbour's builder VM", builder);
    assert!(vm.name.starts_with("image-builder-2-image-builder-"), "{}", vm.name);
    sweep(&fixture.app, &fixture.host(&fixture.unit()));
    assert_eq!(fixture.job_ended().failures, []);
    assert_eq!(builder().map(|found| found.id), Some(vm.id.clone()), "the neighbour is still at work");
    let go = || {
        let tree = fixture.cloud.project("builder-project").server_tree(&vm.id)?;
        std::fs::write(tree.join("opt/go"), "").ok()
    };
    wait_for("the neighbour's machine", go);
    ended(&fixture);

    for _ in 0..3 {
        assert_eq!(fixture.build_again().failures, []);
    }
    sweep(&app, &host(&fixture));
    ended(&fixture);
    let (ours, theirs) = ("image-builder-noble-x64", "image-builder-2-noble-x64");
    assert_eq!(images(&fixture, "upload-project", ours).len(), 2, "one more was pruned");
    assert!(images(&fixture, "upload-project", ours).contains(&told(&fixture.app, &first)));
    assert_eq!(images(&fixture, "upload-project", theirs), [told(&app, &second)]);

    let removed = fixture.app.remove().unwrap();
    assert!(removed.iter().all(|run| run.succeeded()), "{removed:?}");
    let bases =
        |name: &str| images(&fixture, "builder-project", &format!("{name}-image-builder-base-noble-x64"));
    assert_eq!((bases("image-builder").len(), bases(NAME).len()), (0, 1));
    assert_eq!(images(&fixture, "upload-project", ours).len(), 2, "published images stay");
    assert_eq!(images(&fixture, "upload-project", theirs), [told(&app, &second)]);
}
