//! Each function of the seed: what it takes, what it gives, what it refuses, and what it leaves.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use rehearsal::cloud::{CloudSetup, Fault, RehearsalCloud, What};
use rehearsal::servers::{GITHUB_TOKEN, Site, SiteSetup};
use runner_image_builder::github::{GithubClient, GithubPath, RunnerApplication};
use runner_image_builder::http::{HttpClient, Proxies};
use runner_image_builder::model::{Arch, BaseImage, Deadline, Secret, Target};
use runner_image_builder::openstack_cloud::openstack_manager::{
    BuildImageConfig, BuildSite, DiskImageBuilder, IMAGE_NAME, ImageDeleteError, InstanceConfig, LaunchNotes,
    LaunchSite, MachineFile, OpenstackImageBuildError, OpenstackInstanceLaunchError, ProxyConfig,
    build_image, create_instance, create_instance_config,
};
use runner_image_builder::openstack_cloud::{
    Cloud, CloudConfig, Image, ImageId, Interface, Server, ServerId,
};

const PROJECT: &str = "upload-project";

/// A cloud, a GitHub, and the way to both.
struct World {
    cloud: RehearsalCloud,
    site: Site,
    http: HttpClient,
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let site = SiteSetup { image_size: 1 << 10, ..SiteSetup::default() };
        Self {
            cloud: RehearsalCloud::start(CloudSetup::default()).unwrap(),
            site: Site::start(site).unwrap(),
            http: HttpClient::new(Proxies::default()),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn config(&self) -> CloudConfig {
        CloudConfig {
            auth_url: self.cloud.auth_url(),
            region_name: None,
            interface: Interface::Public,
            ca_certificate: None,
            project_name: PROJECT.into(),
            project_domain_name: "Default".into(),
            user_domain_name: "Default".into(),
            username: "upload-user".into(),
            application_credential: None,
            password: Secret::new("upload-password".into()),
        }
    }

    fn github(&self, token: &str) -> GithubClient {
        GithubClient::anonymous(&self.http, &self.site.github_api_url()).with_token(Secret::new(token.into()))
    }

    /// An image of the project, as Glance shows it.
    fn image(&self, name: &str, properties: &[(&str, &str)]) -> Image {
        let id = self.cloud.project(PROJECT).add_image(name, b"bytes", properties).unwrap().id;
        let cloud = Cloud::connect(&self.config(), &self.http, soon()).unwrap();
        cloud.images().get(&id.parse().unwrap(), soon()).unwrap().unwrap()
    }

    /// The ids of the project's images of this name, oldest first.
    fn images(&self, name: &str) -> Vec<String> {
        let images = self.cloud.project(PROJECT).images().into_iter();
        images.filter(|image| image.name.as_deref() == Some(name)).map(|image| image.id.to_string()).collect()
    }

    fn servers(&self) -> usize {
        self.cloud.project(PROJECT).servers().len()
    }

    fn refuse(&self, method: &str, url: &str, status: u16) {
        let answer = What::Status(status, vec![], "no".into());
        self.cloud.inject(Fault::new(method, url, answer).unwrap());
    }
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(100))
}

fn path(text: &str) -> GithubPath {
    text.parse().unwrap()
}

// create_instance_config

#[test]
fn an_instance_config_tells_name_labels_token_path_and_image() {
    let world = World::new();
    for (unit, image, properties, name, labels) in [
        ("app/7", "app-noble-x64", vec![], "app-7-", vec!["app", "noble"]),
        ("app/7", IMAGE_NAME, vec![("os_version", "22.04")], "app-7-", vec!["app", "jammy"]),
        ("app/7", "renamed", vec![], "app-7-", vec!["app"]),
        (
            "an-application-with-quite-a-long-name/12",
            "x",
            vec![],
            "an-application-with-quite-a-long-12-",
            vec!["an-application-with-quite-a-long-name"],
        ),
    ] {
        let image = world.image(image, &properties);
        let github = world.github(GITHUB_TOKEN);
        let of = |path: &GithubPath| create_instance_config(unit, &image, path, &github, soon()).unwrap();
        let config = of(&path("octo/engine"));
        let digits = config.name.strip_prefix(name).expect(name);
        assert!(
            digits.len() == 24 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()),
            "{}",
            config.name
        );
        assert!(config.name.len() <= 64, "GitHub takes no longer ones");
        assert_eq!(config.labels, labels);
        assert_eq!(Some(config.registration_token.expose()), world.site.registration_tokens().last());
        assert_eq!((&config.github_path, &config.openstack_image.id), (&path("octo/engine"), &image.id));
        assert_eq!(config.github_url, world.site.github_url());
        assert_ne!(of(&path("octo")).name, config.name, "no two have the same name");
    }
}

