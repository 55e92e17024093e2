//! What is inside of an image: told by its manifest, found from each of its copies, and compared from build to build.

use std::collections::BTreeMap;
use std::fs;

use rehearsal::agent::{ActionStatus, Unit};
use rehearsal::cloud::{CloudSetup, Image, Quirks};
use rehearsal::instance::archive::ImageTree;
use runner_image_builder::instance::DEFAULT_RECIPE;
use runner_image_builder::model::hex;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::fixture::{Deployed, Fixture};

const IN_THE_IMAGE: &str = "usr/share/runner-image/manifest.json";
const DIGEST: &str = "runner_image_builder_manifest";

/// What a command on a unit prints as JSON.
#[track_caller]
fn said(unit: &Unit, command: &str) -> Value {
    let output = unit.exec(&format!("./dispatch {command} --format json")).unwrap();
    assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{command}");
    serde_json::from_str(&output.stdout).unwrap()
}

fn image(fixture: &Fixture, project: &str, id: &str) -> Image {
    let images = fixture.cloud.project(project).images();
    images.into_iter().find(|image| image.id == id).unwrap_or_else(|| panic!("{project} has no {id}"))
}

fn text(tree: &ImageTree, path: &str) -> String {
    String::from_utf8_lossy(tree.file(path).unwrap_or_else(|| panic!("no {path}"))).into_owned()
}

/// The packages of a tree by what dpkg has noted.
fn packages(tree: &ImageTree) -> BTreeMap<String, String> {
    let status = text(tree, "var/lib/dpkg/status");
    let field = |entry: &str, name: &str| {
        entry.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned)).unwrap()
    };
    let entries = status.split("\n\n").filter(|entry| !entry.trim().is_empty());
    entries.map(|entry| (field(entry, "Package: "), field(entry, "Version: "))).collect()
}

fn listed(manifest: &Value, kind: &str, value: &str) -> BTreeMap<String, String> {
    let entries = manifest[kind].as_array().unwrap().iter();
    let word = |entry: &Value, name: &str| entry[name].as_str().unwrap().to_owned();
    entries.map(|entry| (word(entry, "name"), word(entry, value))).collect()
}

#[test]
fn a_manifest_tells_what_the_machine_of_an_image_has() {
    let fixture = Fixture::set(&[]);
    let relation = fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    let id = fixture.told(&relation, "id").unwrap();
    let tree = fixture.cloud.project("upload-project").image_tree(&id).unwrap();
    let shown = said(&fixture.unit(), "show-image noble-x64");
    let manifest = &shown["manifest"];
    assert!(packages(&tree).len() > 30);
    assert_eq!(listed(manifest, "packages", "version"), packages(&tree));
    let snaps = ["aproxy", "opentelemetry-collector"].map(|name| (name.to_owned(), "1".to_owned()));
    assert_eq!(listed(manifest, "snaps", "revision"), BTreeMap::from(snaps));
    assert_eq!(listed(manifest, "npm", "version"), BTreeMap::from([("yarn".into(), "1.0.0".into())]));
    assert_eq!(
        (&manifest["kernel"], &manifest["base_serial"]),
        (&json!("6.8.0-31-generic"), &json!("20260423"))
    );
    assert_eq!(manifest["runner"]["version"], "2.337.1");
    let yq = tree.file("usr/local/bin/yq").unwrap();
    let yq = hex(&Sha256::digest(yq));
    assert_eq!(
        (&manifest["tools"][0]["version"], &manifest["tools"][0]["sha256"]),
        (&json!("v4.54.1"), &json!(yq))
    );

    // The same bytes lie in the image, and every copy names them.
    let kept = hex(&Sha256::digest(text(&tree, IN_THE_IMAGE)));
    assert_eq!(shown["manifest_sha256"], kept.as_str());
    let build = shown["build"].as_str().unwrap();
    for (project, id) in [("upload-project", id.as_str()), ("builder-project", build)] {
        let properties = image(&fixture, project, id).properties;
        for (name, value) in [
            (DIGEST, kept.as_str()),
            ("os_distro", "ubuntu"),
            ("os_version", "24.04"),
            ("os_type", "linux"),
            ("os_admin_user", "ubuntu"),
            ("runner_image_builder_runner", "2.337.1"),
            ("runner_image_builder_base_serial", "20260423"),
        ] {
            assert_eq!(properties.get(name).map(String::as_str), Some(value), "{project}: {name}");
        }
    }
    let sha512 = shown["sha512"].as_str().unwrap();
    for word in [&id[..8], build, sha512, &format!("sha512:{sha512}")] {
        assert_eq!(said(&fixture.unit(), &format!("show-image {word}"))["build"], build, "{word}");
    }
    let action = fixture.unit().run_action("show-image", json!({"image": "noble-x64"})).unwrap();
    let told: Value = serde_json::from_str(action.results["json"].as_str().unwrap()).unwrap();
    assert_eq!(told, shown);
    let mode = fs::metadata(fixture.state_file(&format!("manifests/{kept}.json"))).unwrap().permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600);

    // Another unit knows the digest, and where else the manifest is.
    let file = fixture.state_file(&format!("manifests/{kept}.json"));
    fs::rename(&file, file.with_extension("away")).unwrap();
    let lacking = fixture.unit().run_action("show-image", json!({"image": id})).unwrap();
    assert_eq!(lacking.status, ActionStatus::Failed);
    for word in [kept.as_str(), IN_THE_IMAGE] {
        assert!(lacking.message.contains(word), "{}", lacking.message);
    }
}

