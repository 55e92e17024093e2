//! `--keep`: the rehearsal stays up, and answers `juju`.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use rehearsal::fixture::{APPLICATION, Fixture};
use rehearsal::juju::Controller;
use rehearsal::servers::GITHUB_TOKEN;
use serde_json::{Map, Value, json};

use crate::interrupt;
use crate::scenarios::SCRIPT;
use crate::session::{PASSWORD, Session, SessionError, doing};

/// The application that the consumer's options are for.
const CONSUMER: &str = "github-runner";

impl Session<'_> {
    /// Stays up until the operator has had enough.
    pub fn keep(&self, empty: bool) -> Result<(), SessionError> {
        if empty {
            self.password.remove()?;
            self.token.remove()?;
        }
        let client = std::env::current_exe().map_err(doing("finding this program"))?.with_file_name("juju");
        let controller = Controller::open(&self.fixture, &client)?;
        thread::scope(|scope| {
            scope.spawn(|| controller.serve());
            let told = self.explain(controller.path_entry());
            if told.is_ok() {
                interrupt::wait();
            }
            controller.end();
            told
        })
    }

    /// Says how to reach it.
    fn explain(&self, path_entry: &Path) -> Result<(), SessionError> {
        let fixture = &self.fixture;
        let clouds = write(fixture, "clouds.yaml", &fixture.cloud.clouds_yaml())?;
        let options = self.options();
        let consumer = consumer(fixture, "upload");
        write(fixture, "image-builder.yaml", &yaml(&json!({APPLICATION: options})))?;
        write(fixture, "github-runner.yaml", &yaml(&json!({CONSUMER: consumer})))?;
        let world = json!({
            "model": rehearsal::juju::api::MODEL,
            "charm": self.charm,
            "options": options,
            "password": PASSWORD,
            "restart-agents": "systemctl restart jujud-machine-*",
            "runner": {"path": "octo/engine", "token": GITHUB_TOKEN},
            "script": fixture.site.serve_script("setup.sh", SCRIPT),
            "consumers": [consumer, self::consumer(fixture, "upload2")],
        });
        write(fixture, "world.yaml", &yaml(&world))?;
        self.screen.say("\nEverything stays up. In another terminal:");
        self.screen.command(&format!("export PATH={}:$PATH", path_entry.display()));
        self.screen.command(&format!("export REHEARSAL={}", fixture.directory().display()));
        self.screen.command(&format!("export OS_CLIENT_CONFIG_FILE={}", clouds.display()));
        self.screen.command("juju status");
        self.screen.command("openstack --os-cloud upload image list");
        self.screen.say(&format!(
            "Options for juju are in $REHEARSAL/image-builder.yaml and github-runner.yaml; the password of the build \
             project is {PASSWORD}. docs/how-to/rehearse.md goes on from here."
        ));
        self.screen.say("Ctrl-C ends it.");
        Ok(())
    }

    /// What the charm has to be told of this rehearsal, but for the password's secret.
    fn options(&self) -> Map<String, Value> {
        let options = self.fixture.options(&self.password).into_iter();
        let options = options.filter(|(name, _)| *name != "openstack-password-secret");
        let options = options.map(|(name, value)| (name.to_owned(), json!(value)));
        options
            .chain([("build-apt-mirror".to_owned(), json!(self.fixture.site.serve_mirror("noble")))])
            .collect()
    }
}

/// The options of `tests/juju/consumer` for a consumer that wants images in `NAME-project`.
fn consumer(fixture: &Fixture, name: &str) -> Value {
    json!({
        "auth-url": fixture.cloud.auth_url(),
        "username": format!("{name}-user"),
        "password": format!("{name}-password"),
        "user-domain-name": "Default",
        "project-name": format!("{name}-project"),
        "project-domain-name": "Default",
    })
}

fn yaml(value: &Value) -> String {
    // JSON is YAML, and has one way to quote.
    format!("{value:#}\n")
}

fn write(fixture: &Fixture, name: &str, text: &str) -> Result<PathBuf, SessionError> {
    let file = fixture.directory().join(name);
    fs::write(&file, text).map_err(doing("writing what the operator needs"))?;
    Ok(file)
}
