//! The action `launch-runner`, from its parameters to a machine that has become a runner, and to its end.

use std::fs;
use std::path::PathBuf;

use rehearsal::agent::{ActionRun, ActionStatus, Proxies, Relation, Secret};
use rehearsal::cloud::{Fault, What};
use rehearsal::servers::GITHUB_TOKEN;
use runner_image_builder::host::Host;
use runner_image_builder::model::Timestamp;
use runner_image_builder::record::{Launch, LaunchState};
use serde_json::{Value, json};

use crate::fixture::{APPLICATION, Deployed, Fixture, wait_for};

const PROJECT: &str = "upload-project";

/// A charm that has published an image, and a secret with a token for GitHub.
struct Launches {
    fixture: Fixture,
    token: Secret,
    _relation: Relation,
}

impl Launches {
    fn set() -> Self {
        let fixture = Fixture::set(&[]);
        let _relation = fixture.integrate("upload");
        assert_eq!(fixture.job_ended().failures, []);
        let token = fixture.model.add_secret(&[("token", GITHUB_TOKEN)]).unwrap();
        token.grant(&fixture.app).unwrap();
        Self { fixture, token, _relation }
    }

    /// Runs the action with `more` beside what it needs.
    fn launch(&self, more: Value) -> ActionRun {
        let mut parameters = json!({"path": "octo/engine", "token-secret-id": self.token.uri()});
        parameters.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let action = self.fixture.unit().run_action("launch-runner", parameters).unwrap();
        assert!(action.run.succeeded(), "the action crashed: {action:?}");
        action
    }

    fn host(&self) -> Host {
        Host::below(self.fixture.root(0))
    }

    fn launches(&self) -> Vec<Launch> {
        Launch::all(&self.host()).unwrap()
    }

    fn servers(&self) -> Vec<String> {
        self.fixture.cloud.project(PROJECT).servers().into_iter().map(|server| server.name).collect()
    }

    /// A file of a server, once cloud-init has written it.
    fn file(&self, server: &str, path: &str) -> String {
        let tree: PathBuf = self.fixture.cloud.project(PROJECT).server_tree(server).expect("a server");
        wait_for(path, || fs::read_to_string(tree.join(path)).ok().filter(|text| !text.is_empty()))
    }

    /// Lets the time of all launches pass.
    fn expire(&self) {
        for launch in self.launches() {
            Launch { expires: Timestamp(1), ..launch }.save(&self.host()).unwrap();
        }
    }
}

#[track_caller]
fn failure(action: &ActionRun) -> &str {
    assert_eq!(action.status, ActionStatus::Failed, "{action:?}");
    &action.message
}

#[test]
fn a_machine_becomes_a_runner_that_knows_its_labels_proxies_and_mirror() {
    let launches = Launches::set();
    let proxy = "http://me:pr0xy-w'ord@127.0.0.1:1";
    let no_proxy = "127.0.0.0/8,{{ name }}".to_owned();
    let proxies = Proxies { http: proxy.into(), no_proxy, ..Proxies::default() };
    launches.fixture.model.set_proxies(proxies).unwrap();
    let fingerprint = |name: &str| format!("SHA256:{name}");
    let action = launches.launch(json!({
        "labels": "gpu, it's \"$(touch /escaped)\" {{ token }}",
        "dockerhub-mirror": "http://mirror/$(touch /escaped)",
        "ssh-debug-connections": json!([{"host": "10.0.0.9", "rsa_fingerprint": fingerprint("r"),
            "ed25519_fingerprint": fingerprint("e")}]).to_string(),
    }));
    assert_eq!((action.status, action.message.as_str()), (ActionStatus::Completed, ""), "{action:?}");
    let result = |name: &str| action.results[name].as_str().unwrap().to_owned();
    let (name, id) = (result("name"), result("id"));
    let digits = name.strip_prefix(&format!("{APPLICATION}-0-")).expect("the unit's name");
    assert!(digits.len() == 24 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}");
    let servers = launches.fixture.cloud.project(PROJECT).servers();
    assert_eq!((servers.len(), &servers[0].id, &servers[0].name), (1, &id, &name));
    assert_eq!(Some(result("address")), servers[0].nic.address.map(|address| address.to_string()));

    let called = launches.file(&id, "home/ubuntu/actions-runner/.runner");
    let [token] = &launches.fixture.site.registration_tokens()[..] else {
        panic!("one token for one runner")
    };
    let url = format!("{}/octo/engine", launches.fixture.site.url());
    let labels = format!("{APPLICATION},noble,gpu,it's \"$(touch /escaped)\" {{{{ token }}}}");
    let expected = [
        "--unattended",
        "--ephemeral",
        "--url",
        &url,
        "--token",
        token,
        "--name",
        &name,
        "--labels",
        &labels,
    ];
    assert_eq!(called.lines().collect::<Vec<_>>(), expected);
    let environment = launches.file(&id, "home/ubuntu/actions-runner/.env");
    for line in [
        &format!("HTTP_PROXY={proxy}"),
        "no_proxy=127.0.0.0/8,{{ name }}",
        "DOCKERHUB_MIRROR=http://mirror/$(touch /escaped)",
        "TMATE_SERVER_HOST=10.0.0.9",
        "TMATE_SERVER_PORT=10022",
        "TMATE_SERVER_RSA_FINGERPRINT=SHA256:r",
    ] {
        assert!(environment.lines().any(|known| known == line), "{line} is not in {environment}");
    }
    let client: Value = serde_json::from_str(&launches.file(&id, "home/ubuntu/.docker/config.json")).unwrap();
    assert_eq!(client["proxies"]["default"]["httpProxy"], proxy);
    let unit = launches.file(&id, "etc/systemd/system/docker.service.d/http-proxy.conf");
    assert!(unit.contains(&format!("Environment=\"HTTP_PROXY={proxy}\"")), "{unit}");
    let tree = launches.fixture.cloud.project(PROJECT).server_tree(&id).unwrap();
    wait_for("the end of cloud-init", || fs::metadata(tree.join("run/cloud-init/result.json")).ok());
    assert_eq!(fs::read_to_string(tree.join("run/cloud-init/status")).unwrap(), "done 0\n");
    assert!(tree.join("run/systemd/rehearsal/actions-runner.service.active").exists(), "run.sh is started");
    assert!(!tree.join("escaped").exists());

    // Other jobs leave it alone; its time ends it.
    launches.fixture.edit_journal(|journal| journal.swept = None);
    launches.fixture.look_for_work();
    assert_eq!(launches.fixture.job_ended().failures, []);
    assert_eq!(launches.servers(), [name.as_str()]);
    assert!(
        launches.fixture.jobs().contains(&format!("server {name} ({id})")),
        "{}",
        launches.fixture.jobs()
    );
    launches.expire();
    launches.fixture.next_hook();
    wait_for("the runner's end", || launches.servers().is_empty().then_some(()));
    wait_for("the end of its note", || launches.launches().is_empty().then_some(()));
}

