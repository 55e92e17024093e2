//! What a hook costs, beside the same event of a charm on Python's ops that looks at the same, under the same agent.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rehearsal::agent::{Application, HookRun, JujuVersion};
use rehearsal::cloud::CloudSetup;
use rehearsal::fixture::Fixture;
use rehearsal::servers::SiteSetup;
use runner_image_builder::host::Host;
use runner_image_builder::model::{Arch, BaseImage, Timestamp};
use runner_image_builder::record::{BuildConfig, BuildResult, Image, Job, Journal, Request};

use crate::Setting;
use crate::charms;
use crate::deployment::{OURS, all_succeeded, worker};
use crate::pairs::{in_pairs, median, ratio};
use crate::python::Python;
use crate::report::{Figure, Report};

/// Nobody listens there.
const NOWHERE: &str = "http://127.0.0.1:9/v3";

/// How many relations, in how many rounds, and how many milliseconds of CPU the project allows.
const CASES: [(usize, usize, Option<f64>); 3] = [(1, 30, Some(4.0)), (100, 12, Some(10.0)), (500, 5, None)];

/// How many calls of hook tools a hook may make that reads nothing in full.
const CALLS: f64 = 8.0;

pub fn measure(setting: &Setting, python: Result<&Python, &String>, report: &mut Report) {
    report.group("update-status with related projects, nothing to do");
    if let Err(why) = python {
        report.leave_out("a charm on ops", why);
    }
    let cases = CASES.iter().filter(|(relations, ..)| !setting.quick || *relations < 500);
    for (relations, rounds, at_most) in cases {
        let rounds = setting.rounds(*rounds, 3);
        let stage = Stage::new(&setting.charm);
        let ours = stage.ours(OURS, &setting.charm, *relations);
        let many = if *relations == 1 { "relation" } else { "relations" };
        let name = |what: &str| format!("{relations} {many}: {what}");
        let mut runs = Vec::new();
        let mut own = || {
            let run = hook(&ours);
            let cpu = ms(run.cpu);
            runs.push(run);
            cpu
        };
        let other = python.ok().map(|python| {
            let app = stage.related("on-ops", *relations);
            let folder = charms::on_ops(stage.fixture.directory(), &setting.charm, python);
            all_succeeded(&app.refresh(folder).unwrap());
            // Compiles.
            let calls = hook(&app).calls.len();
            let pairs = in_pairs(rounds, || ms(hook(&app).cpu), &mut own);
            (pairs, calls)
        });
        if other.is_none() {
            (0..rounds).for_each(|_| _ = own());
        }
        let figure = Figure::new(name("CPU"), median(runs.iter().map(|run| ms(run.cpu))), "ms");
        report.add(match at_most {
            Some(limit) => figure.at_most(*limit),
            None => figure,
        });
        let calls = median(runs.iter().map(|run| run.calls.len() as f64));
        report.add(Figure::new(name("calls of hook tools"), calls, "").at_most(CALLS));
        let memory = median(runs.iter().map(|run| run.max_rss_kib as f64 / 1024.0));
        report.add(Figure::new(name("memory"), memory, "MiB"));
        if let Some((pairs, calls)) = other {
            let cpu = median(pairs.iter().map(|(other, _)| *other));
            report.add(Figure::new(name("CPU on ops"), cpu, "ms").ratio(ratio(&pairs), "ours"));
            report.add(Figure::new(name("calls of hook tools on ops"), calls as f64, ""));
        }
    }
}

/// One update-status.
pub fn hook(app: &Application) -> HookRun {
    let run = app.unit(0).update_status().unwrap();
    assert!(run.succeeded(), "{run:?}");
    run
}

/// Milliseconds.
pub fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// A model in which applications are compared.
pub struct Stage {
    fixture: Fixture,
    idle: PathBuf,
}

impl Stage {
    /// An empty one.
    pub fn new(charm: &Path) -> Self {
        let fixture = Fixture::set(JujuVersion::V3_6, CloudSetup::default(), SiteSetup::default()).unwrap();
        let idle = charms::idle(fixture.directory(), charm);
        Self { fixture, idle }
    }

    /// A folder that goes with it.
    pub fn directory(&self) -> &Path {
        self.fixture.directory()
    }

    /// Our charm under this name, whose images are all published, and whose worker has gone.
    pub fn ours(&self, name: &str, charm: &Path, relations: usize) -> Application {
        let app = self.related(name, relations);
        all_succeeded(&app.refresh(charm).unwrap());
        let machine = match name {
            OURS => self.fixture.root(0),
            name => self.directory().join(format!("{name}-0")),
        };
        let host = Host::below(machine);
        idle(&host);
        settle(&host);
        // Publishes, and reads back what it has published.
        for _ in 0..4 {
            hook(&app);
            idle(&host);
        }
        app
    }

    /// A charm that does nothing, configured, with so many relations.
    pub fn related(&self, name: &str, relations: usize) -> Application {
        let app = self.fixture.deployment(name, &self.idle).run().unwrap();
        let secret = self.fixture.model.add_secret(&[("password", "secret")]).unwrap();
        secret.grant(&app).unwrap();
        app.set_config(&[
            ("architecture", "x64"),
            ("base-image", "noble"),
            ("base-image-source", NOWHERE),
            ("github-api-url", NOWHERE),
            ("runner-source", NOWHERE),
            ("openstack-auth-url", NOWHERE),
            ("openstack-password-secret", &secret.uri()),
            ("openstack-project-domain-name", "Default"),
            ("openstack-project-name", "build"),
            ("openstack-user-domain-name", "Default"),
            ("openstack-user-name", "me"),
        ])
        .unwrap();
        for number in 0..relations {
            let project = format!("project-{number}");
            let data = [
                ("auth_url", NOWHERE),
                ("password", "secret"),
                ("project_domain_name", "Default"),
                ("project_name", &project),
                ("user_domain_name", "Default"),
                ("username", "them"),
            ];
            app.integrate("image", &format!("{name}-runners-{number}"), &[&data]).unwrap();
        }
        app
    }
}

/// Waits until no worker lives.
fn idle(host: &Host) {
    while runner_image_builder::record::worker_lives(host).unwrap() || worker(host).is_some() {
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Notes that each project has its image.
fn settle(host: &Host) {
    let request = Request::load(host).unwrap().expect("a request");
    let mut journal = Journal::default();
    for (number, cloud) in request.config.clouds.iter().enumerate() {
        let config = BuildConfig { base: BaseImage::Noble, arch: Arch::X64, cloud_name: cloud.clone() };
        let id = format!("6f1c2f6e-0000-4000-8000-{number:012}").parse().unwrap();
        let (fingerprint, built) = ("f".into(), Timestamp::now());
        let result = BuildResult { config, id };
        journal.publish(Image { result, fingerprint, hash: None, revision: None, built });
    }
    journal.job = Some(Job { finished: Some(Timestamp::now()), ..Job::new(&request) });
    journal.save(host).unwrap();
}
