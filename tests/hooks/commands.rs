//! The command line on a unit: help, words that are not known, output for programs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use runner_image_builder::model::hex;
use runner_image_builder::record::Failure;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::cloud::NOBODY;
use crate::deploy::Plan;
use crate::machine::{NOBLE, Site};
use crate::publishing::FIRST;

/// Holds a document against a schema of the kinds that ours are made of.
#[track_caller]
fn assert_valid(place: &str, value: &Value, schema: &Value) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let allowed = &schema["type"];
    let is_allowed =
        allowed == kind || allowed.as_array().is_some_and(|kinds| kinds.iter().any(|one| one == kind));
    assert!(is_allowed, "{place}: {kind} is none of {allowed}");
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        assert_valid(&format!("{place}[{index}]"), item, &schema["items"]);
    }
    let Some(fields) = value.as_object() else { return };
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        assert!(fields.contains_key(name), "{place}.{name} is missing");
    }
    for (name, field) in fields {
        let known = &schema["properties"][name];
        assert!(known.is_object(), "{place}.{name} is in no schema");
        assert_valid(&format!("{place}.{name}"), field, known);
    }
}

fn schema() -> Value {
    serde_json::from_str(include_str!("../../docs/reference/jobs.schema.json")).unwrap()
}

#[test]
fn jobs_for_programs_keep_to_their_schema() {
    let plan = Plan::new();
    let (site, _relation) = plan.related();
    let told = |site: &Site| -> Value {
        let output = site.unit().exec("./dispatch jobs --format json").unwrap();
        assert_eq!(output.code, 0, "{output:?}");
        serde_json::from_str(&output.stdout).unwrap()
    };
    assert_valid("running", &told(&site), &schema());
    let failure = Failure { target: Some(NOBLE), ..Failure::of(&"no quota".to_owned(), true) };
    site.finish_job(vec![failure], |_| ());
    let failed = told(&site);
    assert_valid("failed", &failed, &schema());
    assert_eq!(failed["job"]["failures"][0]["operator_must_act"], true);
    assert_eq!(
        (&failed["failing"][0]["target"], &failed["failing"][0]["messages"][0]),
        (&"noble-x64".into(), &"no quota".into())
    );

    let (site, _relation) = plan.related();
    site.deliver(&[(FIRST, NOBLE, &plan.project().cloud())]);
    let delivered = told(&site);
    assert_valid("delivered", &delivered, &schema());
    assert_eq!(delivered["images"][0]["id"], FIRST);
}

/// What `dispatch run` writes of a build that its cloud refuses: to a terminal, or into a pipe.
fn output_of_a_run(site: &Site, terminal: bool) -> String {
    let clouds = site.dir.path().join("mine.yaml");
    let auth = format!(
        "{{auth_url: '{NOBODY}', username: u, password: p, project_name: p, user_domain_name: d, \
         project_domain_name: d}}"
    );
    fs::write(&clouds, format!("clouds: {{mine: {{auth: {auth}}}}}\n")).unwrap();
    fs::set_permissions(&clouds, fs::Permissions::from_mode(0o600)).unwrap();
    let dispatch = site.unit().charm_dir().unwrap().join("dispatch");
    let line = format!("{} run mine images noble-x64", dispatch.display());
    let mut command = Command::new(if terminal { "script" } else { "sh" });
    match terminal {
        true => command.args(["-qec", &line, "/dev/null"]),
        false => command.args(["-c", &format!("{line} 2>&1")]),
    };
    for (name, folder) in [("XDG_STATE_HOME", "state"), ("XDG_RUNTIME_DIR", "run")] {
        fs::create_dir_all(site.dir.path().join(folder)).unwrap();
        command.env(name, site.dir.path().join(folder));
    }
    command.env("OS_CLIENT_CONFIG_FILE", &clouds).env("TERM", "xterm").stdin(Stdio::null());
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!output.status.success() && text.contains("dispatch run: "), "{output:?}");
    text
}

#[test]
fn long_work_moves_a_line_on_a_terminal_and_tells_plain_lines_in_a_pipe() {
    let site = Plan::new().bare();
    let shown = output_of_a_run(&site, true);
    assert!(shown.contains('\u{1b}') && shown.contains(" starting, 0s"), "{shown:?}");
    let told = output_of_a_run(&site, false);
    assert!(!told.contains(['\u{1b}', '\r']) && !told.contains("starting"), "{told:?}");
}

