//! The charm's script that builds an image on this machine and uploads it, as somebody without Juju uses it.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rehearsal::cloud::{CloudSetup, RehearsalCloud};
use rehearsal::servers::GITHUB_TOKEN;
use runner_image_builder::openstack_cloud::openstack_manager::{
    BUILD_OPENSTACK_IMAGE_SCRIPT_FILENAME, IMAGE_NAME,
};

use crate::kills::traces;
use crate::workbench::{Workbench, look_into};

const PROJECT: &str = "upload-project";

/// Runs the script with `token` on its standard input.
fn build(bench: &Workbench, cloud: &RehearsalCloud, words: [&str; 3], token: &str) -> Output {
    let charm = bench.dir.path().join("charm");
    let script = charm.join(BUILD_OPENSTACK_IMAGE_SCRIPT_FILENAME);
    if !charm.exists() {
        fs::create_dir_all(script.parent().unwrap()).unwrap();
        let sources = Path::new(env!("CARGO_MANIFEST_DIR"));
        fs::copy(sources.join(BUILD_OPENSTACK_IMAGE_SCRIPT_FILENAME), &script).unwrap();
        symlink(env!("CARGO_BIN_EXE_dispatch"), charm.join("dispatch")).unwrap();
    }
    let clouds = bench.dir.path().join("clouds.yaml");
    fs::write(&clouds, cloud.clouds_yaml()).unwrap();
    let mut command = Command::new(script);
    let settings = bench.settings();
    let mirror = settings.iter().find_map(|setting| setting.strip_prefix("build-apt-mirror=http://"));
    let mirror = mirror.and_then(|mirror| mirror.split(':').next());
    let no_proxy = ["127.0.0.1"].into_iter().chain(mirror).collect::<Vec<_>>().join(",");
    command.args(words).args(&settings);
    command.env("RUNNER_IMAGE_BUILDER_ROOT", &bench.root).env("OS_CLIENT_CONFIG_FILE", clouds);
    // Nobody is there: what the build itself asks for is all on this machine.
    command.env("http_proxy", "http://me:it's@127.0.0.1:1").env("no_proxy", no_proxy);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(token.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn an_image_by_hand_is_in_the_cloud_with_githubs_runner_and_dockers_proxies() {
    let bench = Workbench::complete();
    let cloud = RehearsalCloud::start(CloudSetup::default()).unwrap();
    let project = cloud.project(PROJECT);
    let theirs = project.add_image(IMAGE_NAME, b"theirs", &[]).unwrap().id;
    let token = format!("{GITHUB_TOKEN}\n");
    let output = build(&bench, &cloud, ["upload", "octo/engine", "noble-x64"], &token);
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{complained}");
    assert!(!format!("{said}{complained}").contains(GITHUB_TOKEN));
    let id = said.lines().last().expect("the image's id");
    let images = project.images();
    let image = images.iter().find(|image| image.id == id).expect("the image");
    assert_eq!(
        (image.name.as_deref(), image.status.as_str(), image.min_disk),
        (Some(IMAGE_NAME), "active", 20)
    );
    assert_eq!(images.len(), 2);
    assert!(images.iter().any(|image| image.id == theirs), "somebody else's stays");
    let left = fs::read_dir(bench.root.join("var/lib/runner-image-builder")).unwrap().flatten();
    // How new the list of base images was is remembered: an older one is refused from now on. So is what GitHub answered.
    let kept = ["local", "signed-lists.json", "github-releases.json"];
    let stays = |name: &std::ffi::OsString| kept.iter().any(|kept| name == kept);
    let left: Vec<_> = left.map(|entry| entry.file_name()).filter(|name| !stays(name)).collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(traces(&bench.root), [] as [String; 0]);

    let file = bench.dir.path().join("uploaded.qcow2");
    fs::write(&file, project.image_bytes(id).unwrap()).unwrap();
    let seen = look_into(
        &file,
        bench.dir.path(),
        "home/ubuntu/actions-runner/bin/Runner.Listener --version
         echo $(($(stat -c %u home/ubuntu/.docker) - $(stat -c %u home/ubuntu)))
         cat home/ubuntu/.docker/config.json etc/systemd/system/docker.service.d/http-proxy.conf",
    );
    let lines: Vec<&str> = seen.lines().collect();
    assert_eq!(lines[0], "2.337.1", "the application that GitHub offers");
    assert_eq!(lines[1], "0", "the folder is that of whose home it is in");
    assert!(seen.contains(r#""httpProxy":"http://me:it's@127.0.0.1:1""#), "{seen}");
    assert!(seen.contains("Environment=\"HTTP_PROXY=http://me:it's@127.0.0.1:1\""), "{seen}");
}

#[test]
fn a_build_by_hand_without_a_token_a_cloud_or_a_path_is_refused_at_once() {
    let bench = Workbench::with_image(b"no image");
    let cloud = RehearsalCloud::start(CloudSetup::default()).unwrap();
    for (words, token, problem) in [
        (["upload", "octo", "noble-x64"], "", "provide a GitHub token on standard input"),
        (["none", "octo", "noble-x64"], GITHUB_TOKEN, "clouds.yaml has no cloud \"none\""),
        (["upload", "a/b/c", "noble-x64"], GITHUB_TOKEN, "is not a GitHub path"),
        (["upload", "octo", "warty-x64"], GITHUB_TOKEN, "use BASE-ARCHITECTURE"),
        (["upload", "octo", "noble-x64"], "wrong", "GitHub rejects the token"),
        (["upload", "nobody", "noble-x64"], GITHUB_TOKEN, "check the path"),
        (["upload", "octo", "noble-x64"], GITHUB_TOKEN, "builds it on another machine"),
    ] {
        let output = build(&bench, &cloud, words, token);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(problem), "{words:?}: {said}");
        assert!(cloud.project(PROJECT).images().is_empty());
    }
}