#[test]
fn a_launch_that_the_cloud_refuses_leaves_no_server_and_says_why() {
    let launches = Launches::set();
    let quota = What::Status(
        403,
        vec![],
        r#"{"forbidden": {"code": 403, "message": "Quota exceeded for instances"}}"#.into(),
    );
    let before = launches.fixture.requests("POST", "/servers");
    launches.fixture.cloud.inject(Fault::new("POST", "/servers$", quota).unwrap());
    let action = launches.launch(json!({}));
    assert!(failure(&action).contains("Quota exceeded for instances"), "{action:?}");
    assert_eq!(launches.fixture.requests("POST", "/servers"), before + 1, "the operator must act first");
    launches.fixture.cloud.heal();
    assert_eq!(launches.servers(), [] as [String; 0]);
    let no_host = "No valid host was found. There are not enough hosts available.";
    (0..5).for_each(|_| launches.fixture.cloud.fail_next_build(no_host));
    let action = launches.launch(json!({}));
    assert!(failure(&action).contains("No valid host was found"), "{action:?}");
    assert_eq!(launches.fixture.requests("POST", "/servers"), before + 6, "five tries");
    assert_eq!(launches.servers(), [] as [String; 0]);
    assert!(launches.launches().iter().all(|launch| launch.server.is_none()));
    // Nova has recovered, after some tries.
    (0..2).for_each(|_| launches.fixture.cloud.fail_next_build(no_host));
    let action = launches.launch(json!({}));
    assert_eq!(action.status, ActionStatus::Completed, "{action:?}");
    assert_eq!(launches.servers().len(), 1);
}

