//! What `BuilddBase` runs and writes, held against a record of craft-providers 3.8: `tests/craft_providers/run.sh` makes
//! the record and runs this. What differs stands in `deviations.md`, with its reason, and nothing else may.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says what it expects")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use runner_image_builder::host::Host;
use runner_image_builder::instance::{
    Base, BaseConfigurationError, BaseError, BaseParameters, BuilddBase, BuilddBaseAlias, CacheMount,
    Command, Executor, ExecutorError, INSTANCE_CONFIG_PATH, Output, Snap, Timeout, setup, warmup,
};
use runner_image_builder::model::{Deadline, Secret};
use serde::Deserialize;

#[derive(Deserialize)]
struct Told {
    answers: Vec<Answer>,
    cases: Vec<Case>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    begins: Vec<String>,
    #[serde(default)]
    stdout: String,
    #[serde(default)]
    code: i32,
}

impl Answer {
    /// Whether the words begin so; the last one may be cut short.
    fn is_for(&self, words: &[String]) -> bool {
        let (last, whole) = self.begins.split_last().unwrap();
        words.starts_with(whole) && words.get(whole.len()).is_some_and(|word| word.starts_with(last.as_str()))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    operation: String,
    #[serde(default)]
    parameters: Parameters,
    #[serde(default)]
    answers: Vec<Answer>,
    instance_config: Option<String>,
    mount_cache: Option<bool>,
    timeout: Option<f64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    alias: Option<String>,
    compatibility_tag: Option<String>,
    #[serde(default)]
    environment: BTreeMap<String, Option<String>>,
    hostname: Option<String>,
    #[serde(default)]
    snaps: Vec<ToldSnap>,
    #[serde(default)]
    packages: Vec<String>,
    use_default_packages: Option<bool>,
    cache_path: Option<PathBuf>,
}

#[derive(Deserialize)]
struct ToldSnap {
    name: String,
    channel: String,
    classic: bool,
}

impl From<&Parameters> for BaseParameters {
    fn from(told: &Parameters) -> Self {
        let mut parameters =
            Self::new(BuilddBaseAlias::parse(told.alias.as_deref().unwrap_or("noble")).unwrap());
        parameters.compatibility_tag = told.compatibility_tag.clone();
        let variables = told.environment.iter();
        parameters.environment =
            variables.map(|(name, value)| (name.clone(), value.clone().map(Secret::new))).collect();
        if let Some(hostname) = &told.hostname {
            parameters.hostname = hostname.clone();
        }
        let snap = |snap: &ToldSnap| Snap {
            name: snap.name.clone(),
            channel: snap.channel.clone(),
            classic: snap.classic,
        };
        parameters.snaps = told.snaps.iter().map(snap).collect();
        parameters.packages = told.packages.clone();
        parameters.use_default_packages = told.use_default_packages.unwrap_or(true);
        parameters.cache_path = told.cache_path.clone();
        parameters
    }
}

/// An instance of which only the record is real.
struct Recorder {
    answers: Vec<Answer>,
    files: RefCell<BTreeMap<String, Vec<u8>>>,
    events: RefCell<Vec<String>>,
}

impl Executor for Recorder {
    fn instance(&self) -> String {
        "record".into()
    }

    fn is_booted(&self) -> bool {
        true
    }

    fn execute(&self, command: Command, _: Deadline) -> Result<Output, ExecutorError> {
        let words = command.words().to_vec();
        self.events.borrow_mut().push(format!("run {}", serde_json::to_string(&words).unwrap()));
        let answer = self.answers.iter().find(|answer| answer.is_for(&words)).cloned();
        let (code, stdout) = answer.map_or((0, String::new()), |answer| (answer.code, answer.stdout));
        Ok(Output { code, stdout: stdout.into_bytes(), stderr: String::new() })
    }

    fn push_file_for(
        &self,
        owner: &str,
        path: &str,
        mode: u32,
        content: Vec<u8>,
        _: Deadline,
    ) -> Result<(), ExecutorError> {
        let text = serde_json::to_string(std::str::from_utf8(&content).unwrap()).unwrap();
        self.events.borrow_mut().push(format!("push {path} {owner} {mode:04o} {text}"));
        self.files.borrow_mut().insert(path.to_owned(), content);
        Ok(())
    }

    fn pull_file(&self, path: &str, _: u64, _: Deadline) -> Result<Option<Vec<u8>>, ExecutorError> {
        Ok(self.files.borrow().get(path).cloned())
    }

