//! One build to related projects: by sharing, and by copies to one, two and four, with one that lags.

use std::fs;
use std::sync::{Arc, Mutex};
use std::thread::scope;
use std::time::{Duration, Instant};

use rehearsal::cloud::{CloudSetup, Fault, RehearsalCloud, What};
use runner_image_builder::builder::BuilderRunConfig;
use runner_image_builder::builder::clouds::projects::Projects;
use runner_image_builder::builder::delivery::distribution::{Distributor, Recipient, Way};
use runner_image_builder::builder::delivery::outcome::Outcome;
use runner_image_builder::builder::delivery::publisher::Publisher;
use runner_image_builder::builder::delivery::queue::DeliveryQueue;
use runner_image_builder::builder::delivery::source::Artifact;
use runner_image_builder::model::{Arch, BaseImage, Deadline, Target, Timestamp};
use runner_image_builder::openstack_cloud::{Cloud, ImageId, ProjectId};
use runner_image_builder::record::{
    CloudName, Image, JobId, Phase, Progress, RecordError, Request, Resource, Revision,
};
use serde_json::json;

use crate::Setting;
use crate::deployment::{Deployment, Tenant, names};
use crate::pairs::{in_pairs, median, ratio};
use crate::python::Python;
use crate::report::{Figure, Report};
use crate::transfers::{image_size, upload, write_image};

const TARGET: Target = Target { base: BaseImage::Noble, arch: Arch::X64 };

/// How much longer the project takes that lags: at least this many times.
const LAG: usize = 8;

pub fn measure(setting: &Setting, python: Result<&Python, &String>, report: &mut Report) {
    let mebibytes = image_size(setting);
    report.group(&format!("A build of {mebibytes} MiB to related projects, read for the first time"));
    let stage = Stage::new(setting, mebibytes);
    let rounds = setting.rounds(5, 3);
    let last = |served: Vec<f64>| served.into_iter().fold(0.0, f64::max);
    let copies = |count: usize| last(stage.deliver(count, Way::Copy));
    let alone = median((0..rounds).map(|_| copies(1)));
    report.add(Figure::new("copied to 1 project", alone, "s"));
    for count in [2, 4] {
        let pairs = in_pairs(rounds, || copies(count), || copies(1));
        let value = median(pairs.iter().map(|(several, _)| *several));
        let figure = Figure::new(format!("copied to {count} projects"), value, "s");
        report.add(figure.ratio(ratio(&pairs), "a copy to 1"));
    }
    let pairs = in_pairs(rounds, || last(stage.deliver(4, Way::Share)), || copies(4));
    let value = median(pairs.iter().map(|(shared, _)| *shared));
    report.add(Figure::new("shared with 4 projects", value, "s").ratio(ratio(&pairs), "copies to 4"));
    let lags = || {
        let fault = stage.lag(mebibytes, alone);
        let mut served = stage.deliver(4, Way::Copy);
        stage.cloud.lift(fault);
        served.sort_by(f64::total_cmp);
        served[2]
    };
    let pairs = in_pairs(setting.rounds(3, 1), lags, || copies(3));
    let value = median(pairs.iter().map(|(lagged, _)| *lagged));
    let figure = Figure::new(format!("copied to 3 while a fourth takes {LAG} times as long"), value, "s");
    report.add(figure.ratio(ratio(&pairs), "copies to 3"));
    match python {
        Ok(python) => {
            let mut sdk = python.sdk(&stage.tenants);
            let path = stage.directory.path().join("copy.raw");
            let asked = json!({"do": "copy", "id": stage.build.to_string(), "path": path, "copies": 4});
            let pairs = in_pairs(rounds, || sdk.seconds(&asked), || last(stage.deliver(4, Way::Share)));
            let value = median(pairs.iter().map(|(sdk, _)| *sdk));
            let figure = Figure::new("copied to 4 projects by openstacksdk", value, "s");
            report.add(figure.ratio(ratio(&pairs), "shared with 4"));
            let pairs = in_pairs(rounds, || sdk.seconds(&asked), || copies(4));
            let value = median(pairs.iter().map(|(sdk, _)| *sdk));
            let figure = Figure::new("copied to 4 projects by openstacksdk", value, "s");
            report.add(figure.ratio(ratio(&pairs), "copies to 4"));
        }
        Err(why) => report.leave_out("openstacksdk", why),
    }
}

/// A build, and four projects that lack it.
struct Stage {
    cloud: RehearsalCloud,
    config: BuilderRunConfig,
    tenants: Vec<Tenant>,
    /// The build project and the others.
    clouds: Vec<Cloud>,
    build: ImageId,
    directory: tempfile::TempDir,
}

