//! A runner that an operator launches by hand, from the action to its end.

use std::fs;
use std::time::Duration;

use rehearsal::agent::ActionStatus;
use runner_image_builder::builder::{Launch, Timestamp};
use runner_image_builder::host::Host;
use serde_json::json;

use crate::charm::{APPLICATION, Charm, PROXY};
use crate::cloud::{Project, state_dir};
use crate::deployed::{Deployed, wait_for};

/// What the site takes for a token of GitHub, and the registration token that it gives for it.
pub const GITHUB_TOKEN: &str = "planted-github-token-3f9a";
const REGISTRATION_TOKEN: &str = "REGISTRATION-7c1e";
/// How long a boot may take on an emulated processor.
const BOOT: Duration = Duration::from_secs(1200);

/// Launches one in `project`, waits for what it says of itself, and lets its time pass.
pub fn lives_and_ends(charm: &Charm, project: &Project) {
    let servers = || project.json(&["server", "list"]).as_array().expect("a list").len();
    let before = servers();
    let report = state_dir().join("site.report");
    let _ = fs::remove_file(&report);
    let secret = charm.model.add_secret(&[("token", GITHUB_TOKEN)]).expect("secret");
    secret.grant(&charm.app).expect("grant");
    let launch = |flavor: &str| {
        let parameters = json!({
            "path": "octo/engine", "token-secret-id": secret.uri(), "cloud": project.auth("project_name"),
            "labels": "gpu,a b", "dockerhub-mirror": "http://mirror.test:5000", "flavor": flavor,
        });
        charm.unit().run_action("launch-runner", parameters).expect("action")
    };

    let refused = launch("no-such-flavor");
    assert_eq!(refused.status, ActionStatus::Failed, "{refused:?}");
    assert_eq!(servers(), before, "a launch that fails leaves no server");

    let action = launch("builder");
    assert_eq!((action.status, action.message.as_str()), (ActionStatus::Completed, ""), "{action:?}");
    let name = action.results["name"].as_str().expect("a name").to_owned();
    assert!(name.starts_with(&format!("{APPLICATION}-0-")), "{name}");
    let told = wait_for("the runner's report", BOOT, || fs::read_to_string(&report).ok());
    let arguments: Vec<&str> = told.lines().take(10).collect();
    // Of the GitHub whose API it is.
    let url = "http://127.0.0.1:8080/octo/engine";
    let labels = format!("{APPLICATION},noble,gpu,a b");
    let wanted = [
        "--unattended",
        "--ephemeral",
        "--url",
        url,
        "--token",
        REGISTRATION_TOKEN,
        "--name",
        &name,
        "--labels",
        &labels,
    ];
    assert_eq!(arguments, wanted);
    for line in [format!("HTTP_PROXY={PROXY}"), "DOCKERHUB_MIRROR=http://mirror.test:5000".into()] {
        assert!(told.lines().any(|known| known == line), "{line} is not in {told}");
    }

    let host = Host::below(&charm.root);
    for launch in Launch::all(&host).expect("notes") {
        Launch { expires: Timestamp(1), ..launch }.save(&host).expect("a note");
    }
    charm.next_hook();
    wait_for("the runner's end", Duration::from_secs(300), || (servers() == before).then_some(()));
}
