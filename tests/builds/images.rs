//! What an image is made of, and what must not be in it.

use std::fs;
use std::process::Command;

use rehearsal::agent::Proxies;
use runner_image_builder::instance::DEFAULT_RECIPE;
use runner_image_builder::model::hex;
use sha2::{Digest, Sha256};

use crate::fixture::{APPLICATION, Deployed, Fixture, SCRIPT_SECRET};

#[test]
fn an_image_has_the_runner_and_nothing_of_its_builder() {
    let fixture = Fixture::set(&[]);
    let script = "#!/bin/bash\nset -eu\nprintf %s \"$rib_test_secret\" | sha256sum >/opt/script.ok\n";
    let url = fixture.site.serve_script("setup.sh", script);
    let secret = fixture.script_secret.uri();
    fixture.app.set_config(&[("script-url", &url), ("script-secret-id", &secret)]).unwrap();
    let relation = fixture.integrate("upload");
    let job = fixture.job_ended();
    assert_eq!(job.failures, []);
    let id = fixture.told(&relation, "id").expect("an id in the relation");
    let project = fixture.cloud.project("upload-project");
    let tree = project.image_tree(&id).unwrap();
    assert!(tree.has("home/ubuntu/actions-runner/bin/Runner.Listener"));
    assert!(tree.has("opt/script.ok"), "the external script ran with its secret");
    for gone in
        ["home/ubuntu/.ssh/authorized_keys", "root/.ssh/authorized_keys", "etc/ssh/ssh_host_ed25519_key"]
    {
        assert!(!tree.has(gone), "{gone} is in the image");
    }
    // Absent, it keeps a machine with a read-only / from getting one, and with it from getting an address.
    assert_eq!(tree.file("etc/machine-id"), Some(&b""[..]), "every machine makes its own");
    let bytes = project.image_bytes(&id).unwrap();
    let found = bytes.windows(SCRIPT_SECRET.len()).any(|window| window == SCRIPT_SECRET.as_bytes());
    assert!(!found, "the script's secret is in the image");
    assert_eq!(fixture.leftovers(), [] as [String; 0]);
}

