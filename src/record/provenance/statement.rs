//! The statement: an in-toto statement with a SLSA v1 provenance, whose subject is the image's bytes and whose materials are
//! what its manifest names. Properties of images that change later, as whether one is hidden, are no part of it.

use serde_json::{Value, json};

use super::purl::{deb_url, generic_url, npm_url, snap_url};
use crate::model::{Target, Timestamp};
use crate::openstack_cloud::ImageId;
use crate::record::manifest::{Component, Manifest};
use crate::record::run_config::JobId;

/// What an envelope with a statement says that it holds.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// The kind of statement.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// What it tells.
pub const PREDICATE_TYPE: &str = "https://slsa.dev/provenance/v1";
/// What kind of build it is: which parameters there are, and what they mean, is told by docs/reference/json-output.md.
const BUILD_TYPE: &str = "urn:runner-image-builder:build:1";
/// What builds.
const BUILDER: &str = "urn:runner-image-builder:unit";

/// A build of which it is known what its bytes are and what is in it.
#[derive(Debug)]
pub struct Provenance<'a> {
    /// Its id in the build project, from which it is shared or copied.
    pub build: &'a ImageId,
    /// What it was built for.
    pub target: Target,
    /// When it was built.
    pub built: Timestamp,
    /// The job that built it.
    pub job: &'a JobId,
    /// The SHA-512 of its bytes.
    pub sha512: &'a str,
    /// The SHA-256 of its manifest, as the image itself has it.
    pub manifest_sha256: &'a str,
    /// The manifest.
    pub manifest: &'a Manifest,
}

impl Provenance<'_> {
    /// What is said of it.
    pub fn statement(&self) -> Value {
        let Self { build, target, built, job, sha512, manifest_sha256, manifest } = self;
        let Manifest { recipe_sha256, script_sha256, fingerprint, .. } = manifest;
        let script = script_sha256.as_ref().map(|digest| json!({"sha256": digest}));
        json!({
            "_type": STATEMENT_TYPE,
            "subject": [{"name": format!("runner-image-{target}"), "digest": {"sha512": sha512}}],
            "predicateType": PREDICATE_TYPE,
            "predicate": {
                "buildDefinition": {
                    "buildType": BUILD_TYPE,
                    "externalParameters":
                        {"target": target.to_string(), "recipe": {"sha256": recipe_sha256}, "script": script},
                    "internalParameters": {"fingerprint": fingerprint},
                    "resolvedDependencies": materials(manifest),
                },
                "runDetails": {
                    "builder": {"id": BUILDER, "version": {"runner-image-builder": env!("CARGO_PKG_VERSION")}},
                    "metadata": {"invocationId": job, "finishedOn": built},
                    "byproducts": [
                        {"name": "build", "uri": format!("urn:runner-image-builder:image:{build}")},
                        {"name": "manifest.json", "digest": {"sha256": manifest_sha256}},
                    ],
                },
            },
        })
    }
}

/// What went into the image: files by digest, packages by their package URL.
fn materials(manifest: &Manifest) -> Vec<Value> {
    let Manifest { target, base_image, runner, tools, recipe_sha256, script_sha256, inventory, .. } =
        manifest;
    let file = |name: &str, version: &str, sha256: &str| json!({"name": name, "uri": generic_url(name, version, sha256), "digest": {"sha256": sha256}});
    let component = |component: &Component| {
        file(component.path.rsplit('/').next().unwrap_or_default(), &component.version, &component.sha256)
    };
    let serial = inventory.base_serial.clone().unwrap_or_else(|| base_image.signed.to_string());
    let mut materials = vec![file("base-image", &serial, &base_image.sha256), component(runner)];
    materials.extend(tools.iter().map(component));
    materials.push(json!({"name": "recipe", "digest": {"sha256": recipe_sha256}}));
    let script = script_sha256.iter();
    materials.extend(script.map(|digest| json!({"name": "external-script", "digest": {"sha256": digest}})));
    let urls = inventory.packages.iter().map(|package| deb_url(target.base.as_str(), package));
    let urls = urls.chain(inventory.snaps.iter().map(snap_url)).chain(inventory.npm.iter().map(npm_url));
    materials.extend(urls.map(|uri| json!({"uri": uri})));
    materials
}