#[test]
fn a_difference_names_what_was_changed_on_purpose_and_nothing_else() {
    let fixture = Fixture::set(&[("runner-version", "2.336.0")]);
    let relation = fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    let first = fixture.told(&relation, "id").unwrap();
    let alone = fixture.unit().run_action("diff-images", json!({"image": "noble-x64"})).unwrap();
    assert!(alone.message.starts_with("only one build of noble-x64 is kept"), "{}", alone.message);

    let script = "#!/bin/bash\nsed -i '/^Package: openssh-server$/,/^$/s/^Version: .*/Version: 1:9.6p1-3ubuntu13.5/' \
                  /var/lib/dpkg/status\n";
    let url = fixture.site.serve_script("upgrade.sh", script);
    let recipe = DEFAULT_RECIPE.replace("  - jq\n", "  - zip\n").replace("{name: yarn,", "{name: n,");
    fixture
        .app
        .set_config(&[("runner-version", "2.337.1"), ("script-url", &url), ("recipe", &recipe)])
        .unwrap();
    assert_eq!(fixture.job_ended().failures, []);
    let second = fixture.told(&relation, "id").unwrap();
    let found = said(&fixture.unit(), "diff-images noble-x64");
    let change = |name: &str, before: Option<&str>, after: Option<&str>| json!({"name": name, "before": before, "after": after});
    let difference = &found["difference"];
    let parts: Vec<&str> =
        difference["parts"].as_array().unwrap().iter().map(|part| part["name"].as_str().unwrap()).collect();
    assert_eq!(parts, ["runner", "recipe", "script"]);
    assert_eq!(difference["parts"][0], change("runner", Some("2.336.0"), Some("2.337.1")));
    let ssh = change("openssh-server", Some("1.1-noble"), Some("1:9.6p1-3ubuntu13.5"));
    assert_eq!(
        difference["packages"],
        json!({"changed": [ssh], "added": [change("zip", None, Some("1.1-noble"))],
            "removed": [change("jq", Some("1.1-noble"), None)]})
    );
    assert_eq!(difference["snaps"], json!({"changed": [], "added": [], "removed": []}));
    assert_eq!(difference["npm"]["added"][0]["name"], "n");

    // What the log, the history and the action say is the same line.
    let summary = found["summary"].as_str().unwrap();
    assert!(summary.starts_with("runner 2.336.0 -> 2.337.1, recipe "), "{summary}");
    assert!(
        summary.contains("openssh-server 1.1-noble -> 1:9.6p1-3ubuntu13.5, zip 1.1-noble added"),
        "{summary}"
    );
    let log = fs::read_to_string(fixture.host(&fixture.unit()).log_dir().join("worker.log")).unwrap();
    assert!(log.contains(&format!("noble-x64: changed since the last build: {summary}")), "{log}");
    assert!(!log.contains("ii \topenssh-server"), "what is listed is no log");
    let history = said(&fixture.unit(), "history");
    assert_eq!(history["jobs"][0]["result"]["builds"][0]["changes"], summary);
    let backwards =
        fixture.unit().run_action("diff-images", json!({"image": first, "with": second})).unwrap();
    let text = backwards.results["text"].as_str().unwrap();
    assert!(text.starts_with("runner 2.337.1 -> 2.336.0, recipe "), "{text}");
}

#[test]
fn a_cloud_that_protects_properties_gets_its_images_without_them() {
    let quirks = Quirks { protected_properties: true, ..Quirks::default() };
    let fixture = Fixture::among(CloudSetup { quirks, ..CloudSetup::default() }, &[]);
    let relation = fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    let id = fixture.told(&relation, "id").expect("an image that was published before is published now");
    let properties = image(&fixture, "upload-project", &id).properties;
    assert_eq!(properties["runner_image_builder_stage"], "published");
    assert!(!properties.contains_key("os_distro"), "{properties:?}");
    assert_eq!(fixture.leftovers(), [] as [String; 0]);
}

#[test]
fn the_hardware_that_a_base_image_asks_for_is_that_of_copies() {
    let fixture = Fixture::set(&[]);
    let relation = fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    let base = &fixture.images_of_stage("builder-project", "base")[0];
    fixture.cloud.project("builder-project").label_image(base, "hw_qemu_guest_agent", "yes");
    assert_eq!(fixture.build_again().failures, []);
    let id = fixture.told(&relation, "id").unwrap();
    assert_eq!(image(&fixture, "upload-project", &id).properties["hw_qemu_guest_agent"], "yes");
}

#[test]
fn a_machine_that_says_nonsense_of_itself_is_warned_about_and_not_repeated() {
    let fixture = Fixture::set(&[]);
    let script = "#!/bin/bash\nprintf 'Package: evil\\nStatus: install ok installed\\nArchitecture: amd64\\nVersion: \
                  1\\x1b[2J\\n\\n' >>/var/lib/dpkg/status\n";
    let url = fixture.site.serve_script("evil.sh", script);
    fixture.app.set_config(&[("script-url", &url)]).unwrap();
    fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    let shown = said(&fixture.unit(), "show-image noble-x64");
    assert!(!listed(&shown["manifest"], "packages", "version").contains_key("evil"));
    let log = fs::read_to_string(fixture.host(&fixture.unit()).log_dir().join("worker.log")).unwrap();
    let warned =
        log.lines().find(|line| line.contains("invalid lines in the inventory: 1; the first: ")).unwrap();
    assert!(warned.contains(" WARN ") && warned.contains("\\u001b[2J"), "{warned}");
}
