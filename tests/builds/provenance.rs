//! Where an image comes from, verified by whoever has downloaded it: with the signed statement and the public keys alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rehearsal::agent::{ExecResult, Relation};
use runner_image_builder::dsse::{PublicKey, SigningKey};
use serde_json::{Value, json};

use crate::fixture::{Deployed, Fixture};

/// The folder of somebody who has nothing of the unit and no network to it.
struct Desk(PathBuf);

impl Desk {
    fn of(fixture: &Fixture) -> Self {
        let folder = fixture.directory().join("desk");
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn put(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        path
    }

    fn verify(&self, subject: [&str; 2], statement: &Path) -> Output {
        let mut dispatch = Command::new(env!("CARGO_BIN_EXE_dispatch"));
        dispatch.arg("verify").args(subject).arg("--statement").arg(statement);
        dispatch
            .arg("--public-key")
            .arg(self.0.join("keys.pem"))
            .env_clear()
            .current_dir(&self.0)
            .output()
            .unwrap()
    }

    #[track_caller]
    fn assert_refused(&self, subject: [&str; 2], statement: &Path, why: &str) {
        let output = self.verify(subject, statement);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && said.contains(why), "{output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
    }
}

fn shown(fixture: &Fixture, image: &str, format: &str) -> ExecResult {
    fixture.unit().exec(&format!("./dispatch show-image {image} --format {format}")).unwrap()
}

/// The signed statement about an image.
#[track_caller]
fn signed(fixture: &Fixture, image: &str) -> String {
    let output = shown(fixture, image, "dsse");
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    output.stdout
}

/// The image that a relation is told, as its project downloads it, and what its Glance says of the bytes.
fn downloaded(fixture: &Fixture, relation: &Relation) -> (String, Vec<u8>, String) {
    let (project, id) = (fixture.cloud.project("upload-project"), fixture.told(relation, "id").unwrap());
    let image = project.images().into_iter().find(|image| image.id == id).unwrap();
    let bytes = project.image_bytes(&id).unwrap();
    (id, bytes, image.hash.unwrap())
}

#[test]
fn a_downloaded_image_is_verified_by_its_statement_and_the_keys_of_the_relation_alone() {
    let fixture = Fixture::set(&[]);
    let relation = fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    let (id, bytes, sha512) = downloaded(&fixture, &relation);
    let desk = Desk::of(&fixture);
    let keys = desk.put("keys.pem", fixture.told(&relation, "public_keys").unwrap());
    let (image, statement) =
        (desk.put("image.img", &bytes), desk.put("statement.json", signed(&fixture, &id)));
    let image = ["--image", image.to_str().unwrap()];
    let verified = desk.verify(image, &statement);
    let said = String::from_utf8_lossy(&verified.stdout);
    assert!(
        verified.status.success()
            && said.starts_with(&format!("verified: runner-image-noble-x64, sha512:{sha512}\n")),
        "{verified:?}"
    );
    assert!(desk.verify(["--sha512", &sha512], &statement).status.success());

    // What is signed is what the unit has on record, with what the image was made of.
    let plain: Value = serde_json::from_str(&shown(&fixture, &id, "slsa").stdout).unwrap();
    let public = PublicKey::parse_all(&fs::read(&keys).unwrap()).unwrap();
    let envelope = runner_image_builder::dsse::Envelope::parse(&fs::read(&statement).unwrap()).unwrap();
    let opened = envelope.open("application/vnd.in-toto+json", &public).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&opened.payload).unwrap(), plain);
    let shown: Value = serde_json::from_str(&shown(&fixture, &id, "json").stdout).unwrap();
    let byproducts = &plain["predicate"]["runDetails"]["byproducts"];
    let build = format!("urn:runner-image-builder:image:{}", shown["build"].as_str().unwrap());
    assert_eq!(
        (&byproducts[0]["uri"], &byproducts[1]["digest"]["sha256"]),
        (&json!(build), &shown["manifest_sha256"])
    );

    // What may change later is no part of it.
    fixture.cloud.project("upload-project").label_image(&id, "runner_image_builder_stage", "hidden");
    assert!(desk.verify(image, &statement).status.success());

    let mut changed = bytes.clone();
    changed[bytes.len() / 2] ^= 1;
    let changed = desk.put("changed.img", &changed);
    let other = "the image is not the one that the statement is about";
    desk.assert_refused(["--image", changed.to_str().unwrap()], &statement, other);
    // A statement about another build of the same target.
    assert_eq!(fixture.build_again().failures, []);
    let (second, second_bytes, _) = downloaded(&fixture, &relation);
    assert_ne!(second_bytes, bytes);
    let second = desk.put("second.json", signed(&fixture, &second));
    desk.assert_refused(image, &second, other);
    // A signature by somebody else, and somebody else's key.
    let foreign = SigningKey::generate().unwrap();
    desk.put("keys.pem", foreign.public().to_string());
    desk.assert_refused(image, &statement, "its signature is by none of the 1 public keys");

    let action = fixture.unit().run_action("show-image", json!({"image": id, "format": "dsse"})).unwrap();
    let told: Value = serde_json::from_str(action.results["dsse"].as_str().unwrap()).unwrap();
    assert_eq!(told, serde_json::from_slice::<Value>(&fs::read(&statement).unwrap()).unwrap());
}