#[test]
fn an_instance_config_is_refused_as_github_refuses() {
    let world = World::new();
    let image = world.image("app-noble-x64", &[]);
    for (token, owner, words) in [("ghp_no-good", "octo", "HTTP 401"), (GITHUB_TOKEN, "nobody", "HTTP 404")] {
        let error = create_instance_config("app/0", &image, &path(owner), &world.github(token), soon());
        let text = error.unwrap_err().to_string();
        assert!(text.contains(words) && !text.contains(token), "{text}");
    }
    assert!(world.site.registration_tokens().is_empty());
}

// create_instance

/// Notes what it is told.
#[derive(Default)]
struct Notes {
    told: RefCell<Vec<String>>,
    refuses: bool,
}

impl LaunchNotes for Notes {
    fn makes(&self, _: &str) -> Result<(), String> {
        self.told.borrow_mut().push("makes".into());
        if self.refuses { Err("the disk is full".into()) } else { Ok(()) }
    }

    fn made(&self, _: &ServerId) {
        self.told.borrow_mut().push("made".into());
    }

    fn gone(&self) {
        self.told.borrow_mut().push("gone".into());
    }
}

/// A launch with everything at its default, and what a test changes.
struct Launching<'a> {
    world: &'a World,
    config: InstanceConfig,
    notes: Notes,
    flavor: Option<&'a str>,
    network: Option<&'a str>,
    mirror: Option<&'a str>,
}

impl<'a> Launching<'a> {
    fn new(world: &'a World) -> Self {
        let image = world.image("app-noble-x64", &[]);
        let config =
            create_instance_config("app/0", &image, &path("octo"), &world.github(GITHUB_TOKEN), soon());
        let (flavor, network, mirror) = (None, None, None);
        Self { world, config: config.unwrap(), notes: Notes::default(), flavor, network, mirror }
    }

    fn run(&self) -> Result<Server, OpenstackInstanceLaunchError> {
        let labels = BTreeMap::from([("ours".to_owned(), "yes".to_owned())]);
        let site = LaunchSite {
            http: &self.world.http,
            flavor: self.flavor,
            network: self.network,
            labels: &labels,
            notes: &self.notes,
            deadline: soon(),
        };
        create_instance(&self.world.config(), &self.config, None, self.mirror, &[], site)
    }

    /// What it says when it fails; nothing of it may be left.
    #[track_caller]
    fn refusal(&self) -> String {
        let text = self.run().unwrap_err().to_string();
        assert!(text.contains(&self.config.name), "{text} names the runner");
        assert!(!text.contains(self.config.registration_token.expose()), "{text}");
        assert_eq!(self.world.servers(), 0);
        text
    }
}

#[test]
fn an_instance_runs_from_its_image_under_its_name_with_its_labels() {
    let world = World::new();
    let launching =
        Launching { flavor: Some("builder"), network: Some("runner-net"), ..Launching::new(&world) };
    let server = launching.run().unwrap();
    assert_eq!(server.name, launching.config.name);
    assert_eq!(server.metadata["ours"], "yes");
    assert!(!server.addresses.is_empty());
    assert_eq!(*launching.notes.told.borrow(), ["makes", "made"]);
    let made = world.cloud.project(PROJECT).servers().remove(0);
    assert_eq!(
        (made.id.as_str(), made.image.as_str()),
        (server.id.as_str(), launching.config.openstack_image.id.as_str())
    );
    assert_eq!((made.flavor.name.as_str(), made.groups), ("builder", vec!["default".to_owned()]));
}

