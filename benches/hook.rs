//! What a hook costs: CPU time and memory of the charm's own process, beside those of a charm that does nothing, in one
//! run under the same agent. `make bench`; RUNNER_IMAGE_BUILDER_CHARM names the unpacked charm.

#![allow(clippy::expect_used, reason = "a benchmark says what it needs")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use rehearsal::agent::{Application, HookRun, JujuVersion, Model};
use runner_image_builder::host::Host;
use runner_image_builder::model::{Arch, BaseImage, Timestamp};
use runner_image_builder::record::{
    BuildConfig, BuildResult, CloudName, Image, Job, JobId, Journal, Request,
};

const RUNS: usize = 50;

fn main() {
    let charm =
        std::env::var_os("RUNNER_IMAGE_BUILDER_CHARM").expect("RUNNER_IMAGE_BUILDER_CHARM, from make charm");
    let dir = tempfile::tempdir().expect("a folder");
    let model = Model::new(JujuVersion::V3_6).expect("a model");
    let idle = idle_charm(dir.path(), Path::new(&charm));
    let nothing = model.deploy(idle, "nothing", 1).expect("the idle charm");
    let ours = settled(&model, Path::new(&charm), &dir.path().join("root"));
    println!("{RUNS} update-status hooks each; complete configuration, one relation, one published image");
    println!("{:<28} {:>10} {:>10} {:>10} {:>6}", "", "CPU ms", "RSS MiB", "wall ms", "calls");
    // In turn, so that what else the machine does falls on both.
    let runs: Vec<(HookRun, HookRun)> = (0..RUNS).map(|_| (hook(&nothing), hook(&ours))).collect();
    let (floor, charm): (Vec<HookRun>, Vec<HookRun>) = runs.into_iter().unzip();
    show("a charm that does nothing", &floor);
    show("runner-image-builder", &charm);
}

fn hook(app: &Application) -> HookRun {
    app.unit(0).update_status().expect("a hook")
}

/// The median of each figure.
fn show(name: &str, runs: &[HookRun]) {
    let median = |figure: &dyn Fn(&HookRun) -> f64| {
        let mut figures: Vec<f64> = runs.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    };
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    println!(
        "{name:<28} {:>10.1} {:>10.1} {:>10.1} {:>6.0}",
        median(&|run| ms(run.cpu)),
        median(&|run| run.max_rss_kib as f64 / 1024.0),
        median(&|run| ms(run.wall)),
        median(&|run| run.calls.len() as f64),
    );
}

fn idle_charm(dir: &Path, charm: &Path) -> std::path::PathBuf {
    let idle = dir.join("idle");
    std::fs::create_dir(&idle).expect("a folder");
    for file in ["metadata.yaml", "config.yaml", "actions.yaml"] {
        std::fs::copy(charm.join(file), idle.join(file)).expect("a file of the charm");
    }
    let dispatch = idle.join("dispatch");
    std::fs::write(&dispatch, "#!/bin/sh\n").expect("dispatch");
    std::fs::set_permissions(&dispatch, std::fs::Permissions::from_mode(0o755)).expect("its mode");
    idle
}

/// The charm with everything configured, its image published and its worker gone.
fn settled(model: &Model, charm: &Path, root: &Path) -> Application {
    std::fs::create_dir(root).expect("the root");
    let app = model
        .deployment(charm, "image-builder")
        .env("RUNNER_IMAGE_BUILDER_ROOT", root)
        .run()
        .expect("deployment");
    let secret = model.add_secret(&[("password", "secret")]).expect("a secret");
    secret.grant(&app).expect("grant");
    let auth_url = "http://127.0.0.1:9/v3";
    app.set_config(&[
        ("architecture", "x64"),
        ("openstack-auth-url", auth_url),
        ("openstack-password-secret", &secret.uri()),
        ("openstack-project-domain-name", "Default"),
        ("openstack-project-name", "build"),
        ("openstack-user-domain-name", "Default"),
        ("openstack-user-name", "me"),
    ])
    .expect("config");
    let data = [
        ("auth_url", auth_url),
        ("password", "secret"),
        ("project_domain_name", "Default"),
        ("project_name", "runners"),
        ("user_domain_name", "Default"),
        ("username", "them"),
    ];
    app.integrate("image", "runner", &[&data]).expect("integration");
    let host = Host::below(root);
    while runner_image_builder::record::worker_lives(&host).expect("the lock") {
        std::thread::sleep(Duration::from_millis(100));
    }
    let request = Request::load(&host).expect("requests").expect("a request");
    let cloud: CloudName = request.config.clouds.first().expect("a cloud").clone();
    let config = BuildConfig { base: BaseImage::Noble, arch: Arch::X64, cloud_name: cloud };
    let id = "6f1c2f6e-0000-4000-8000-000000000001".parse().expect("an id");
    let mut journal = Journal::default();
    journal.publish(Image {
        result: BuildResult { config, id },
        fingerprint: "f".into(),
        hash: None,
        revision: None,
        built: Timestamp::now(),
    });
    journal.job = Some(Job {
        id: JobId::clone(&request.id),
        reason: Some(request.reason),
        config_digest: request.config.digest(),
        owner: request.config.owner.clone(),
        started: Timestamp::now(),
        finished: Some(Timestamp::now()),
        builds: Vec::new(),
        found: Vec::new(),
        delivered: Vec::new(),
        sent: Vec::new(),
        failures: Vec::new(),
    });
    journal.save(&host).expect("the journal");
    app
}
