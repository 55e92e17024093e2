//! A cloud with related projects, and the charm on a machine of its own that serves them.

use std::path::Path;
use std::time::{Duration, Instant};

use rehearsal::agent::{Application, HookRun, JujuVersion};
use rehearsal::cloud::{CloudSetup, Fault, What};
use rehearsal::fixture::{APPLICATION, Fixture};
use rehearsal::servers::SiteSetup;
use runner_image_builder::host::Host;
use runner_image_builder::http::{HttpClient, Proxies};
use runner_image_builder::model::{Deadline, Secret};
use runner_image_builder::openstack_cloud::{Cloud, CloudConfig, Interface};
use runner_image_builder::record::{Job, Journal, Request};
use serde_json::{Value, json};

use crate::charms;

/// How long a job may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(900);

/// A project and its user.
pub struct Tenant {
    auth_url: String,
    name: String,
}

impl Tenant {
    /// `NAME-project` of the cloud at `auth_url`.
    pub fn new(auth_url: &str, name: &str) -> Self {
        Self { auth_url: auth_url.to_owned(), name: name.to_owned() }
    }

    /// What a client has to be told.
    pub fn auth(&self) -> Value {
        let Self { auth_url, name } = self;
        json!({"auth_url": auth_url, "username": format!("{name}-user"), "password": format!("{name}-password"),
            "project_name": format!("{name}-project"), "user_domain_name": "Default", "project_domain_name": "Default"})
    }

    /// The project, as our own client reaches it.
    pub fn connect(&self) -> Cloud {
        let Self { auth_url, name } = self;
        let config = CloudConfig {
            auth_url: auth_url.clone(),
            region_name: None,
            interface: Interface::Public,
            ca_certificate: None,
            project_name: format!("{name}-project"),
            project_domain_name: "Default".into(),
            user_domain_name: "Default".into(),
            username: format!("{name}-user"),
            application_credential: None,
            password: Secret::new(format!("{name}-password")),
        };
        let http = HttpClient::new(Proxies::default());
        Cloud::connect(&config, &http, Deadline::after(PATIENCE)).unwrap()
    }
}

/// The names of so many projects.
pub fn names(projects: usize) -> impl Iterator<Item = String> {
    (1..=projects).map(|number| format!("p{number}"))
}

/// What a job has cost.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Seconds from the event that asks for it to the end of the worker.
    pub wall: f64,
    /// Requests that the cloud has got.
    pub requests: usize,
    /// Those of them that change something there.
    pub writes: usize,
}

/// A deployment.
pub struct Deployment {
    app: Application,
    around: Fixture,
}

impl Deployment {
    /// A charm that does nothing yet and is related to so many projects; `options` on top of what it needs.
    pub fn idle(charm: &Path, projects: usize, options: &[(&str, &str)]) -> Self {
        let cloud =
            CloudSetup { image_members: 1 << 20, ..CloudSetup::default() }.with_projects(names(projects));
        let site = SiteSetup { image_size: 64 << 10, ..SiteSetup::default() };
        let around = Fixture::set(JujuVersion::V3_6, cloud, site).unwrap();
        let app = around.deploy(&charms::idle(around.directory(), charm)).unwrap();
        let password = around.model.add_secret(&[("password", "builder-password")]).unwrap();
        password.grant(&app).unwrap();
        let mut config = around.options(&password);
        config.retain(|(name, _)| *name != "delivery");
        let config: Vec<(&str, &str)> = config
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .chain(options.iter().copied())
            .collect();
        app.set_config(&config).unwrap();
        for name in names(projects) {
            around.integrate(&app, &name).unwrap();
        }
        Self { app, around }
    }

    /// The same, once it is our charm and all its images are there.
    pub fn settled(charm: &Path, projects: usize, options: &[(&str, &str)]) -> Self {
        let deployment = Self::idle(charm, projects, options);
        deployment.become_ours(charm);
        deployment.settle();
        deployment
    }

    /// Makes it our charm, which begins to build, and waits until all images are there.
    pub fn become_ours(&self, charm: &Path) {
        all_succeeded(&self.app.refresh(charm).unwrap());
        let job = self.job_ended();
        assert_eq!(job.failures, [], "the first job");
    }

    /// Lets it do what it does once after a change.
    pub fn settle(&self) {
        for _ in 0..3 {
            self.look();
        }
    }

    /// From now on each request to the cloud takes this much longer.
    pub fn slow_down(&self, pause: Duration) {
        self.around.cloud.inject(Fault::new("*", ".", What::Delay(pause)).unwrap());
    }

    /// Puts other people's images into the projects.
    pub fn crowd(&self, images: usize) {
        for project in ["builder-project", "p1-project"] {
            let project = self.around.cloud.project(project);
            for number in 0..images {
                project.add_image(&format!("other-{number}"), b"x", &[("os_distro", "ubuntu")]).unwrap();
            }
        }
    }

    /// The next job searches the clouds, as one does each hour.
    pub fn search_is_due(&self) {
        let mut journal = Journal::load(&self.host()).unwrap();
        journal.swept = None;
        journal.save(&self.host()).unwrap();
    }

    /// Looks for work, as cron does, and waits until it is done.
    pub fn look(&self) -> Cost {
        let (log, before) = (self.around.cloud.log().len(), self.asked());
        let began = Instant::now();
        let result = self.app.unit(0).exec("JUJU_DISPATCH_PATH=run ./dispatch").unwrap();
        assert_eq!(result.code, 0, "{}", result.stderr);
        assert_ne!(self.asked(), before, "no job was asked for");
        let job = self.job_ended();
        let wall = began.elapsed().as_secs_f64();
        assert_eq!(job.failures, []);
        let log = self.around.cloud.log().split_off(log);
        let is_write = |method: &str, url: &str| method != "GET" && !url.ends_with("/auth/tokens");
        let writes = log.iter().filter(|entry| is_write(&entry.method, &entry.url)).count();
        Cost { wall, requests: log.len(), writes }
    }

    /// The unit's machine.
    pub fn host(&self) -> Host {
        Host::below(self.around.root(0))
    }

    fn asked(&self) -> Option<String> {
        Request::load(&self.host()).unwrap().map(|request| request.id.to_string())
    }

    fn job_ended(&self) -> Job {
        let (host, began) = (self.host(), Instant::now());
        while began.elapsed() < PATIENCE {
            if worker(&host).is_none() {
                let asked = Request::load(&host).unwrap().map(|request| request.id);
                let is_it = |job: &Job| job.finished.is_some() && Some(&job.id) == asked.as_ref();
                if let Some(job) = Journal::load(&host).unwrap().job.filter(is_it)
                    && worker(&host).is_none()
                {
                    return job;
                }
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let log = std::fs::read_to_string(host.log_dir().join("worker.log")).unwrap_or_default();
        panic!("the worker did not end; it says\n{log}");
    }
}

/// The process of the worker that lives on a machine.
pub fn worker(host: &Host) -> Option<i32> {
    let note = std::fs::read_to_string(host.state_dir().join("worker.lock")).ok()?;
    let process = note.trim().parse().ok()?;
    let command = std::fs::read_to_string(format!("/proc/{process}/cmdline")).ok()?;
    command.contains("\0work\0").then_some(process)
}

/// Every hook must succeed.
pub fn all_succeeded(runs: &[HookRun]) {
    for run in runs {
        assert!(run.succeeded(), "{} ended with {}: {}", run.name, run.ending, run.stderr);
    }
}

/// The name of the application whose machine [`Deployment::host`] is.
pub const OURS: &str = APPLICATION;
