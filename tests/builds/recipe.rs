//! The rehearsal's checks of an image, one for each step of the recipe: each can fail.

use std::path::PathBuf;

use rehearsal::instance::archive::{Content, Entry};
use rehearsal::recipe::{Evidence, STEPS, digest, steps_in};
use rehearsal::servers::{SiteSetup, YQ, runner_tarball};

use crate::fixture::{Deployed, Fixture, SCRIPT_SECRET};

const SOURCES: &str = "etc/apt/sources.list.d/ubuntu.sources";

/// A complete image, built now.
fn evidence(fixture: &Fixture) -> Evidence {
    let script = "#!/bin/bash\nset -eu\nprintf %s \"$rib_test_secret\" | sha256sum >/opt/script.ok\n";
    let url = fixture.site.serve_script("setup.sh", script);
    let (secret, mirror) = (fixture.script_secret.uri(), fixture.site.serve_mirror("noble"));
    let options = [("script-url", url), ("script-secret-id", secret), ("build-apt-mirror", mirror)];
    let options: Vec<(&str, &str)> = options.iter().map(|(name, value)| (*name, value.as_str())).collect();
    fixture.app.set_config(&options).unwrap();
    let relation = fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    let id = fixture.told(&relation, "id").unwrap();
    let version = SiteSetup::default().runner_versions.pop().unwrap();
    Evidence {
        tree: fixture.cloud.project("upload-project").image_tree(&id).unwrap(),
        tarball: runner_tarball("x64", &version).unwrap(),
        tool: fixture.site.served(YQ).unwrap(),
        mirror_asked: fixture.site.log().iter().any(|entry| entry.url.ends_with("/InRelease")),
        script_mark: ("opt/script.ok".into(), format!("{}  -\n", digest(SCRIPT_SECRET.as_bytes()))),
        secret: SCRIPT_SECRET.into(),
    }
}

fn write(image: &mut Evidence, path: &str, text: &str) {
    let content = Content::File(text.into());
    image.tree.0.insert(path.into(), Entry { mode: 0o644, uid: 0, content });
}

fn replace(image: &mut Evidence, path: &str, from: &str, to: &str) {
    let text = image.tree.text(path).to_owned();
    assert!(text.contains(from), "/{path} has no {from:?}");
    write(image, path, &text.replace(from, to));
}

fn drop_package(image: &mut Evidence, package: &str) {
    replace(image, "var/lib/dpkg/status", &format!("Package: {package}\n"), "Package: other\n");
}

/// A step's name, and what an image is like in which it was left out.
type LeftOut = (&'static str, fn(&mut Evidence));

/// Each step, left out in whole or in part.
const LEFT_OUT: [LeftOut; 26] = [
    ("waiting for cloud-init", |image| replace(image, SOURCES, "# Written by cloud-init.\n", "")),
    ("choosing package sources", |image| image.mirror_asked = false),
    ("upgrading packages", |image| replace(image, "var/lib/dpkg/status", "Version: 1.1-", "Version: 1.0-")),
    ("upgrading packages", |image| {
        replace(
            image,
            "var/lib/dpkg/status",
            "Package: jq\n",
            "Package: unattended-upgrades\nVersion: 1.1-x\n\nPackage: jq\n",
        );
    }),
    ("masking units", |image| drop(image.tree.0.remove("etc/systemd/system/apt-daily.service"))),
    ("installing packages", |image| drop_package(image, "jq")),
    ("installing packages", |image| drop_package(image, "docker.io")),
    ("configuring the system", |image| {
        image.tree.0.retain(|path, _| !path.starts_with("etc/sysctl.d/"));
    }),
    ("running commands", |image| image.tree.0.get_mut("usr/local/bin").unwrap().mode = 0o755),
    ("installing snaps", |image| drop(image.tree.0.remove("var/lib/snapd/snaps/aproxy_1.snap"))),
    ("installing snaps", |image| write(image, "snap/bin/opentelemetry-collector", "enabled")),
    ("installing npm packages", |image| drop(image.tree.0.remove("usr/local/bin/yarn"))),
    ("installing tools", |image| drop(image.tree.0.remove("usr/local/bin/yq"))),
    ("installing tools", |image| image.tree.0.get_mut("usr/local/bin/yq").unwrap().mode = 0o644),
    ("creating users", |image| replace(image, "etc/group", "docker:", "dockers:")),
    ("creating users", |image| replace(image, "etc/passwd", "runner:", "walker:")),
    ("installing the runner", |image| {
        image.tree.0.retain(|path, _| !path.starts_with("home/ubuntu/actions-runner"));
    }),
    ("installing the runner", |image| {
        let version = image.tree.text("home/ubuntu/actions-runner/bin/Runner.Listener").replace("2.", "3.");
        write(image, "home/ubuntu/actions-runner/bin/Runner.Listener", &version);
    }),
    ("naming the image", |image| drop(image.tree.0.remove("opt/hostedtoolcache"))),
    ("naming the image", |image| replace(image, "etc/environment", "ImageOS=", "Image=")),
    ("listing what is installed", |image| drop(image.tree.0.remove("usr/share/runner-image/manifest.json"))),
    ("running the external script", |image| drop(image.tree.0.remove("opt/script.ok"))),
    ("giving both users the same groups", |image| {
        replace(image, "etc/group", ":ubuntu,runner\n", ":ubuntu\n")
    }),
    ("restoring package sources", |image| {
        write(image, "etc/apt/sources.list.d/runner-image-builder.sources", "Types: deb\n");
    }),
    ("cleaning up", |image| {
        let key = Entry { mode: 0o600, uid: 0, content: Content::Link(PathBuf::from("/dev/null")) };
        image.tree.0.insert("home/ubuntu/.ssh/authorized_keys".into(), key);
    }),
    ("cleaning up", |image| write(image, "etc/machine-id", "0123\n")),
];

#[test]
fn leaving_out_any_step_of_the_recipe_is_seen_and_the_step_is_named() {
    let fixture = Fixture::set(&[]);
    let image = evidence(&fixture);
    let log =
        std::fs::read_to_string(fixture.root(0).join("var/log/runner-image-builder/worker.log")).unwrap();
    let names: Vec<&str> = STEPS.iter().map(|check| check.step).collect();
    assert_eq!(steps_in(&log).collect::<Vec<_>>(), names, "the recipe has a step without a check");
    let failing = |image: &Evidence| -> Vec<&str> {
        STEPS.iter().filter(|check| (check.look)(image).is_err()).map(|check| check.step).collect()
    };
    assert_eq!(failing(&image), [""; 0]);
    for (step, leave_out) in LEFT_OUT {
        let mut image = image.clone();
        leave_out(&mut image);
        assert_eq!(failing(&image), [step]);
    }
    assert!(names.iter().all(|name| LEFT_OUT.iter().any(|(step, _)| step == name)), "every check is tried");
}
