//! No image is delivered that was not seen to work.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rehearsal::agent::Relation;
use rehearsal::cloud::{Image, LogEntry};
use sha2::{Digest, Sha256};

use crate::fixture::{Deployed, Fixture, wait_for};

/// What is told of the image of a job with `script`, which must have been refused.
fn refused(fixture: &Fixture, relation: &Relation, options: &[(&str, &str)], script: &str) -> String {
    let (before, published) = (fixture.journal().job.unwrap().id, fixture.told(relation, "id"));
    let url = fixture.site.serve_script(&format!("{before}.sh"), script);
    let mut changes = vec![("script-url", url.as_str())];
    changes.extend(options);
    fixture.app.set_config(&changes).unwrap();
    wait_for("the next job", || fixture.journal().job.filter(|job| job.id != before));
    let job = fixture.job_ended();
    assert_eq!(fixture.told(relation, "id"), published, "the last image that works stays published");
    assert_eq!(fixture.cloud.project("upload-project").images().len(), 1);
    assert_eq!(fixture.leftovers(), [] as [String; 0]);
    assert_eq!(kept(fixture).len(), 1);
    let [failure] = job.failures.as_slice() else { panic!("one failure: {:?}", job.failures) };
    let status = fixture.status();
    assert!(status.starts_with("active: noble-x64 ") && status.contains("verifying the image"), "{status}");
    failure.message.clone()
}

/// A fixture with an image that works.
fn published() -> (Fixture, Relation) {
    let fixture = Fixture::set(&[]);
    let relation = fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    assert!(fixture.told(&relation, "id").is_some());
    (fixture, relation)
}

/// The images that are kept for inspection.
fn kept(fixture: &Fixture) -> Vec<Image> {
    let mut images = fixture.cloud.project("builder-project").images();
    images.retain(|image| image.hidden);
    images
}

#[test]
fn an_image_is_booted_before_it_is_delivered_and_the_machine_goes() {
    let (fixture, _relation) = published();
    let log = fixture.cloud.log();
    let at = |method: &str, end: &str| {
        let fits = |entry: &&LogEntry| entry.method == method && entry.url.ends_with(end);
        log.iter().enumerate().filter(|(_, entry)| fits(entry)).map(|(index, _)| index).collect::<Vec<_>>()
    };
    let (boots, uploads) = (at("POST", "/servers"), at("PUT", "/file"));
    assert_eq!((boots.len(), uploads.len()), (2, 2), "builder and verification; base image and delivery");
    assert!(boots[1] < uploads[1], "delivered before it was verified");
    assert_eq!(fixture.leftovers(), [] as [String; 0]);
    assert!(kept(&fixture).is_empty());
}