impl Stage {
    fn new(setting: &Setting, mebibytes: usize) -> Self {
        // A configuration as hooks write it.
        let deployment = Deployment::settled(&setting.charm, 1, &[]);
        let config = Request::load(&deployment.host()).unwrap().expect("a request").config;
        drop(deployment);
        let cloud = RehearsalCloud::start(CloudSetup::default().with_projects(names(4))).unwrap();
        let projects = ["builder".to_owned()].into_iter().chain(names(4));
        let tenants: Vec<Tenant> = projects.map(|name| Tenant::new(&cloud.auth_url(), &name)).collect();
        let clouds: Vec<Cloud> = tenants.iter().map(Tenant::connect).collect();
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("image.raw");
        write_image(&file, mebibytes);
        let build = upload(&clouds[0], &file);
        fs::remove_file(file).unwrap();
        Self { cloud, config, tenants, clouds, build, directory }
    }

    /// Lets the fourth project take what is sent to it slowly.
    fn lag(&self, mebibytes: usize, alone: f64) -> rehearsal::cloud::FaultId {
        let rate = (mebibytes << 20) as f64 / (alone * LAG as f64);
        let fault = Fault::new("PUT", "/file$", What::ReadSlowly(rate as u32)).unwrap();
        self.cloud.inject(fault.of_project("p4-project"))
    }

    /// Delivers the build to so many projects; returns after how many seconds each had it.
    fn deliver(&self, count: usize, way: Way) -> Vec<f64> {
        let soon = || Deadline::after(Duration::from_secs(1800));
        let build = &self.clouds[0];
        let revision = Revision {
            target: TARGET,
            id: self.build.clone(),
            job: JobId::random(),
            fingerprint: "f".into(),
            built: Timestamp::now(),
            proof: None,
            failed_reads: 0,
            contents: None,
            copies: Vec::new(),
        };
        let image = build.images().get(&self.build, soon()).unwrap().unwrap();
        let artifact = Arc::new(Artifact::new(revision, image));
        let (outcome, projects, queue) = (Outcome::default(), Projects::default(), DeliveryQueue::new(count));
        let served = Served { began: Instant::now(), images: Mutex::default() };
        let publisher = Publisher { progress: &served, outcome: &outcome, projects: &projects };
        let job = JobId::random();
        let distributor = Distributor::new(build, &self.config, &job, publisher, &queue);
        for (cloud, name) in self.clouds[1..].iter().zip(names(count)) {
            let name = CloudName::new(name);
            projects.join(&name, cloud);
            let recipient = Recipient { name, cloud: cloud.clone(), way, copy: None, tries: 0 };
            queue.report().lacks(TARGET, recipient);
        }
        scope(|scope| {
            while queue.is_wanted(TARGET) {
                distributor.deliver(scope, &artifact, soon());
            }
        });
        let (_, failures) = outcome.into_parts();
        assert!(failures.is_empty(), "{failures:?}");
        let images = served.images.into_inner().unwrap();
        for (image, _) in &images {
            let number: usize = image.result.config.cloud_name.as_str()[1..].parse().unwrap();
            match way {
                Way::Copy => drop(self.clouds[number].images().delete(&image.result.id, soon()).unwrap()),
                Way::Share => {
                    let project = self.clouds[number].project_id();
                    drop(build.images().unshare(&self.build, &project, soon()).unwrap());
                }
            }
        }
        images.into_iter().map(|(_, seconds)| seconds).collect()
    }
}

/// When projects were served.
struct Served {
    began: Instant,
    images: Mutex<Vec<(Image, f64)>>,
}

impl Progress for Served {
    fn phase(&self, _: Target, _: Phase) {}

    fn makes(&self, _: Target, _: &Resource) -> Result<(), RecordError> {
        Ok(())
    }

    fn made(&self, _: Target, _: &Resource) {}

    fn settled(&self, _: Target, _: &Resource) {}

    fn swept(&self, _: &CloudName) {}

    fn searched(&self) {}

    fn sweep_again(&self) {}

    fn works_in(&self, _: &CloudName, _: Vec<String>) -> Result<(), RecordError> {
        Ok(())
    }

    fn has_left(&self, _: &CloudName) {}

    fn could_not_leave(&self, _: &CloudName, _: Option<Vec<String>>, _: Option<String>) {}

    fn revision(&self, _: &Revision) {}

    fn is_waited_for(&self) -> bool {
        false
    }

    fn adopted(&self, _: Image) {}

    fn joins(&self, _: &CloudName, _: &ProjectId) -> Result<(), RecordError> {
        Ok(())
    }

    fn former_members_have_left(&self, _: &BuilderRunConfig) {}

    fn published(&self, image: Image) {
        self.images.lock().unwrap().push((image, self.began.elapsed().as_secs_f64()));
    }
}