#[test]
fn what_cannot_be_asked_for_is_refused_before_anything_is_done() {
    let launches = Launches::set();
    let (none, empty) = (json!({}), launches.fixture.model.add_secret(&[("other", "x")]).unwrap());
    let ungranted = launches.fixture.model.add_secret(&[("token", GITHUB_TOKEN)]).unwrap();
    let wrong = launches.fixture.model.add_secret(&[("token", "revoked")]).unwrap();
    [&empty, &wrong].iter().for_each(|secret| drop(secret.grant(&launches.fixture.app)));
    for (more, words) in [
        (json!({"path": "a/b/c"}), "Invalid path"),
        (json!({"path": "octo?x"}), "Invalid path"),
        (json!({"base": "warty"}), "Unsupported base \"warty\""),
        (json!({"arch": "vax"}), "Unsupported arch \"vax\""),
        (json!({"cloud": "elsewhere"}), "Set cloud to one of image:1 (upload-project)."),
        (json!({"ssh-debug-connections": "[{}]"}), "Invalid ssh-debug-connections"),
        (json!({"token-secret-id": "secret:d0rehearsal000000099"}), "Secret not found"),
        (json!({"token-secret-id": "secret:no-secrets-id"}), "cannot be read"),
        (json!({"token-secret-id": "no secret"}), "Not a secret's URI"),
        (json!({"token-secret-id": empty.uri()}), "does not contain a 'token' key"),
        (json!({"token-secret-id": ungranted.uri()}), "does not have access"),
        (json!({"token-secret-id": wrong.uri()}), "GitHub rejects the token"),
        (json!({"path": "nobody"}), "check the path"),
        (json!({"base": "jammy"}), "no image jammy-x64 is published"),
        (json!({"flavor": "none"}), "flavor \"none\" does not exist in project upload-project"),
        (json!({"flavor": "m1.tiny"}), "too small"),
        (json!({"network": "none"}), "network \"none\" does not exist"),
        (json!({"dockerhub-mirror": "a\nb"}), "a value has a line break"),
    ] {
        let action = launches.launch(more.clone());
        assert!(failure(&action).contains(words), "{more}: {action:?}");
    }
    let servers = launches.fixture.requests("POST", "/servers");
    assert_eq!(launches.servers(), [] as [String; 0]);
    assert_eq!(launches.launch(none).status, ActionStatus::Completed);
    assert_eq!(launches.fixture.requests("POST", "/servers"), servers + 1);
}

#[test]
fn a_launcher_that_is_killed_leaves_nothing_and_shows_no_token() {
    let launches = Launches::set();
    // The server is there, and nobody hears of it.
    launches.fixture.cloud.inject(Fault::new("GET", "/servers/[^/]+$", What::AcceptAndHang).unwrap());
    std::thread::scope(|scope| {
        let action = scope.spawn(|| launches.launch(json!({})));
        let name = wait_for("the server", || launches.servers().pop());
        let noted = || {
            let launch = launches.launches().pop()?;
            launch.server.filter(|server| server.name == name && server.id.is_some())
        };
        wait_for("its id in the note", noted);
        let launcher = fs::read_to_string(launches.fixture.state_file("launcher.lock")).unwrap();
        let launcher = launcher.trim().to_owned();
        let command = fs::read(format!("/proc/{launcher}/cmdline")).unwrap();
        let variables = fs::read(format!("/proc/{launcher}/environ")).unwrap();
        for (what, bytes) in [("arguments", command), ("environment", variables)] {
            assert!(!String::from_utf8_lossy(&bytes).contains(GITHUB_TOKEN), "the token is in its {what}");
        }
        std::process::Command::new("kill").args(["-KILL", &launcher]).status().unwrap();
        launches.fixture.cloud.heal();
        let action = action.join().unwrap();
        assert!(failure(&action).contains("continues"), "{action:?}");
    });
    launches.fixture.next_hook();
    wait_for("the server's end", || launches.servers().is_empty().then_some(()));
    let launch = wait_for("the end of the launch", || {
        launches.launches().pop().filter(|launch| launch.server.is_none())
    });
    assert!(
        matches!(&launch.state, LaunchState::Failed { message } if message.contains("killed")),
        "{launch}"
    );
    for file in ["launches", "bin"].map(|folder| launches.fixture.state_file(folder)) {
        for entry in fs::read_dir(file).unwrap().map(|entry| entry.unwrap().path()) {
            let bytes = fs::read(&entry).unwrap();
            let found = bytes.windows(GITHUB_TOKEN.len()).any(|window| window == GITHUB_TOKEN.as_bytes());
            assert!(!found, "the token is in {}", entry.display());
        }
    }
    for log in ["worker.log", "launcher.log"] {
        let path = launches.fixture.root(0).join("var/log/runner-image-builder").join(log);
        assert!(!fs::read_to_string(path).unwrap().contains(GITHUB_TOKEN));
    }
}

#[test]
fn a_runner_whose_note_is_lost_ends_with_its_label_and_with_the_application() {
    let launches = Launches::set();
    let action = launches.launch(json!({"ttl": 1}));
    assert_eq!(action.status, ActionStatus::Completed, "{action:?}");
    fs::remove_dir_all(launches.fixture.state_file("launches")).unwrap();
    let sweep = || {
        launches.fixture.edit_journal(|journal| journal.swept = None);
        launches.fixture.look_for_work();
        assert_eq!(launches.fixture.job_ended().failures, []);
    };
    sweep();
    assert_eq!(launches.servers().len(), 1, "it has not expired");
    let id = action.results["id"].as_str().unwrap().to_owned();
    launches.fixture.cloud.project(PROJECT).label_server(&id, "runner_image_builder_expires", "1");
    sweep();
    assert_eq!(launches.servers(), [] as [String; 0]);

    assert_eq!(launches.launch(json!({})).status, ActionStatus::Completed);
    assert_eq!(launches.servers().len(), 1);
    launches.fixture.app.remove().unwrap();
    assert_eq!(launches.servers(), [] as [String; 0], "nobody would remove it later");
}