#[test]
fn a_build_from_before_there_was_a_key_is_signed_by_the_next_job_and_old_statements_outlive_a_key() {
    let fixture = Fixture::set(&[]);
    fixture.model.fail_tool("secret-add", 1, "secret backend \"vault\" not found");
    let relation = fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    let (id, bytes, _) = downloaded(&fixture, &relation);
    let unsigned = shown(&fixture, &id, "dsse");
    assert!(
        unsigned.code == 1 && unsigned.stderr.contains("is not signed: Juju does not take a secret"),
        "{unsigned:?}"
    );
    assert_eq!(fixture.told(&relation, "public_keys"), None);
    fixture.model.heal_tools();
    let rotate =
        || fixture.unit().run_action("rotate-signing-key", json!({})).unwrap().results["public-keys"].clone();
    rotate();
    assert_eq!(fixture.build_again().failures, []);
    let desk = Desk::of(&fixture);
    let image = desk.put("image.img", &bytes);
    let image = ["--image", image.to_str().unwrap()];
    let statement = desk.put("statement.json", signed(&fixture, &id));
    desk.put("keys.pem", fixture.told(&relation, "public_keys").unwrap());
    assert!(desk.verify(image, &statement).status.success());

    // Another key signs what is built from now on; what is signed stays as it is.
    let keys = rotate();
    assert_eq!(fixture.build_again().failures, []);
    assert_eq!(signed(&fixture, &id).as_bytes(), fs::read(&statement).unwrap());
    desk.put("keys.pem", keys.as_str().unwrap());
    assert!(desk.verify(image, &statement).status.success());
    let (_, newest, _) = downloaded(&fixture, &relation);
    let newest = desk.put("newest.img", newest);
    let about_newest = desk.put("newest.json", signed(&fixture, "noble-x64"));
    let newest = ["--image", newest.to_str().unwrap()];
    assert!(desk.verify(newest, &about_newest).status.success());
    let current = PublicKey::parse_all(keys.as_str().unwrap().as_bytes()).unwrap().remove(0);
    desk.put("keys.pem", current.to_string());
    assert!(desk.verify(newest, &about_newest).status.success());
    desk.assert_refused(image, &statement, "its signature is by none of the 1 public keys");
}

#[test]
fn the_key_is_in_no_file_of_the_machine_and_a_build_is_signed_once() {
    let fixture = Fixture::set(&[]);
    fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    let secrets = fixture.model.view().secrets;
    let own = secrets.into_values().find(|secret| secret.owner.is_some()).unwrap();
    let key = own.content["private-key"].lines().nth(1).unwrap().to_owned();
    let mut folders = vec![fixture.root(0)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false if entry.file_type().unwrap().is_file() => {
                    let content = fs::read(entry.path()).unwrap();
                    assert!(!String::from_utf8_lossy(&content).contains(&key), "{}", entry.path().display());
                }
                false => (),
            }
        }
    }
    let statements = || fs::read_dir(fixture.state_file("provenance")).unwrap().count();
    assert_eq!(statements(), 1);
    let mode =
        fs::read_dir(fixture.state_file("provenance")).unwrap().next().unwrap().unwrap().metadata().unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777, 0o600);
    let log = fs::read_to_string(fixture.host(&fixture.unit()).log_dir().join("worker.log")).unwrap();
    let signed = log.lines().filter(|line| line.contains("provenance of build ")).count();
    assert_eq!(signed, 1, "{log}");
}
