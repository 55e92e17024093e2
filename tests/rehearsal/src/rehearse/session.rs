//! Where the scenarios play: the fixture, what has been made in it so far, and the checks.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rehearsal::agent::{AgentError, Application, JujuVersion, Relation, Secret, Unit};
use rehearsal::cloud::{CloudSetup, Latencies};
use rehearsal::fixture::{Fixture, FixtureError};
use rehearsal::juju::ControllerError;
use rehearsal::recipe::digest;
use rehearsal::servers::SiteSetup;

use crate::scenarios::{SCENARIOS, Scenario};
use crate::screen::Screen;

/// The operator's password for the build project.
pub const PASSWORD: &str = "builder-password";
/// What the external script is given.
const TOKEN: &str = "first-token-of-the-registry";

/// The rehearsal cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// A check failed.
    #[error("{scenario}: {check}: {problem}")]
    Check {
        /// In which scenario.
        scenario: &'static str,
        /// Which one.
        check: String,
        /// What was seen instead.
        problem: String,
    },
    /// There is no charm to rehearse.
    #[error("there is no charm at {}: run `make rehearse`, or `make charm` first", .0.display())]
    NoCharm(PathBuf),
    /// The fixture could not be set.
    #[error("preparing the fixture: {0}")]
    Fixture(#[from] FixtureError),
    /// The agent could not do what was asked.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// `juju` cannot be offered.
    #[error(transparent)]
    Controller(#[from] ControllerError),
    /// Somebody pressed Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// Something of this machine.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// What went wrong.
        source: std::io::Error,
    },
}

/// Turns an error of this machine into one of the rehearsal.
pub fn doing(doing: &'static str) -> impl FnOnce(std::io::Error) -> SessionError {
    move |source| SessionError::Io { doing, source }
}

/// The session.
pub struct Session<'a> {
    pub screen: &'a Screen,
    pub fixture: Fixture,
    pub charm: PathBuf,
    /// The password of the build project's user, and the external script's secret.
    pub password: Secret,
    pub token: Secret,
    /// What that secret holds now.
    pub token_text: String,
    /// The newest runner release.
    pub runner: String,
    app: Option<Application>,
    /// The consumers: name and relation.
    pub consumers: Vec<(&'static str, Relation)>,
    /// How many requests the web sites had had before the newest image was built.
    pub asked_before: usize,
    scenario: &'static str,
    passed: usize,
}

impl<'a> Session<'a> {
    /// Starts everything around the charm, and says which charm it is.
    pub fn set(screen: &'a Screen, juju: JujuVersion, charm: &Path) -> Result<Self, SessionError> {
        let dispatch = charm.join("dispatch");
        let bytes = std::fs::read(&dispatch).map_err(|_| SessionError::NoCharm(charm.to_owned()))?;
        screen.say(&format!(
            "charm   {}\n        {} bytes, sha256 {}",
            dispatch.display(),
            bytes.len(),
            digest(&bytes)
        ));
        // A builder whose cloud-init takes a moment: whoever does not wait for it is found out.
        let latencies = Latencies { cloud_init: Duration::from_millis(800), ..Latencies::default() };
        let cloud = CloudSetup { latencies, ..CloudSetup::default() };
        let site = SiteSetup { series: vec!["noble".into()], image_size: 256 << 10, ..SiteSetup::default() };
        let runner = site.runner_versions.last().cloned().unwrap_or_default();
        let fixture = Fixture::set(juju, cloud, site)?;
        screen.say(&format!(
            "cloud   Keystone at {}, instances answer ssh on port {}",
            fixture.cloud.auth_url(),
            fixture.cloud.ssh_port()
        ));
        screen.say(&format!(
            "sites   {} (Ubuntu's images and archive, GitHub, the operator's script)",
            fixture.site.url()
        ));
        screen.say(&format!("unit    its files lie below {}", fixture.root(0).display()));
        let password = fixture.model.add_secret(&[("password", PASSWORD)])?;
        let token = fixture.model.add_secret(&[("registry-token", TOKEN)])?;
        password.describe("openstack-password", "")?;
        token.describe("registry-token", "")?;
        Ok(Self {
            screen,
            fixture,
            charm: charm.to_owned(),
            password,
            token,
            token_text: TOKEN.into(),
            runner,
            app: None,
            consumers: Vec::new(),
            asked_before: 0,
            scenario: "",
            passed: 0,
        })
    }

    /// The next scenario.
    pub fn begin(&mut self, scenario: &'static Scenario) {
        let number = SCENARIOS.iter().position(|other| other.name == scenario.name).unwrap_or_default() + 1;
        self.scenario = scenario.name;
        self.screen.title(number, scenario.name, scenario.title);
    }

    /// The application came.
    pub fn deployed(&mut self, app: Application) {
        self.app = Some(app);
    }

    /// The application.
    pub fn app(&self) -> Result<Application, SessionError> {
        self.app.clone().ok_or_else(|| AgentError::Gone("the application".into()).into())
    }

    /// Its first unit.
    pub fn unit(&self) -> Result<Unit, SessionError> {
        Ok(self.app()?.unit(0))
    }

    /// Shows whether something holds, and ends the rehearsal when it does not.
    pub fn check(&mut self, check: &str, verdict: Result<String, String>) -> Result<(), SessionError> {
        match verdict {
            Ok(seen) => {
                self.passed += 1;
                self.screen.passed(check, &seen);
                Ok(())
            }
            Err(problem) => {
                self.screen.failed(check, &problem);
                Err(SessionError::Check { scenario: self.scenario, check: check.to_owned(), problem })
            }
        }
    }

    /// The same for what is plainly so or not, with what was seen.
    pub fn holds(
        &mut self,
        check: &str,
        holds: bool,
        seen: impl std::fmt::Debug,
    ) -> Result<(), SessionError> {
        self.check(check, if holds { Ok(String::new()) } else { Err(format!("{seen:?}")) })
    }

    /// The images that a unit tells the consumers, in their order.
    pub fn told_by(&self, unit: &Unit) -> Vec<Option<String>> {
        self.consumers.iter().map(|(_, relation)| self.fixture.told(relation, unit, "id")).collect()
    }

    /// How many images have been built so far: each build stops its VM and takes a snapshot, and nothing else does.
    pub fn builds(&self) -> usize {
        let log = self.fixture.cloud.log();
        log.iter().filter(|entry| entry.method == "POST" && entry.url.ends_with("/action")).count() / 2
    }

    /// How many checks passed.
    pub fn passed(&self) -> usize {
        self.passed
    }
}
