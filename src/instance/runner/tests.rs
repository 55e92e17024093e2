//! What steps ask of an instance: of one that is not booted, and for values that a shell would like to read.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::process::{Command as Process, Stdio};

use super::*;
use crate::instance::base::{CacheMount, setup};
use crate::instance::executor::Output;
use crate::instance::recipe::DEFAULT_RECIPE;
use crate::instance::timeout::Timeout;
use crate::model::{Arch, BaseImage, Timestamp};

pub(super) fn base(recipe: &str) -> RunnerBase {
    let target = Target { base: BaseImage::Noble, arch: Arch::X64 };
    RunnerBase {
        part: Part::Whole,
        target,
        recipe: recipe.parse::<Recipe>().unwrap().of(target),
        tools: Vec::new(),
        runner: RunnerTarball { version: "1".into(), url: "https://h/r".into(), sha256: "0".repeat(64) },
        script: None,
        script_variables: BTreeMap::new(),
        environment: CommandEnvironment::new(),
        apt_mirror: None,
        image: ImageInfo {
            application: "app".into(),
            base_image: Timestamp::of_rfc3339("2026-05-01T12:00:00Z").unwrap(),
            built: Timestamp::of_rfc3339("2026-05-02T14:05:00Z").unwrap(),
        },
    }
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

/// An instance that takes note of its commands and of what they are given to read; all of them succeed.
struct Notes {
    booted: bool,
    commands: RefCell<Vec<String>>,
}

impl Notes {
    fn of(base: &RunnerBase, booted: bool) -> Vec<String> {
        let notes = Self { booted, commands: RefCell::default() };
        base.steps().iter().try_for_each(|step| (step.run)(&notes, soon())).unwrap();
        notes.commands.into_inner()
    }
}

impl Executor for Notes {
    fn instance(&self) -> String {
        "notes".into()
    }

    fn is_booted(&self) -> bool {
        self.booted
    }

    fn execute(&self, command: Command, _: Deadline) -> Result<Output, ExecutorError> {
        let mut line = command.words().join(" ");
        if let Some(mut stdin) = command.stdin {
            stdin.read_to_string(&mut line).unwrap();
        }
        self.commands.borrow_mut().push(line);
        Ok(Output { code: 0, stdout: Vec::new(), stderr: String::new() })
    }
}

/// This machine's own shell.
struct Shell;

impl Executor for Shell {
    fn instance(&self) -> String {
        "this machine".into()
    }

    fn is_booted(&self) -> bool {
        true
    }

    fn execute(&self, command: Command, _: Deadline) -> Result<Output, ExecutorError> {
        let mut child = Process::new(&command.words()[0])
            .args(&command.words()[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = Vec::new();
        if let Some(mut stdin) = command.stdin {
            stdin.read_to_end(&mut input).unwrap();
        }
        child.stdin.take().unwrap().write_all(&input).unwrap();
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Ok(Output { code: output.status.code().unwrap(), stdout: output.stdout, stderr })
    }
}

#[test]
fn an_image_that_is_not_booted_is_asked_for_nothing_that_runs() {
    let base = base(DEFAULT_RECIPE);
    let (booted, offline) = (Notes::of(&base, true), Notes::of(&base, false));
    let needs_a_machine = |command: &&String| {
        ["cloud-init status", "systemctl stop", "snap wait", "snap list"]
            .iter()
            .any(|part| command.contains(part))
            && !command.contains("[Unit]")
    };
    assert_eq!(booted.iter().filter(needs_a_machine).count(), 5, "{booted:#?}");
    assert_eq!(offline.iter().filter(needs_a_machine).collect::<Vec<_>>(), [] as [&String; 0]);
    assert!(offline.iter().any(|command| command == "systemctl enable runner-image-builder-snaps.service"));
    assert!(offline.iter().any(|command| command.contains("snap install --channel=latest/edge aproxy")));
}

#[test]
fn only_what_the_recipe_asks_for_is_a_step() {
    let names =
        |recipe: &str| -> Vec<&'static str> { base(recipe).steps().iter().map(|step| step.name).collect() };
    assert_eq!(
        names("runner: []"),
        [
            "waiting for cloud-init",
            "choosing package sources",
            "upgrading packages",
            "creating users",
            "installing the runner",
            "naming the image",
            "giving both users the same groups",
            "cleaning up"
        ]
    );
    assert!(names("sysctl: {a.b: 1}\nrunner: []").contains(&"configuring the system"));
    assert!(names(DEFAULT_RECIPE).contains(&"installing snaps"));
}

#[test]
fn foreign_packages_bring_their_architecture_once() {
    let commands =
        Notes::of(&base("packages: ['libc6:armhf', 'libicu-dev:armhf', 'jq:amd64']\nrunner: []"), true);
    let added: Vec<&String> =
        commands.iter().filter(|command| command.contains("--add-architecture")).collect();
    assert_eq!(added, ["dpkg --add-architecture armhf"]);
}

#[test]
fn a_file_arrives_as_it_is_whatever_a_shell_would_read_in_it() {
    let me = |flag: &str| {
        let output = Process::new("id").arg(flag).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let owner = format!("{}:{}", me("-u"), me("-g"));
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in [
        ("plain", "text\n"),
        ("it's", "it's $(touch escaped) `touch escaped` \"${HOME}\"\\\n\n"),
        ("$(touch escaped)", "'; touch escaped; '"),
        ("a b;touch escaped", "\u{0}\u{1}\u{7f}\r\n"),
        ("-rf", "EOF\n--\n"),
        ("*", ""),
    ] {
        let path = dir.path().join("new folder").join(name);
        let content = content.as_bytes().to_vec();
        for _ in 0..2 {
            Shell.push_file_for(&owner, path.to_str().unwrap(), 0o640, content.clone(), soon()).unwrap();
        }
        assert_eq!(std::fs::read(&path).unwrap(), content, "{name}");
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o7777, 0o640);
    }
    assert_eq!(
        std::fs::read_dir(dir.path().join("new folder")).unwrap().count(),
        6,
        "nothing beside the files"
    );
    assert!(!std::path::Path::new("escaped").exists());
}

#[test]
fn the_proxies_are_given_to_snapd_and_taken_again_also_when_a_snap_fails() {
    struct NoSnaps(Notes);
    impl Executor for NoSnaps {
        fn instance(&self) -> String {
            self.0.instance()
        }
        fn is_booted(&self) -> bool {
            true
        }
        fn execute(&self, command: Command, deadline: Deadline) -> Result<Output, ExecutorError> {
            let fails = command.words().iter().any(|word| word.contains("snap install"));
            let output = self.0.execute(command, deadline)?;
            Ok(Output { code: i32::from(fails), ..output })
        }
    }
    let proxy = Secret::new("http://u:hunter2@p:1".to_owned());
    let environment = CommandEnvironment::from([("https_proxy".to_owned(), Some(proxy))]);
    let base = RunnerBase { environment, ..base("snaps: [go]\nrunner: []") };
    let instance = NoSnaps(Notes { booted: true, commands: RefCell::default() });
    base.install_snaps(&instance, soon()).unwrap_err();
    let commands = instance.0.commands.into_inner();
    assert!(commands.iter().any(|command| command.ends_with("https_proxy=\"http://u:hunter2@p:1\"\n")));
    let last = commands.last().unwrap();
    assert!(last.contains("rm -f ") && last.contains(" /run/runner-image-builder/proxies "), "{commands:#?}");
}

/// An instance of Ubuntu whose apt lacks some packages.
struct Lacking(Notes, &'static str);

impl Executor for Lacking {
    fn instance(&self) -> String {
        self.0.instance()
    }

    fn is_booted(&self) -> bool {
        true
    }

    fn execute(&self, command: Command, deadline: Deadline) -> Result<Output, ExecutorError> {
        let line = command.words().join(" ");
        let output = self.0.execute(command, deadline)?;
        let stdout = match line.as_str() {
            line if line.contains("/etc/os-release") => "NAME=Ubuntu\nVERSION_ID=24.04\n",
            line if line.contains("--simulate") => self.1,
            _ => "",
        };
        Ok(Output { stdout: stdout.into(), ..output })
    }
}

#[test]
fn all_packages_without_a_candidate_are_named_before_anything_is_changed() {
    let base = base("packages: [jq, gh, nope]\nremoved_packages: [foo]\nrunner: []");
    let instance = Lacking(Notes { booted: true, commands: RefCell::default() }, "gh\nnope\n");
    let timeout = Timeout::Until(soon());
    let error = setup(&base, &instance, timeout, CacheMount::Leave, &|_, _, _| ()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "choosing package sources: no package source for base noble on architecture x64 has gh, nope; change packages \
         or apt_sources in the recipe (option recipe)"
    );
    assert!(error.operator_must_act(), "time does not help");
    let commands = instance.0.commands.into_inner();
    let asked = commands.last().unwrap();
    assert!(asked.ends_with("--simulate install --no-install-recommends jq gh nope"), "{commands:#?}");
    assert!(commands.iter().any(|command| command.ends_with(" update")), "the lists are fresh");
    for word in ["dist-upgrade", "purge"] {
        assert!(!commands.iter().any(|command| command.contains(word)), "{commands:#?}");
    }
}

#[test]
fn what_apt_says_is_read_as_it_says_it() {
    let said = "Package mail-transport-agent is a virtual package provided by:\n  postfix 3.7\n\n\
        E: Unable to locate package nope\n\
        Error: Unable to locate package libc6:armhf\n\
        E: Package 'mail-transport-agent' has no installation candidate\n\
        E: Unable to locate package dotnet-runtime-8.0\n\
        E: Couldn't find any package by glob 'dotnet-runtime-8.0'\n";
    for (said, code, absent) in [
        (said, "100", "nope\nlibc6:armhf\nmail-transport-agent\ndotnet-runtime-8.0\n"),
        ("E: Unable to correct problems, you have held broken packages.\n", "100", ""),
        ("Inst jq\n", "0", ""),
    ] {
        let apt = ["bash", "-c", "printf %s \"$0\" >&2; exit \"$1\"", said, code];
        let output = Shell.run(base("runner: []").shell_with(packages::NAME_ABSENT, &apt), soon()).unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), absent);
    }
}

#[test]
fn a_mirror_is_not_asked_for_architectures_that_have_a_source_of_their_own() {
    let source = |recipe: &str| {
        let base = RunnerBase { apt_mirror: Some("http://m/ubuntu".into()), ..base(recipe) };
        let commands = Notes::of(&base, true);
        let has_mirror = |command: &&String| command.contains("URIs: http://m/ubuntu");
        commands.iter().find(has_mirror).unwrap().clone()
    };
    let armhf = "apt_sources: [{name: a, url: 'http://p/', components: [main], architectures: [armhf], keyring: /k}]\n";
    assert!(!source("packages: ['libc6:armhf']\nrunner: []").contains("Architectures:"));
    assert!(!source("packages: [jq]\nrunner: []").contains("Architectures:"));
    let with = format!("{armhf}packages: ['libc6:armhf', 'libc6:i386']\nrunner: []");
    assert!(source(&with).contains("Architectures: amd64 i386\nSigned-By:"));
}

#[test]
fn a_fetched_key_lies_where_apt_knows_its_form_and_comes_over_https_only() {
    let recipe = "apt_sources: [{name: a, url: 'https://h/', components: [main], key_url: 'https://h/k?a=$b&c'}]\nrunner: []";
    let commands = Notes::of(&base(recipe), true);
    let fetched = commands.iter().find(|command| command.contains("https://h/k?a=$b&c")).unwrap();
    assert!(fetched.ends_with(" bash https://h/k?a=$b&c a"), "arguments, not script: {fetched}");
    assert!(fetched.contains("--proto '=https' "));
}

fn names(base: &RunnerBase, part: Part) -> Vec<&'static str> {
    RunnerBase { part, ..base.clone() }.steps().iter().map(|step| step.name).collect()
}

#[test]
fn a_preparation_and_what_follows_on_a_prepared_image_are_the_whole() {
    let script = Some(ExternalScript { content: b"#!/bin/sh\n".to_vec(), sha256: "0".repeat(64) });
    let (path, version, sha256) = ("/t".into(), "1".into(), "0".repeat(64));
    let tools = vec![ToolDownload { path, version, url: "https://h/t".into(), sha256 }];
    let apt_mirror = Some("http://m/ubuntu".into());
    let base = RunnerBase { script, tools, apt_mirror, ..base(DEFAULT_RECIPE) };
    let [whole, prepared, rest] =
        [Part::Whole, Part::Preparation, Part::OnPrepared].map(|part| names(&base, part));
    assert_eq!(whole.len(), 17);
    let twice: Vec<&str> = prepared.iter().filter(|step| rest.contains(step)).copied().collect();
    assert_eq!(
        twice,
        [
            "waiting for cloud-init",
            "choosing package sources",
            "upgrading packages",
            "restoring package sources",
            "cleaning up"
        ]
    );
    assert!(whole.iter().all(|step| prepared.contains(step) || rest.contains(step)));
    let is_in_order = |part: &[&str]| {
        let places = part.iter().map(|step| whole.iter().position(|known| known == step).unwrap());
        places.is_sorted()
    };
    assert!(is_in_order(&prepared) && is_in_order(&rest));
}

#[test]
fn what_a_prepared_image_has_got_back_with_its_packages_is_not_removed_again() {
    let recipe = "packages: [jq]\nremoved_packages: [postfix]\nrunner: []";
    let says = |part, words: &str| {
        let commands = Notes::of(&RunnerBase { part, ..base(recipe) }, true);
        commands.iter().any(|command| command.contains(words))
    };
    for part in [Part::Whole, Part::Preparation] {
        assert!(says(part, "purge postfix") && says(part, " dist-upgrade") && says(part, " install "));
    }
    assert!(!says(Part::OnPrepared, "purge") && says(Part::OnPrepared, " dist-upgrade"));
}
