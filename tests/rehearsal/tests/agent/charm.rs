//! Small charms: a `dispatch` of a few lines of shell.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rehearsal::agent::{Application, JujuVersion, Model};
use tempfile::TempDir;

const METADATA: &str = "
name: sample
summary: a sample
provides:
  image: {interface: github_runner_image_v0}
  cos-agent: {interface: cos_agent, limit: 1}
peers:
  replicas: {interface: sample_peers}
";
const CONFIG: &str = "
options:
  interval: {type: int, default: 6, description: hours}
  ratio: {type: float}
  verify: {type: boolean, default: true}
  name: {type: string}
  password: {type: secret}
";
const ACTIONS: &str = "
run:
  description: builds
  params:
    bases: {type: string}
    force: {type: boolean, default: false}
    times: {type: integer, minimum: 1}
  additionalProperties: false
watch:
  parallel: true
needy:
  params:
    who: {type: string}
  required: [who]
";

/// A charm's folder whose `dispatch` runs `script` with `$HOOK` set to the last part of its dispatch path.
pub fn charm(script: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), script);
    dir
}

pub fn write(dir: &Path, script: &str) {
    fs::write(dir.join("metadata.yaml"), METADATA).unwrap();
    fs::write(dir.join("config.yaml"), CONFIG).unwrap();
    fs::write(dir.join("actions.yaml"), ACTIONS).unwrap();
    let dispatch = dir.join("dispatch");
    fs::write(&dispatch, format!("#!/bin/sh\nHOOK=${{JUJU_DISPATCH_PATH##*/}}\n{script}\n")).unwrap();
    fs::set_permissions(&dispatch, fs::Permissions::from_mode(0o755)).unwrap();
}

pub struct Deployed {
    pub app: Application,
    pub model: Model,
    pub charm: TempDir,
}

pub fn deployed(units: u32, script: &str) -> Deployed {
    deployed_on(JujuVersion::V3_6, units, script)
}

pub fn deployed_on(version: JujuVersion, units: u32, script: &str) -> Deployed {
    let charm = charm(script);
    let model = Model::new(version).unwrap();
    let app = model.deploy(charm.path(), "sample", units).unwrap();
    Deployed { app, model, charm }
}