#[test]
fn a_connection_that_breaks_once_says_nothing_of_the_image() {
    let fixture = Fixture::set(&[]);
    let tools = fixture.directory().join("tools");
    // The second command to the machine that is looked at.
    let ssh = "#!/bin/bash
        case \" $* \" in *-verify-*' -N '*) ;; *-verify-*)
            echo >>\"${0%/*}/commands\"
            [ $(wc -l <\"${0%/*}/commands\") -ne 2 ] || exit 255 ;;
        esac
        exec /usr/bin/ssh \"$@\"\n";
    fs::write(tools.join("ssh"), ssh).unwrap();
    fs::set_permissions(tools.join("ssh"), fs::Permissions::from_mode(0o755)).unwrap();
    let relation = fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    assert!(fixture.told(&relation, "id").is_some());
    assert!(kept(&fixture).is_empty());
    let commands = fs::read_to_string(tools.join("commands")).unwrap().lines().count();
    assert!(commands > 2, "{commands} commands: none can have broken");
}

#[test]
fn an_image_that_does_not_work_is_refused_by_name_and_the_last_one_kept_aside() {
    let (fixture, relation) = published();
    let unit = "[Service]\\nExecStart=/opt/missing --serve\\n";
    let broken_unit =
        format!("printf '{unit}' >/etc/systemd/system/agent.service; systemctl enable agent.service");
    let mut last = String::new();
    for (change, words) in [
        ("rm -r /home/ubuntu/actions-runner/bin", "starting the runner application: "),
        (&broken_unit, "checking for failed units: failed: agent.service"),
        ("systemctl mask docker.service", "asking docker: Cannot connect to the Docker daemon"),
        ("sed -i /^runner:/d /etc/group", "checking the runner's users: there is no group runner"),
        ("rm /home/runner", "checking the runner's users: /home/runner is not the home of ubuntu"),
        ("rm /home/ubuntu/actions-runner/run.sh", "files: /home/ubuntu/actions-runner/run.sh is missing"),
        ("rm /home/ubuntu/actions-runner/.env", "ubuntu may not write to /home/ubuntu/actions-runner/.env"),
        (
            "rm /home/ubuntu/.profile",
            "checking the search path: ubuntu does not find commands in ~/.local/bin",
        ),
        ("snap remove aproxy", "checking snaps: there is no snap aproxy"),
        (
            "sed -i /^ImageVersion=/d /home/ubuntu/actions-runner/.env /etc/environment",
            "checking the image information: jobs do not find variable ImageVersion",
        ),
        (
            "rm /home/ubuntu/actions-runner/.setup_info",
            "does not find /home/ubuntu/actions-runner/.setup_info",
        ),
        ("rmdir /opt/hostedtoolcache", "ubuntu may not write to /opt/hostedtoolcache"),
        (
            "rm /etc/sysctl.d/05-runner-image-builder.conf",
            "checking the kernel limits: fs.inotify.max_user_instances is '', less than 1280",
        ),
    ] {
        let failure = refused(&fixture, &relation, &[], &format!("#!/bin/bash\n{change}\n"));
        assert!(failure.contains(words), "{failure}");
        let image = kept(&fixture).remove(0);
        assert!(failure.ends_with(&format!("kept as hidden image {}", image.id)), "{failure}");
        assert_ne!(image.id, last, "the last one that failed takes the place of the one before");
        let stage = image.properties.get("runner_image_builder_stage").map(String::as_str);
        assert_eq!(stage, Some("rejected"));
        last = image.id;
    }
    fixture.app.remove().unwrap();
    assert_eq!(kept(&fixture).len(), 0, "it goes with the application");
}

#[test]
fn a_script_may_set_the_kernels_limits_lower() {
    let fixture = Fixture::set(&[]);
    let script = "#!/bin/bash\necho fs.inotify.max_user_watches = 8192 >/etc/sysctl.d/99-mine.conf\n";
    fixture.app.set_config(&[("script-url", &fixture.site.serve_script("limits.sh", script))]).unwrap();
    fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
}

#[test]
fn a_unit_that_had_failed_in_the_base_image_already_says_nothing_of_the_image() {
    const BASE: &str = "noble-server-cloudimg-amd64.img";
    let fixture = Fixture::set(&[("verify-image", "false")]);
    let unit = "printf '[Service]\\nExecStart=/opt/missing\\n' >/etc/systemd/system/agent.service";
    let script = format!("#!/bin/bash\n{unit}; systemctl enable agent.service\n");
    let url = fixture.site.serve_script("unit.sh", &script);
    fixture.app.set_config(&[("script-url", &url)]).unwrap();
    let relation = fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    let first = fixture.told(&relation, "id").expect("an id");
    // An image of which a machine comes up with a failed unit becomes the base.
    let bytes = fixture.cloud.project("upload-project").image_bytes(&first).unwrap();
    let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    fixture.site.serve(&format!("/cloud-images/noble/current/{BASE}"), "application/octet-stream", bytes);
    fixture.site.publish_sums("noble", &format!("{digest} *{BASE}\n")).unwrap();
    fixture.app.reset_config(&["script-url"]).unwrap();
    fixture.app.set_config(&[("verify-image", "true")]).unwrap();
    assert_eq!(fixture.job_ended().failures, []);
    assert_ne!(fixture.told(&relation, "id"), Some(first));
    let broken =
        "#!/bin/bash\ncp /etc/systemd/system/{agent,another}.service; systemctl enable another.service\n";
    let url = fixture.site.serve_script("another.sh", broken);
    fixture.app.set_config(&[("script-url", &url)]).unwrap();
    let failures = fixture.job_ended().failures;
    let failed = "checking for failed units: failed: another.service;";
    assert!(failures.len() == 1 && failures[0].message.contains(failed), "{failures:?}");
}

#[test]
fn both_names_of_the_runner_can_do_the_same_whichever_a_recipe_or_a_script_speaks_of() {
    let script = "#!/bin/bash\ngroupadd late; usermod -aG late ubuntu\n";
    let fixture = Fixture::set(&[]);
    let url = fixture.site.serve_script("late.sh", script);
    let recipe = "packages: [docker.io]\nusers: [{name: runner, groups: [docker]}]\n\
                  commands: ['runuser -u ubuntu -- docker version']\nrunner: [{github: actions/runner}]\n";
    fixture.app.set_config(&[("recipe", recipe), ("script-url", &url)]).unwrap();
    let files = fixture.first_image();
    let groups = String::from_utf8(files["etc/group"].clone()).unwrap();
    for group in ["docker", "late"] {
        let line = groups.lines().find(|line| line.starts_with(&format!("{group}:"))).unwrap();
        let mut members: Vec<&str> = line.rsplit(':').next().unwrap().split(',').collect();
        members.sort_unstable();
        assert_eq!(members, ["runner", "ubuntu"], "{groups}");
    }
    let gid = |group: &str| {
        groups.lines().find_map(|line| line.strip_prefix(group)?.split(':').nth(2).map(str::to_owned))
    };
    assert_eq!(gid("runner"), gid("ubuntu"));
}

#[test]
fn an_image_that_does_not_boot_is_refused() {
    let (fixture, relation) = published();
    let script = "#!/bin/bash\nsystemctl mask ssh.service\n";
    let failure = refused(&fixture, &relation, &[("boot-timeout", "30")], script);
    assert!(failure.contains("verifying the image: booting: reaching "), "{failure}");
}

#[test]
fn an_operator_may_do_without_it() {
    let fixture = Fixture::set(&[("verify-image", "false")]);
    let url = fixture.site.serve_script("bad.sh", "#!/bin/bash\nrm -r /home/ubuntu/actions-runner/bin\n");
    fixture.app.set_config(&[("script-url", &url)]).unwrap();
    let relation = fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    assert!(fixture.told(&relation, "id").is_some());
}

#[test]
fn a_cloud_that_has_no_room_for_it_is_not_the_images_fault() {
    let fixture = Fixture::set(&[]);
    let url =
        fixture.site.serve_script("slow.sh", "#!/bin/bash\nwhile [ ! -e /opt/go ]; do sleep 0.1; done\n");
    fixture.app.set_config(&[("script-url", &url)]).unwrap();
    let relation = fixture.integrate("upload");
    fixture.await_status("running the external script");
    // The builder runs: the next to be built is the one that verifies.
    fixture.cloud.fail_next_build("No valid host was found.");
    let server = fixture.cloud.project("builder-project").servers().remove(0);
    let tree = fixture.cloud.project("builder-project").server_tree(&server.id).expect("a machine");
    std::fs::write(tree.join("opt/go"), "").unwrap();
    let job = fixture.job_ended();
    assert!(
        job.failures[0].message.contains("No valid host was found; choose a smaller flavor"),
        "{:?}",
        job.failures
    );
    let snapshots = fixture.images_of_stage("builder-project", "snapshot");
    assert_eq!((snapshots.len(), kept(&fixture).len()), (1, 0), "nothing is known of the image");
    fixture.look_for_work();
    assert_eq!(fixture.job_ended().failures, []);
    assert!(fixture.told(&relation, "id").is_some());
    assert_eq!(fixture.requests("POST", "/servers"), 3, "another verification and no other build");
    assert_eq!(fixture.leftovers(), [] as [String; 0]);
}