#[test]
fn the_script_reaches_the_net_behind_a_proxy_whatever_it_calls_and_nothing_of_it_stays_in_the_image() {
    const PROXY: &str = "http://planted-user:planted-password-5d1f@proxy.invalid:3128";
    let fixture = Fixture::set(&[]);
    let proxies = Proxies {
        http: PROXY.into(),
        https: PROXY.into(),
        // The embedded cloud and web are reached directly.
        no_proxy: "127.0.0.0/8,localhost".into(),
        ..Proxies::default()
    };
    fixture.model.set_proxies(proxies).unwrap();
    let script = "#!/bin/bash
        set -eu
        sees() { \"$@\" bash -c '[ -n \"$https_proxy\" ] && [ -n \"$no_proxy\" ]'; }
        sees env
        sees sudo
        sees sudo -u ubuntu
        for service in snapd docker; do
            file=$(sed -n s/^EnvironmentFile=//p /run/systemd/system/$service.service.d/*.conf)
            grep -q ^https_proxy= \"$file\"
        done
        touch /opt/behind-proxy\n";
    let url = fixture.site.serve_script("proxy.sh", script);
    let command = "sudo -u ubuntu bash -c '[ -n \"$https_proxy\" ]' && touch /opt/command-too";
    let recipe =
        DEFAULT_RECIPE.replace("commands:\n", &format!("commands:\n  - {}\n", serde_json::json!(command)));
    fixture.app.set_config(&[("script-url", &url), ("recipe", &recipe)]).unwrap();
    let relation = fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    let id = fixture.told(&relation, "id").expect("an id");
    let project = fixture.cloud.project("upload-project");
    let tree = project.image_tree(&id).unwrap();
    assert!(tree.has("opt/behind-proxy") && tree.has("opt/command-too"));
    assert!(!tree.has("etc/sudoers.d/95-runner-image-builder-proxies"));
    let bytes = project.image_bytes(&id).unwrap();
    for word in ["planted-password-5d1f", "proxy.invalid"] {
        let found = bytes.windows(word.len()).any(|window| window == word.as_bytes());
        assert!(!found, "{word} is in the image");
    }
}

#[test]
fn an_image_has_all_that_the_default_recipe_names() {
    let fixture = Fixture::set(&[]);
    let files = fixture.first_image();
    let text = |path: &str| {
        let found = files.get(path).unwrap_or_else(|| panic!("{path} is not in the image"));
        String::from_utf8_lossy(found).into_owned()
    };
    for package in ["build-essential", "docker.io", "npm", "python-is-python3", "rustc", "shellcheck"] {
        assert!(text("var/lib/dpkg/status").contains(&format!("Package: {package}\n")), "{package}");
    }
    assert!(!text("var/lib/dpkg/status").contains("Package: unattended-upgrades\n"));
    assert!(text("usr/local/bin/yq").contains("mikefarah/yq version v4.54.1"));
    assert!(files.contains_key("usr/local/bin/yarn"));
    assert_eq!(text("var/lib/snapd/snaps/aproxy_1.snap"), "latest/edge\n");
    assert_eq!(text("var/lib/snapd/snaps/opentelemetry-collector_1.snap"), "latest/stable\n");
    assert!(files.contains_key("snap/bin/aproxy"));
    assert!(!files.contains_key("snap/bin/opentelemetry-collector"), "it is installed and disabled");
    assert_eq!(
        text("etc/sysctl.d/60-runner-image-builder.conf"),
        "net.core.default_qdisc = fq\nnet.ipv4.tcp_congestion_control = bbr\n"
    );
    for group in ["docker", "microk8s", "lxd", "sudo"] {
        let member = |line: &str| line.starts_with(&format!("{group}:")) && line.ends_with(":ubuntu,runner");
        assert!(text("etc/group").lines().any(member), "ubuntu and runner are not both in {group}");
    }
    assert!(files.contains_key("var/lib/systemd/linger/ubuntu"));
    for user in ["ubuntu", "runner"] {
        let rule = format!("{user} ALL=(ALL) NOPASSWD:ALL\n");
        assert!(
            text("etc/sudoers.d/90-runner-image").contains(&rule),
            "wherever the image boots, and whoever boots it"
        );
    }
    assert!(text("home/ubuntu/actions-runner/.env").starts_with("LANG=C.UTF-8\n"));
    assert!(text("home/ubuntu/.profile").contains(".local/bin"));
    let ids = |user: &str| {
        let users = text("etc/passwd");
        let line = users.lines().find(|line| line.starts_with(&format!("{user}:"))).unwrap().to_owned();
        line.split(':').skip(2).take(2).collect::<Vec<_>>().join(":")
    };
    assert_eq!(ids("runner"), ids("ubuntu"), "GARM's name for the same user");
}

#[test]
fn an_image_names_itself_to_jobs() {
    let fixture = Fixture::set(&[]);
    let files = fixture.first_image();
    let text = |path: &str| {
        let found = files.get(path).unwrap_or_else(|| panic!("{path} is not in the image"));
        String::from_utf8_lossy(found).into_owned()
    };
    let info = text("home/ubuntu/actions-runner/.setup_info");
    let groups: serde_json::Value = serde_json::from_str(&info).unwrap();
    let detail = |index: usize| groups[index]["detail"].as_str().unwrap().to_owned();
    assert_eq!(
        (groups[0]["group"].as_str(), detail(0).as_str()),
        (Some("Operating System"), "Ubuntu 24.04\nx64")
    );
    assert!(
        groups[1]["group"] == "Runner Image" && detail(1).contains("Image: image-builder-noble-x64\n"),
        "{info}"
    );
    assert!(detail(1).ends_with("\nRunner: 2.337.1"), "{info}");
    let version =
        detail(1).lines().find_map(|line| Some(line.strip_prefix("Version: ")?.to_owned())).unwrap();
    let is_date = |part: &str| part.len() == 8 && part.starts_with("20");
    assert!(
        version.split('.').take(2).all(is_date),
        "the dates of the base image and of the build: {version}"
    );
    // A login shell has what a consumer may replace in the runner's own file.
    for file in ["home/ubuntu/actions-runner/.env", "etc/environment"] {
        let lines = text(file);
        for (name, value) in [
            ("ImageOS", "ubuntu24"),
            ("ImageVersion", version.as_str()),
            ("RUNNER_TOOL_CACHE", "/opt/hostedtoolcache"),
            ("AGENT_TOOLSDIRECTORY", "/opt/hostedtoolcache"),
        ] {
            let set = lines.lines().filter_map(|line| line.strip_prefix(&format!("{name}=")));
            assert_eq!(set.collect::<Vec<_>>(), [value], "{name} in {file}");
        }
    }
    let limits = text("etc/sysctl.d/05-runner-image-builder.conf");
    for limit in [
        "fs.inotify.max_user_instances = 1280",
        "fs.inotify.max_user_watches = 655360",
        "vm.max_map_count = 262144",
    ] {
        assert!(limits.lines().any(|line| line == limit), "{limits}");
    }
    // The cloud and whoever pays for it are none of a job's business.
    for word in ["builder-project", "upload", "127.0.0.1"] {
        assert!(!info.contains(word), "{word}: {info}");
    }
}

#[test]
fn an_operators_recipe_takes_the_place_of_the_default_and_its_values_arrive_as_they_are() {
    let odd = "it's $(touch /escaped) `touch /escaped` \"${HOME}\" \\\n  %s; touch /escaped\n\u{e9}";
    let fixture = Fixture::set(&[]);
    let program = b"#!/bin/sh\nexit 0\n";
    let url = fixture.site.serve("/tools/hello", "application/octet-stream", program.to_vec());
    let mirror = fixture.site.serve_mirror("noble");
    let digest = "306c6ca7407560340797866e077e053627ad409277d1b9da58106fce4cf717cb";
    let recipe = serde_json::json!({
        "packages": ["jq", {"name": "zip", "only": {"arch": ["arm64"]}}],
        "tools": [{"path": "/opt/hello", "version": "1", "url": url, "sha256": digest}],
        "apt_sources": [{"name": "extra", "url": mirror, "components": ["main"],
            "key": "-----BEGIN PGP PUBLIC KEY BLOCK-----\n-----END PGP PUBLIC KEY BLOCK-----\n"}],
        "groups": ["builders"],
        "users": [{"name": "worker", "groups": ["builders"]}],
        "files": [{"path": "/opt/a $(touch escaped) 'b'", "mode": "0600", "content": odd}],
        "commands": ["id -un > /opt/who", {"run": "printf '%s' \"$0\" > /opt/shell", "minutes": 1}],
        "runner": [{"github": "actions/runner", "version": "2.336.0"}],
    });
    fixture.app.set_config(&[("recipe", &recipe.to_string())]).unwrap();
    let files = fixture.first_image();
    let bytes = |path: &str| files.get(path).map(Vec::as_slice);
    assert_eq!(bytes("opt/a $(touch escaped) 'b'"), Some(odd.as_bytes()));
    assert_eq!(bytes("opt/hello"), Some(program.as_slice()));
    assert_eq!(bytes("opt/who"), Some(b"root\n".as_slice()));
    let source = String::from_utf8(files["etc/apt/sources.list.d/extra.sources"].clone()).unwrap();
    assert!(
        source.contains("Suites: noble\n") && source.contains("Signed-By: /etc/apt/keyrings/extra.asc\n")
    );
    assert!(files.contains_key("etc/apt/keyrings/extra.asc"));
    let listener =
        String::from_utf8_lossy(&files["home/ubuntu/actions-runner/bin/Runner.Listener"]).into_owned();
    assert!(listener.contains("2.336.0"), "the recipe's runner, not the latest");
    let groups = String::from_utf8(files["etc/group"].clone()).unwrap();
    assert!(groups.lines().any(|line| line.starts_with("builders:") && line.ends_with("worker")), "{groups}");
    for absent in ["escaped", "root/escaped", "usr/bin/zip", "usr/local/bin/yq", "snap/bin/aproxy"] {
        assert!(!files.contains_key(absent), "{absent} is in the image");
    }
}

#[test]
fn another_recipe_makes_another_image_and_the_same_one_in_other_words_does_not() {
    let fixture = Fixture::set(&[]);
    let relation = fixture.integrate("upload");
    fixture.job_ended();
    let id = fixture.told(&relation, "id").expect("an id");
    let in_other_words = format!("# {APPLICATION}\n{DEFAULT_RECIPE}");
    fixture.app.set_config(&[("recipe", &in_other_words)]).unwrap();
    assert_eq!(fixture.job_ended().failures, []);
    assert_eq!(fixture.told(&relation, "id"), Some(id.clone()));
    let other = DEFAULT_RECIPE.replace("  - jq\n", "");
    fixture.app.set_config(&[("recipe", &other)]).unwrap();
    let job = fixture.job_ended();
    assert_eq!(job.failures, []);
    assert_ne!(fixture.told(&relation, "id"), Some(id));
}

#[test]
fn an_image_that_is_up_to_date_is_not_built_again() {
    let fixture = Fixture::set(&[]);
    let relation = fixture.integrate("upload");
    fixture.job_ended();
    let id = fixture.told(&relation, "id").expect("an id");
    let uploads = || fixture.cloud.log().iter().filter(|entry| entry.method == "PUT").count();
    let before = uploads();
    let first = fixture.journal().job.unwrap().id;
    fixture.look_for_work();
    let job = fixture.job_ended();
    assert_ne!(job.id, first, "the schedule asked for a job");
    assert_eq!((fixture.told(&relation, "id"), uploads()), (Some(id.clone()), before));
    // A new base image is a reason.
    fixture.site.publish_images("noble", 2).unwrap();
    fixture.look_for_work();
    fixture.job_ended();
    assert_ne!(fixture.told(&relation, "id"), Some(id));
    let bases = fixture.images_of_stage("builder-project", "base");
    assert_eq!(bases.len(), 1, "the old base image is replaced: {bases:?}");
}

#[test]
fn base_images_have_the_wanted_format_and_those_of_another_go() {
    let fixture = Fixture::set(&[("image-format", "qcow2")]);
    publish_disk(&fixture, "noble", 4 << 20);
    let relation = fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    let base = || {
        let bases = fixture.images_of_stage("builder-project", "base");
        let [base] = bases.as_slice() else { panic!("one base image: {bases:?}") };
        fixture.cloud.project("builder-project").images().into_iter().find(|image| image.id == *base).unwrap()
    };
    let first = base();
    assert_eq!(first.disk_format.as_deref(), Some("qcow2"));

    fixture.app.set_config(&[("image-format", "raw")]).unwrap();
    assert_eq!(fixture.build_again().failures, []);
    let raw = base();
    assert_ne!(raw.id, first.id);
    assert_eq!((raw.disk_format.as_deref(), raw.size), (Some("raw"), Some(4 << 20)));
    let installed = fixture.directory().join("tools/installed/qemu-utils");
    assert!(installed.exists(), "what converts was installed");
    assert!(!fixture.state_file("conversion").exists(), "its disk space is given back");

    // Nova's snapshots are qcow2 here, which is no reason to change what is there.
    fixture.app.set_config(&[("image-format", "auto")]).unwrap();
    assert_eq!(fixture.build_again().failures, []);
    assert_eq!(base().id, raw.id);
    assert!(fixture.told(&relation, "id").is_some());
}

#[test]
fn a_base_image_that_cannot_be_converted_is_used_as_it_is_unless_raw_is_asked_for() {
    let fixture = Fixture::set(&[]);
    let relation = fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    let first = fixture.images_of_stage("builder-project", "base");
    let told = fixture.told(&relation, "id");
    // As Nova makes them where disks are in Ceph. QEMU cannot read this base image.
    fixture.edit_journal(|journal| {
        let contents = journal.revisions.iter_mut().flat_map(|build| &mut build.contents);
        contents.for_each(|contents| contents.snapshot_format = Some("raw".into()));
    });
    assert_eq!(fixture.build_again().failures, []);
    assert_ne!(fixture.told(&relation, "id"), told);
    assert_eq!(fixture.images_of_stage("builder-project", "base"), first);
    let log = fs::read_to_string(fixture.host(&fixture.unit()).log_dir().join("worker.log")).unwrap();
    assert!(log.contains("; another format than raw is used"), "{log}");
    fixture.app.set_config(&[("image-format", "raw")]).unwrap();
    assert_eq!(fixture.build_again().failures.len(), 1);
}

/// Publishes a base image of `size` bytes that QEMU can read.
fn publish_disk(fixture: &Fixture, series: &str, size: u64) {
    let file = fixture.directory().join("disk.qcow2");
    let create = ["create", "-q", "-f", "qcow2"];
    let made = Command::new("qemu-img").args(create).arg(&file).arg(size.to_string()).status();
    assert!(made.expect("qemu-img").success());
    let bytes = fs::read(&file).unwrap();
    let name = format!("{series}-server-cloudimg-amd64.img");
    let sums = format!("{} *{name}\n", hex(&Sha256::digest(&bytes)));
    fixture.site.serve(&format!("/cloud-images/{series}/current/{name}"), "application/octet-stream", bytes);
    fixture.site.publish_sums(series, &sums).unwrap();
}

#[test]
fn several_bases_and_projects_are_served_by_one_job() {
    let fixture = Fixture::set(&[("base-image", "noble,jammy")]);
    let relations = [fixture.integrate("upload"), fixture.integrate("upload2")];
    fixture.job_ended();
    for (relation, project) in relations.iter().zip(["upload-project", "upload2-project"]) {
        let listed: serde_json::Value =
            serde_json::from_str(&fixture.told(relation, "images").unwrap()).unwrap();
        let tags: Vec<&str> =
            listed.as_array().unwrap().iter().map(|image| image["tags"].as_str().unwrap()).collect();
        assert_eq!(tags, ["x64,noble", "x64,jammy"]);
        assert_eq!(fixture.told(relation, "id").as_deref(), listed[0]["id"].as_str());
        let mut names: Vec<String> =
            fixture.cloud.project(project).images().iter().filter_map(|image| image.name.clone()).collect();
        names.sort();
        assert_eq!(names, ["image-builder-jammy-x64", "image-builder-noble-x64"]);
    }
    let current = "active: 4 images current, oldest under 1 h; ";
    assert!(fixture.status().starts_with(current), "{}", fixture.status());
    assert_eq!(fixture.leftovers(), [] as [String; 0]);
}

#[test]
fn a_pinned_base_is_that_of_its_release_until_the_pin_goes() {
    let fixture = Fixture::set(&[("base-image", "noble@20260115")]);
    let relation = fixture.integrate("upload");
    let job = fixture.job_ended();
    let [failure] = job.failures.as_slice() else { panic!("one failure: {:?}", job.failures) };
    let told = "pin noble in base-image to another date, or to none";
    assert!(
        failure.message.contains("/noble/20260115/SHA256SUMS") && failure.message.contains(told),
        "{failure:?}"
    );
    assert!(fixture.status().starts_with("blocked: "), "{}", fixture.status());

    fixture.site.publish_release("noble", "20260115", 7).unwrap();
    assert_eq!(fixture.build_again().failures, []);
    let first = fixture.told(&relation, "id").expect("an id");
    let base = || {
        let fetched = fixture.site.log().into_iter().filter(|entry| entry.url.ends_with("amd64.img"));
        fetched.last().expect("a base image was fetched").url
    };
    assert!(base().contains("/noble/20260115/"), "{}", base());
    let status = fixture.status();
    assert!(
        status.contains("noble base image pinned to 20260115, ") && status.contains("security updates"),
        "{status}"
    );

    // A newer list than any before is no reason to refuse the pinned one, nor the other way round.
    fixture.site.publish_images("noble", 2).unwrap();
    fixture.look_for_work();
    assert_eq!(fixture.job_ended().failures, []);
    assert_eq!(fixture.told(&relation, "id"), Some(first.clone()), "the pin holds");
    fixture.app.set_config(&[("base-image", "noble")]).unwrap();
    assert_eq!(fixture.job_ended().failures, []);
    assert!(base().contains("/noble/current/"), "{}", base());
    assert_ne!(fixture.told(&relation, "id"), Some(first));
    assert!(!fixture.status().contains("pinned"), "{}", fixture.status());
}