    fn mount(&self, source: &Path, target: &str, _: Deadline) -> Result<(), ExecutorError> {
        self.events.borrow_mut().push(format!("mount {} {target}", source.display()));
        Ok(())
    }
}

fn record(case: &Case, answers: &[Answer]) -> Vec<String> {
    let files = case.instance_config.iter();
    let recorder = Recorder {
        answers: case.answers.iter().chain(answers).cloned().collect(),
        files: RefCell::new(
            files.map(|text| (INSTANCE_CONFIG_PATH.into(), text.clone().into_bytes())).collect(),
        ),
        events: RefCell::default(),
    };
    let root = tempfile::tempdir().unwrap();
    let end = match perform(case, &Host::below(root.path()), &recorder) {
        Ok(()) => "done",
        Err(BaseError::Compatibility(_)) => "BaseCompatibilityError",
        Err(BaseError::Configuration(_)) => "BaseConfigurationError",
    };
    let mut events = recorder.events.into_inner();
    events.push(format!("end {end}"));
    events
}

fn perform(case: &Case, host: &Host, executor: &dyn Executor) -> Result<(), BaseError> {
    let base = BuilddBase::new(host, BaseParameters::from(&case.parameters))?;
    let timeout = Timeout::seconds(Some(case.timeout.unwrap_or(Timeout::DEFAULT_SECONDS)))?;
    let cache = if case.mount_cache.unwrap_or(true) { CacheMount::Mount } else { CacheMount::Leave };
    match case.operation.as_str() {
        "setup" => setup(&base, executor, timeout, cache, &|_, _, _| ()),
        "warmup" => warmup(&base, executor, timeout, &|_, _, _| ()),
        _ => base.wait_until_ready(executor, Deadline::never()).map_err(|error| {
            BaseConfigurationError::Step { step: "waiting", source: Box::new(error) }.into()
        }),
    }
}

/// A row of `deviations.md`.
struct Deviation {
    case: String,
    theirs: String,
    ours: String,
}

impl Deviation {
    fn all() -> Vec<Self> {
        let rows = include_str!("deviations.md").lines().filter(|line| line.starts_with("| "));
        let rows = rows.skip(1).map(|row| {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(|cell| cell.trim()).collect();
            assert!(cells.len() == 4 && !cells[3].is_empty(), "a row has four cells: {row}");
            let event = |cell: &str| cell.trim_matches('`').to_owned();
            Self { case: cells[0].to_owned(), theirs: event(cells[1]), ours: event(cells[2]) }
        });
        rows.collect()
    }

    fn claims(&self, case: &str, side: Side, event: &str) -> bool {
        let beginning = match side {
            Side::Theirs => &self.theirs,
            Side::Ours => &self.ours,
        };
        (self.case == "all" || self.case == case)
            && !beginning.is_empty()
            && event.starts_with(beginning.as_str())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Theirs,
    Ours,
}

/// The events that are on one side only, where the longest order that both have in common is left out.
fn differences<'a>(theirs: &'a [String], ours: &'a [String]) -> Vec<(Side, &'a str)> {
    let mut common = vec![vec![0; ours.len() + 1]; theirs.len() + 1];
    for i in (0..theirs.len()).rev() {
        for j in (0..ours.len()).rev() {
            common[i][j] = if theirs[i] == ours[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut found) = (0, 0, Vec::new());
    while i < theirs.len() || j < ours.len() {
        if i < theirs.len() && j < ours.len() && theirs[i] == ours[j] {
            (i, j) = (i + 1, j + 1);
        } else if j == ours.len() || (i < theirs.len() && common[i + 1][j] >= common[i][j + 1]) {
            found.push((Side::Theirs, theirs[i].as_str()));
            i += 1;
        } else {
            found.push((Side::Ours, ours[j].as_str()));
            j += 1;
        }
    }
    found
}

#[test]
fn differs_from_craft_providers_only_where_it_is_said_why() {
    let told: Told = serde_json::from_str(include_str!("cases.json")).unwrap();
    let path = std::env::var("CRAFT_PROVIDERS_RECORD").expect("run tests/craft_providers/run.sh");
    let mut text = String::new();
    std::fs::File::open(path).unwrap().read_to_string(&mut text).unwrap();
    let recorded: BTreeMap<String, Vec<String>> = serde_json::from_str(&text).unwrap();
    assert_eq!(recorded.len(), told.cases.len(), "every case has a record, and a name of its own");

    let deviations = Deviation::all();
    let mut seen = vec![(false, false); deviations.len()];
    let mut unexplained = Vec::new();
    for case in &told.cases {
        let ours = record(case, &told.answers);
        assert!(ours.len() > 1 || recorded[&case.name].len() <= 2, "{}: nothing was done", case.name);
        for (side, event) in differences(&recorded[&case.name], &ours) {
            let mut claimed = false;
            for (deviation, seen) in deviations.iter().zip(&mut seen) {
                if deviation.claims(&case.name, side, event) {
                    claimed = true;
                    let half = if side == Side::Theirs { &mut seen.0 } else { &mut seen.1 };
                    *half = true;
                }
            }
            if !claimed {
                unexplained.push(format!("{}: {side:?}: {event}", case.name));
            }
        }
    }
    let gone = deviations.iter().zip(&seen).filter(|(deviation, seen)| {
        (!deviation.theirs.is_empty() && !seen.0) || (!deviation.ours.is_empty() && !seen.1)
    });
    let gone: Vec<String> =
        gone.map(|(row, _)| format!("gone: {}: {} -> {}", row.case, row.theirs, row.ours)).collect();
    let wrong = [unexplained, gone].concat();
    assert!(
        wrong.is_empty(),
        "what differs and is not in deviations.md, or is there and gone:\n{}",
        wrong.join("\n")
    );
}
