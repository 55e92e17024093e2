//! An image up to Glance and down again: our client, curl and openstacksdk.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rehearsal::cloud::{CloudSetup, RehearsalCloud};
use runner_image_builder::model::{Deadline, Digesting};
use runner_image_builder::openstack_cloud::{Cloud, ImageId, NewImage};
use serde_json::json;
use sha2::Sha512;

use crate::Setting;
use crate::deployment::{Tenant, names};
use crate::pairs::{in_pairs, median, ratio};
use crate::python::Python;
use crate::report::{Figure, Report};

pub fn measure(setting: &Setting, python: Result<&Python, &String>, report: &mut Report) {
    let mebibytes = image_size(setting);
    report.group(&format!("An image of {mebibytes} MiB; ours digests it on the way (SHA-512)"));
    let cloud = RehearsalCloud::start(CloudSetup::default().with_projects(names(1))).unwrap();
    let tenant = Tenant::new(&cloud.auth_url(), "p1");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("image.raw");
    write_image(&file, mebibytes);
    let ours = tenant.connect();
    let glance = cloud.service_url("RegionOne", "glance").unwrap();
    let curl = Curl { token: token(&tenant), glance };
    let kept = upload(&ours, &file);
    let rounds = setting.rounds(7, 3);
    let seconds = |work: &mut dyn FnMut()| {
        let began = Instant::now();
        work();
        began.elapsed().as_secs_f64()
    };
    let up = || {
        let mut made = None;
        let took = seconds(&mut || made = Some(upload(&ours, &file)));
        delete(&ours, &made.unwrap());
        took
    };
    let down = || seconds(&mut || download(&ours, &kept));
    let curl_up = || {
        let id = create(&ours);
        let took = seconds(&mut || curl.upload(&id, &file));
        delete(&ours, &id);
        took
    };
    let curl_down = || seconds(&mut || curl.download(&kept));
    tell(report, "up", in_pairs(rounds, up, curl_up), "curl");
    tell(report, "down", in_pairs(rounds, down, curl_down), "curl");
    match python {
        Ok(python) => {
            let mut sdk = python.sdk(&[tenant]);
            let asked = json!({"do": "upload", "path": file});
            tell(report, "up", in_pairs(rounds, up, || sdk.seconds(&asked)), "openstacksdk");
            let asked = json!({"do": "download", "id": kept.to_string()});
            tell(report, "down", in_pairs(rounds, down, || sdk.seconds(&asked)), "openstacksdk");
        }
        Err(why) => report.leave_out("openstacksdk", why),
    }
}

/// How large images are, in MiB.
pub fn image_size(setting: &Setting) -> usize {
    let size = std::env::var("SIZE").ok().and_then(|size| size.parse().ok());
    size.unwrap_or(if setting.quick { 32 } else { 256 })
}

/// Writes so many MiB of which no two are the same.
pub fn write_image(path: &Path, mebibytes: usize) {
    let mut file = File::create(path).unwrap();
    let mut piece = vec![0x5a_u8; 1 << 20];
    for number in 0..mebibytes {
        piece[..8].copy_from_slice(&(number as u64).to_le_bytes());
        file.write_all(&piece).unwrap();
    }
}

fn tell(report: &mut Report, way: &str, pairs: Vec<(f64, f64)>, other: &str) {
    let value = median(pairs.iter().map(|(ours, _)| *ours));
    report.add(Figure::new(format!("{way}, beside {other}"), value, "s").ratio(ratio(&pairs), other));
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(600))
}

fn create(cloud: &Cloud) -> ImageId {
    let new = NewImage {
        id: None,
        name: "bench".into(),
        disk_format: "raw".into(),
        container_format: "bare".into(),
        min_disk: 0,
        min_ram: 0,
        properties: Default::default(),
    };
    cloud.images().create(&new, soon()).unwrap().id
}

/// Makes an image of a file.
pub fn upload(cloud: &Cloud, file: &Path) -> ImageId {
    let id = create(cloud);
    let file = File::open(file).unwrap();
    let size = file.metadata().unwrap().len();
    cloud.images().upload(&id, Some(size), &mut Digesting::<_, Sha512>::new(file), soon()).unwrap();
    id
}

fn download(cloud: &Cloud, id: &ImageId) {
    let stream = cloud.images().download(id, soon()).unwrap();
    io::copy(&mut Digesting::<_, Sha512>::new(stream), &mut io::sink()).unwrap();
}

fn delete(cloud: &Cloud, id: &ImageId) {
    cloud.images().delete(id, soon()).unwrap();
}

/// curl with a token.
struct Curl {
    token: String,
    glance: String,
}

impl Curl {
    fn upload(&self, id: &ImageId, file: &Path) {
        let mut curl = self.command(id);
        run(curl.args(["-H", "content-type: application/octet-stream", "-T"]).arg(file));
    }

    fn download(&self, id: &ImageId) {
        run(self.command(id).args(["-o", "/dev/null"]));
    }

    fn command(&self, id: &ImageId) -> Command {
        let mut curl = Command::new("curl");
        curl.args(["-s", "-f", "-H", &format!("x-auth-token: {}", self.token)]);
        curl.arg(format!("{}/v2/images/{id}/file", self.glance));
        curl
    }
}

fn run(command: &mut Command) -> String {
    let output = command.output().expect("curl");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A token of a project.
fn token(tenant: &Tenant) -> String {
    let auth = tenant.auth();
    let domain = json!({"name": "Default"});
    let asked = json!({"auth": {
        "identity": {"methods": ["password"], "password": {"user":
            {"name": auth["username"], "password": auth["password"], "domain": domain}}},
        "scope": {"project": {"name": auth["project_name"], "domain": domain}}}});
    let url = format!("{}/auth/tokens", auth["auth_url"].as_str().unwrap());
    let mut curl = Command::new("curl");
    curl.args(["-s", "-f", "-i", "-H", "content-type: application/json", "-d", &asked.to_string(), &url]);
    let answer = run(&mut curl);
    let token = answer.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("x-subject-token").then(|| value.trim().to_owned())
    });
    token.expect("a token")
}