#[test]
fn an_instance_is_refused_with_the_reason_and_leaves_nothing() {
    let world = World::new();
    type Change = fn(&mut Launching<'_>);
    let changes: [(&str, Change); 6] = [
        ("flavor \"none\" does not exist", |launching| launching.flavor = Some("none")),
        ("has no disk of its own", |launching| launching.flavor = Some("no-disk")),
        ("network \"none\" does not exist", |launching| launching.network = Some("none")),
        ("line break", |launching| launching.mirror = Some("a\nB=1")),
        ("label \"a,b\" contains a comma", |launching| launching.config.labels.push("a,b".into())),
        ("the disk is full; the server is not launched, because it cannot be recorded", |launching| {
            launching.notes.refuses = true
        }),
    ];
    for (words, change) in changes {
        let mut launching = Launching::new(&world);
        change(&mut launching);
        let text = launching.refusal();
        assert!(text.contains(words), "{text}");
    }
    let made = world
        .cloud
        .log()
        .iter()
        .filter(|entry| entry.method == "POST" && entry.url.ends_with("/servers"))
        .count();
    assert_eq!(made, 0);
    let launching = Launching::new(&world);
    world.refuse("POST", "/auth/tokens$", 401);
    let text = launching.run().unwrap_err().to_string();
    assert!(text.contains("authenticating as upload-user"), "{text}");
}

#[test]
fn an_instance_whose_creation_was_not_answered_is_found_by_its_name_and_tried_again() {
    let world = World::new();
    world.cloud.inject(Fault::new("POST", "/servers$", What::LoseReply).unwrap().times(1));
    let launching = Launching::new(&world);
    let server = launching.run().unwrap();
    assert_eq!(world.servers(), 1, "the first one is gone");
    assert_eq!(world.cloud.project(PROJECT).servers()[0].id, server.id.as_str());
    assert_eq!(*launching.notes.told.borrow(), ["makes", "gone", "makes", "made"]);
}

#[test]
fn an_instance_that_cannot_be_removed_is_told_of_and_stays_noted() {
    let world = World::new();
    world.cloud.fail_next_build("No valid host was found.");
    world.refuse("DELETE", "/servers/", 403);
    let launching = Launching::new(&world);
    let error = launching.run().unwrap_err();
    assert!(matches!(error, OpenstackInstanceLaunchError::Left { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("No valid host") && text.contains("its server could not be deleted"), "{text}");
    assert_eq!(*launching.notes.told.borrow(), ["makes", "made"], "it is not noted as gone");
}

// build_image

/// Writes what it is given instead of an image.
struct Builder {
    fails: bool,
    told: RefCell<Vec<(Target, String, Vec<String>)>>,
}

impl DiskImageBuilder for Builder {
    fn build(
        &self,
        target: Target,
        runner: &RunnerApplication,
        files: &[MachineFile],
        file: &Path,
        _: Deadline,
    ) -> Result<u64, String> {
        let files = files.iter().map(|file| file.path.to_owned()).collect();
        self.told.borrow_mut().push((target, runner.filename.clone(), files));
        fs::write(file, b"QFI\xfb").unwrap();
        if self.fails { Err("the recipe failed".into()) } else { Ok(20) }
    }
}

fn labels(id: &ImageId) -> BTreeMap<String, String> {
    BTreeMap::from([("ours".to_owned(), "yes".to_owned()), ("own_id".to_owned(), id.to_string())])
}

impl World {
    fn build(
        &self,
        builder: &Builder,
        proxies: Option<ProxyConfig>,
    ) -> Result<ImageId, OpenstackImageBuildError> {
        let config = BuildImageConfig { arch: Arch::X64, base_image: BaseImage::Noble, proxies };
        let folder = self.folder.path();
        let site = BuildSite { http: &self.http, builder, folder, labels: &labels, deadline: soon() };
        build_image(&self.config(), &self.github(GITHUB_TOKEN), &path("octo"), &config, site)
    }

    fn assert_nothing_on_disk(&self) {
        assert_eq!(fs::read_dir(self.folder.path()).unwrap().count(), 0);
    }
}

fn builder() -> Builder {
    Builder { fails: false, told: RefCell::default() }
}

#[test]
fn a_built_image_takes_the_place_of_ours_and_of_nobody_elses() {
    let world = World::new();
    let theirs = [
        world.image(IMAGE_NAME, &[]),
        // A snapshot of a server of ours has our labels and another id.
        world.image(IMAGE_NAME, &[("ours", "yes"), ("own_id", "of-another")]),
        world.image("other", &[("ours", "yes")]),
    ];
    let builder = builder();
    let first = world.build(&builder, None).unwrap();
    let proxy = ProxyConfig { http: Some(Secret::new("http://p:1".into())), ..ProxyConfig::default() };
    let second = world.build(&builder, Some(proxy)).unwrap();
    let left = world.images(IMAGE_NAME);
    assert!(left.contains(&second.to_string()) && !left.contains(&first.to_string()), "{left:?}");
    assert_eq!(left.len(), 3, "{left:?}");
    assert!(left.contains(&theirs[0].id.to_string()) && left.contains(&theirs[1].id.to_string()));
    assert_eq!(world.images("other").len(), 1);
    let image =
        world.cloud.project(PROJECT).images().into_iter().find(|image| image.id == second.as_str()).unwrap();
    assert_eq!(
        (image.status.as_str(), image.min_disk, image.properties["os_version"].as_str()),
        ("active", 20, "24.04")
    );
    assert_eq!(world.cloud.project(PROJECT).image_bytes(second.as_str()).unwrap(), b"QFI\xfb");
    world.assert_nothing_on_disk();

    let told = builder.told.into_inner();
    let target = Target { base: BaseImage::Noble, arch: Arch::X64 };
    let docker = ["/etc/systemd/system/docker.service.d/http-proxy.conf", "/home/ubuntu/.docker/config.json"];
    let tarball = "actions-runner-linux-x64-2.337.1.tar.gz";
    assert_eq!(told[0], (target, tarball.to_owned(), vec![]));
    assert_eq!(told[1].2, docker);
}

#[test]
fn a_build_that_fails_says_why_and_leaves_the_image_before() {
    let world = World::new();
    let before = world.build(&builder(), None).unwrap();
    let keeps = |world: &World, words: &str, fails: bool| {
        let error = world.build(&Builder { fails, ..builder() }, None).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("building image ") && text.contains(words), "{text}");
        assert_eq!(world.images(IMAGE_NAME), [before.to_string()]);
        world.assert_nothing_on_disk();
        error
    };
    let error = keeps(&world, "the recipe failed; scripts/build-openstack-image.sh builds it", true);
    assert!(matches!(error, OpenstackImageBuildError::Build { .. }));
    world.refuse("PUT", "/file$", 413);
    keeps(&world, "uploading image", false);
    world.cloud.heal();
    world.refuse("POST", "/auth/tokens$", 401);
    keeps(&world, "authenticating", false);
    world.cloud.heal();
    let refused = What::Status(404, vec![], "{}".into());
    world.site.inject(Fault::new("GET", "/downloads$", refused).unwrap());
    let error = keeps(&world, "check the path", false);
    assert!(matches!(error, OpenstackImageBuildError::Github(_)));
}

#[test]
fn what_a_killed_build_has_left_goes_first_or_is_told_of() {
    let world = World::new();
    // Its upload broke off, and nothing of it could be removed.
    world.refuse("PUT", "/file$", 413);
    world.refuse("DELETE", "/images/", 403);
    world.build(&builder(), None).unwrap_err();
    let [left] = &world.images(IMAGE_NAME)[..] else { panic!("one that is not complete") };
    let builder = builder();
    let error = world.build(&builder, None).unwrap_err();
    let OpenstackImageBuildError::Delete(ImageDeleteError { id, .. }) = &error else { panic!("{error}") };
    assert_eq!(id.as_str(), left);
    assert!(error.to_string().contains("delete it when it is no longer in use"), "{error}");
    assert!(builder.told.borrow().is_empty(), "nothing is built that would not fit");
    world.cloud.heal();
    let new = world.build(&builder, None).unwrap();
    assert_eq!(world.images(IMAGE_NAME), [new.to_string()]);
    // An old one that is in use stays, and the new one counts.
    world.refuse("DELETE", "/images/", 409);
    let newer = world.build(&builder, None).unwrap();
    assert_eq!(world.images(IMAGE_NAME), [new.to_string(), newer.to_string()]);
}
