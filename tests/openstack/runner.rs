//! A runner that an operator launches by hand, from the action to its end.

use std::fs;
use std::time::Duration;

use rehearsal::agent::{ActionRun, ActionStatus, Secret};
use runner_image_builder::host::Host;
use runner_image_builder::model::Timestamp;
use runner_image_builder::record::{Launch, LaunchState};
use serde_json::json;

use crate::charm::{APPLICATION, Charm, PROXY};
use crate::cloud::{Project, state_dir};
use crate::deployed::{Deployed, wait_for};

/// What the site takes for a token of GitHub, and the registration token that it gives for it.
pub const GITHUB_TOKEN: &str = "planted-github-token-3f9a";
const REGISTRATION_TOKEN: &str = "REGISTRATION-7c1e";
/// How long a boot may take on an emulated processor.
const BOOT: Duration = Duration::from_secs(1200);

/// An operator who may launch runners in `project`.
struct Operator<'a> {
    charm: &'a Charm,
    project: &'a Project,
    token: Secret,
}

impl<'a> Operator<'a> {
    fn of(charm: &'a Charm, project: &'a Project) -> Self {
        let token = charm.model.add_secret(&[("token", GITHUB_TOKEN)]).expect("secret");
        token.grant(&charm.app).expect("grant");
        Self { charm, project, token }
    }

    fn launch(&self, flavor: &str) -> ActionRun {
        let parameters = json!({
            "path": "octo/engine", "token-secret-id": self.token.uri(),
            "cloud": self.project.auth("project_name"), "labels": "gpu,a b",
            "dockerhub-mirror": "http://mirror.test:5000", "flavor": flavor,
        });
        self.charm.unit().run_action("launch-runner", parameters).expect("action")
    }

    /// A launch that comes to nothing for this reason, says what can be done, and leaves nothing but its note.
    fn is_refused(&self, flavor: &str, texts: &[&str]) {
        let before = self.project.inventory();
        let action = self.launch(flavor);
        assert_eq!(action.status, ActionStatus::Failed, "{action:?}");
        for text in texts {
            assert!(action.message.contains(text), "no {text:?} in {:?}", action.message);
        }
        assert_eq!(self.project.inventory(), before, "{}", action.message);
        let host = Host::below(&self.charm.root);
        let launches = Launch::all(&host).expect("notes");
        let note =
            launches.iter().find(|launch| Some(launch.id.as_str()) == action.results["launch"].as_str());
        let note = note.expect("its note");
        assert_eq!((&note.state, &note.server), (&LaunchState::Failed { message: action.message }, &None));
        let secrets = fs::read_dir(host.run_dir()).expect("the run folder").flatten();
        let secrets: Vec<_> =
            secrets.filter(|entry| entry.file_name().to_string_lossy().starts_with("launch-")).collect();
        assert!(secrets.is_empty(), "{secrets:?}");
    }
}

/// A flavor, as long as this lives, for which no host of the cloud has room.
struct HugeFlavor(Project);

impl HugeFlavor {
    const NAME: &str = "no-host-is-so-large";

    fn create() -> Self {
        let flavor = Self(Project::named("admin"));
        // Of processors and memory the quota of a project would not have enough either.
        let size = ["--vcpus", "2", "--ram", "1024", "--disk", "1000000"];
        flavor.0.client(&[&["flavor", "create"], &size[..], &[Self::NAME]].concat());
        flavor
    }
}

impl Drop for HugeFlavor {
    fn drop(&mut self) {
        let _ = self.0.try_client(&["flavor", "delete", Self::NAME]);
    }
}

/// A quota of one virtual processor for a project, as long as this lives.
struct OneCore {
    admin: Project,
    project: String,
    before: String,
}

impl OneCore {
    fn of(project: &Project) -> Self {
        let (admin, project) = (Project::named("admin"), project.auth("project_name").to_owned());
        let quota = admin.json(&["quota", "show", &project]);
        let before = cores(&quota).unwrap_or_else(|| panic!("no cores in {quota}"));
        admin.client(&["quota", "set", "--cores", "1", &project]);
        Self { admin, project, before }
    }
}

impl Drop for OneCore {
    fn drop(&mut self) {
        let _ = self.admin.try_client(&["quota", "set", "--cores", &self.before, &self.project]);
    }
}

/// Of a quota as some clients write it, one field each, or others, one row each.
fn cores(quota: &serde_json::Value) -> Option<String> {
    let rows = quota.as_array().into_iter().flatten();
    let row = rows.filter(|row| row["Resource"] == "cores").map(|row| &row["Limit"]).next();
    row.or(quota.get("cores")).map(ToString::to_string)
}

/// Launches that Nova refuses, at once or after a while, leave nothing behind.
pub fn comes_to_nothing(charm: &Charm, project: &Project) {
    let operator = Operator::of(charm, project);
    operator.is_refused("no-such-flavor", &["flavor \"no-such-flavor\" does not exist"]);
    {
        let _flavor = HugeFlavor::create();
        operator.is_refused(HugeFlavor::NAME, &["No valid host was found", "choose a smaller flavor"]);
    }
    let _quota = OneCore::of(project);
    operator.is_refused("builder", &["Quota exceeded for cores", "raise the quota"]);
}

/// Launches one in `project`, waits for what it says of itself, and lets its time pass.
pub fn lives_and_ends(charm: &Charm, project: &Project) {
    let servers = || project.json(&["server", "list"]).as_array().expect("a list").len();
    let before = servers();
    let report = state_dir().join("site.report");
    let _ = fs::remove_file(&report);
    let action = Operator::of(charm, project).launch("builder");
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
