//! What an operator does and sees: each command is printed as one would type it, with what Juju would answer.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rehearsal::agent::{ActionRun, ActionStatus, Relation, Status, Unit};
use rehearsal::fixture::APPLICATION;
use serde_json::{Value, json};

use crate::interrupt;
use crate::session::{Session, SessionError, doing};

/// How long a build may take here, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

impl Session<'_> {
    /// `juju config`, and the status that it leads to.
    pub fn configure(&mut self, options: &[(&str, String)]) -> Result<(), SessionError> {
        let shown: Vec<String> = options.iter().map(|(name, value)| format!("{name}={value}")).collect();
        self.screen.command(&format!("juju config {APPLICATION} {}", shown.join(" \\\n    ")));
        let values: Vec<(&str, &str)> = options.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.app()?.set_config(&values)?;
        self.status()
    }

    /// `juju status`.
    pub fn status(&self) -> Result<(), SessionError> {
        self.screen.command("juju status");
        for unit in self.app()?.units() {
            let status = unit.status()?;
            self.screen.status(&unit.name(), &status.state, &status.message);
        }
        Ok(())
    }

    /// A unit's status, as text.
    pub fn status_of(&self, unit: &Unit) -> Result<String, SessionError> {
        Ok(unit.status()?.to_string())
    }

    /// `juju integrate` with a consumer that wants images in its own project.
    pub fn integrate(&mut self, name: &'static str) -> Result<(), SessionError> {
        self.screen.command(&format!("juju integrate {APPLICATION}:image {name}-runners:image"));
        let relation = self.fixture.integrate(&self.app()?, name)?;
        self.consumers.push((name, relation));
        Ok(())
    }

    /// `juju run`, with the action's log and results.
    pub fn run_action(&mut self, params: Value) -> Result<ActionRun, SessionError> {
        let words: Vec<String> =
            params.as_object().into_iter().flatten().map(|(key, value)| format!(" {key}={value}")).collect();
        self.screen.command(&format!("juju run {APPLICATION}/leader run{}", words.concat()));
        let leader = self.app()?.leader()?;
        let action = leader.map_or_else(|| self.unit(), Ok)?.run_action("run", params)?;
        action.log.iter().for_each(|line| self.screen.log(line));
        if !action.message.is_empty() {
            self.screen.output(&action.message);
        }
        for (key, value) in &action.results {
            self.screen.output(&format!(
                "{key}: {}",
                value.as_str().map_or_else(|| value.to_string(), str::to_owned)
            ));
        }
        Ok(action)
    }

    /// What our unit tells a consumer.
    pub fn show_databag(&self, name: &str, relation: &Relation) -> Result<(), SessionError> {
        let leader = self.leader()?;
        self.screen.command(&format!("juju show-unit {name}-runners/0 --related-unit {}", leader.name()));
        for (key, value) in relation.written_by(&leader)? {
            let lines: Vec<&str> = value.lines().collect();
            match lines.as_slice() {
                [] | [_] => self.screen.output(&format!("{key}: {value}")),
                lines => {
                    self.screen.output(&format!("{key}: |"));
                    lines.iter().for_each(|line| self.screen.output(&format!("  {line}")));
                }
            }
        }
        Ok(())
    }

    /// The images of a project.
    pub fn show_images(&self, cloud: &str) {
        self.screen.command(&format!("openstack --os-cloud {cloud} image list"));
        for image in self.fixture.cloud.project(&format!("{cloud}-project")).images() {
            let name = image.name.unwrap_or_default();
            self.screen.output(&format!("{}  {name:<44}  {}", image.id, image.status));
        }
    }

    /// The line of the cron file, run now as cron would run it.
    pub fn cron(&mut self) -> Result<(), SessionError> {
        let unit = self.leader()?;
        let file = self.root(&unit).join("etc/cron.d/build-runner-image");
        self.screen.command(&format!("tail -n 1 {}", file.display()));
        let text = fs::read_to_string(&file).map_err(doing("reading the cron file"))?;
        let line = text.lines().last().unwrap_or_default();
        self.screen.output(line);
        let command = line.split_once(" root ").map_or("", |(_when, command)| command).replace("\\%", "%");
        let ended = unit
            .command("/bin/sh")?
            .args(["-c", &command])
            .status()
            .map_err(doing("running the cron line"))?;
        self.holds("cron ran it", ended.success(), ended)?;
        self.follow_to_rest(&unit)
    }

    /// The unit that leads.
    pub fn leader(&self) -> Result<Unit, SessionError> {
        let leader = self.app()?.leader()?;
        leader.map_or_else(|| self.unit(), Ok)
    }

    /// Follows a unit's status and its worker's log until `found` gives something.
    pub fn follow<T>(
        &mut self,
        unit: &Unit,
        what: &str,
        mut found: impl FnMut(&Self) -> Option<T>,
    ) -> Result<T, SessionError> {
        let log = self.worker_log(unit);
        let mut news = News {
            statuses: unit.statuses()?.len(),
            log: fs::read_to_string(&log).unwrap_or_default().len(),
        };
        if let Ok(status) = unit.status() {
            self.screen.status(&unit.name(), &status.state, &status.message);
        }
        let started = Instant::now();
        loop {
            let seen = found(self);
            self.tell(unit, &log, &mut news)?;
            match seen {
                Some(seen) => return Ok(seen),
                None if interrupt::is_asked() => return Err(SessionError::Interrupted),
                None if started.elapsed() > PATIENCE => {
                    let status = unit.status().map(|status| status.to_string()).unwrap_or_default();
                    self.check(what, Err(format!("not within {} s; {status}", PATIENCE.as_secs())))?;
                }
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Prints what is new in status and log.
    fn tell(&self, unit: &Unit, log: &PathBuf, news: &mut News) -> Result<(), SessionError> {
        let text = fs::read_to_string(log).unwrap_or_default();
        let complete = text.rfind('\n').map_or(0, |end| end + 1);
        for line in text.get(news.log..complete).unwrap_or_default().lines() {
            if let Some(line) = worth_telling(line) {
                self.screen.log(&format!("worker.log  {line}"));
            }
        }
        news.log = news.log.max(complete);
        news.statuses = self.show_statuses(unit, news.statuses)?;
        Ok(())
    }

    /// Prints a unit's statuses after the first `from`, each once, and returns how many there are.
    pub fn show_statuses(&self, unit: &Unit, from: usize) -> Result<usize, SessionError> {
        let statuses = unit.statuses()?;
        let said = |status: &Status| (status.state.clone(), status.message.clone());
        for (number, status) in statuses.iter().enumerate().skip(from) {
            let before = number.checked_sub(1).and_then(|before| statuses.get(before));
            if before.map(said) != Some(said(status)) {
                self.screen.status(&unit.name(), &status.state, &status.message);
            }
        }
        Ok(statuses.len())
    }

    /// Where a unit's machine begins.
    pub fn root(&self, unit: &Unit) -> PathBuf {
        let number = unit.name().rsplit('/').next().and_then(|number| number.parse().ok());
        self.fixture.root(number.unwrap_or_default())
    }

    /// Where a unit's worker logs.
    pub fn worker_log(&self, unit: &Unit) -> PathBuf {
        self.root(unit).join("var/log/runner-image-builder/worker.log")
    }

    /// Whether a unit's worker is at work.
    pub fn works(&self, unit: &Unit) -> bool {
        let processes = unit.processes().unwrap_or_default();
        processes
            .iter()
            .any(|process| process.command.contains("/bin/dispatch-") && process.command.contains(" work"))
    }

    /// Follows a unit until nothing works there any more and nothing waits for its turn.
    pub fn follow_to_rest(&mut self, unit: &Unit) -> Result<(), SessionError> {
        self.follow(unit, "the worker has ended", |session| (!session.works(unit)).then_some(()))?;
        Ok(unit.wait_idle(PATIENCE)?)
    }

    /// `juju run ... force=true wait=true`, which must succeed.
    pub fn build_now(&mut self) -> Result<(), SessionError> {
        let action = self.run_action(json!({"force": true, "wait": true}))?;
        self.holds("the action has completed", action.status == ActionStatus::Completed, &action.message)?;
        self.follow_to_rest(&self.leader()?)
    }
}

/// How much has been told already.
struct News {
    statuses: usize,
    log: usize,
}

/// The part of a worker's log line that an operator looks for: no date, and not the output of the builder's commands.
fn worth_telling(line: &str) -> Option<&str> {
    let (_date, rest) = line.split_once(' ')?;
    let (level, text) = rest.split_once(' ')?;
    (level != "DEBUG").then(|| text.trim_start())
}