#[test]
fn what_is_in_an_image_keeps_to_its_schema() {
    let site = Plan::new().bare();
    let schema = |text: &str| -> Value { serde_json::from_str(text).unwrap() };
    let manifest = include_str!("../packaging/image-sbom/manifest.json");
    let mut journal: Value =
        serde_json::from_str(include_str!("../packaging/image-sbom/journal.json")).unwrap();
    let newer = manifest.replace("1.22.22", "1.22.23").replace("2.337.1", "2.338.0");
    let package = |number: u32| json!({"name": format!("p{number}"), "version": "1", "architecture": "all"});
    let mut many: Value = serde_json::from_str(manifest).unwrap();
    many["packages"] = (0..3000).map(package).collect::<Vec<_>>().into();
    many["target"]["base"] = "jammy".into();
    let mut usual = many.clone();
    usual["packages"] = (0..1500).map(package).collect::<Vec<_>>().into();
    usual["target"]["base"] = "resolute".into();
    let mut revisions = Vec::new();
    let manifests = [manifest, &newer, &many.to_string(), &usual.to_string()];
    for (number, text) in manifests.into_iter().enumerate() {
        let digest = hex(&Sha256::digest(text));
        let file = site.state_file(&format!("manifests/{digest}.json"));
        site.host().write(&file, text.as_bytes(), 0o600).unwrap();
        let mut revision = journal["revisions"][0].clone();
        revision["contents"]["manifest"] = digest.into();
        revision["base"] = ["noble", "noble", "jammy", "resolute"][number].into();
        revision["built"] = format!("2026-05-0{}T12:00:00Z", number + 1).into();
        revision["id"] = format!("0d7c2f1{number}-3f7e-4d0c-9a57-1f6f0b1f6a11").into();
        revisions.push(revision);
    }
    journal["revisions"] = revisions.into();
    site.host().write(&site.state_file("journal.json"), journal.to_string().as_bytes(), 0o600).unwrap();
    let told = |words: &str| -> Value {
        let output = site.unit().exec(&format!("./dispatch {words}")).unwrap();
        assert_eq!(output.code, 0, "{output:?}");
        serde_json::from_str(&output.stdout).unwrap()
    };
    let shown = told("show-image 0d7c2f10 --format json");
    assert_valid("shown", &shown, &schema(include_str!("../../docs/reference/show-image.schema.json")));
    let difference = told("diff-images noble-x64 --format json");
    assert_valid(
        "difference",
        &difference,
        &schema(include_str!("../../docs/reference/diff-images.schema.json")),
    );
    assert_eq!(difference["summary"], "runner 2.337.1 -> 2.338.0, yarn 1.22.22 -> 1.22.23");
    // Juju takes no result of this length, and none that is missing is passed over in silence.
    let action = site.unit().run_action("show-image", json!({"image": "jammy-x64"})).unwrap();
    let results = action.results;
    assert!(results.contains_key("text") && !results.contains_key("json"), "{results:?}");
    let whole = results["too-long"].as_str().unwrap();
    assert!(
        whole.ends_with("./dispatch show-image 0d7c2f12-3f7e-4d0c-9a57-1f6f0b1f6a11 --format json'"),
        "{whole}"
    );
    let action = site.unit().run_action("show-image", json!({"image": "resolute-x64"})).unwrap();
    let json = action.results["json"].as_str().unwrap();
    assert!(json.len() > 70_000, "more than words to people may have: {}", json.len());
    let returned: Value = serde_json::from_str(json).expect("it is whole");
    assert_eq!(returned, told("show-image resolute-x64 --format json"));
    let statement = told("show-image noble-x64 --format slsa");
    assert_eq!(statement["subject"][0]["digest"]["sha512"], "16".repeat(64));
    let refused = site.unit().exec("./dispatch show-image ffff").unwrap();
    assert!(
        refused.code == 1 && refused.stderr.contains("no kept build or image has the ID ffff"),
        "{refused:?}"
    );
}

#[test]
fn each_command_has_its_help_and_an_unknown_word_is_named() {
    let site = Plan::new().bare();
    let run = |words: &str| site.unit().exec(&format!("./dispatch {words}")).unwrap();
    let help = run("--help");
    assert_eq!((help.code, help.stderr.as_str()), (0, ""));
    for command in
        ["jobs", "cancel", "recipe", "local-build", "build-image", "run", "instance", "metrics", "clean-up"]
    {
        assert!(help.stdout.contains(&format!("  {command} ")), "{command}: {}", help.stdout);
        let own = run(&format!("{command} --help"));
        assert!(own.code == 0 && own.stdout.contains(&format!("Usage: dispatch {command}")), "{own:?}");
    }
    for (words, unknown) in
        [("job", "'job'"), ("jobs --fromat json", "'--fromat'"), ("jobs --format xml", "'xml'")]
    {
        let refused = run(words);
        assert!(refused.code == 2 && refused.stderr.contains(unknown), "{words}: {refused:?}");
    }
}
