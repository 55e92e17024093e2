//! Where an image comes from: an in-toto statement with a SLSA v1 provenance, whose subject is the image's bytes and whose
//! materials are what its manifest names. It is not signed: it says what this unit has on record, and proves nothing by itself.

use serde_json::{Value, json};

use super::show_image::{ShowError, ShownImage};
use super::spdx::{deb_url, generic_url, npm_url, snap_url};
use crate::record::{Component, Manifest};

/// What kind of build it is: which parameters there are, and what they mean, is told by docs/reference/json-output.md.
const BUILD_TYPE: &str = "urn:runner-image-builder:build:1";
/// What builds.
const BUILDER: &str = "urn:runner-image-builder:unit";

/// The statement about `shown`, whose bytes must have been read once.
pub fn provenance(shown: &ShownImage) -> Result<Value, ShowError> {
    let ShownImage { build, target, built, job, sha512, manifest_sha256, manifest, .. } = shown;
    let sha512 = sha512.as_ref().ok_or_else(|| ShowError::Unread(build.clone()))?;
    let Manifest { recipe_sha256, script_sha256, fingerprint, .. } = manifest;
    let script = script_sha256.as_ref().map(|digest| json!({"sha256": digest}));
    Ok(json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": format!("runner-image-{target}"), "digest": {"sha512": sha512}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters":
                    {"target": target, "recipe": {"sha256": recipe_sha256}, "script": script},
                "internalParameters": {"fingerprint": fingerprint},
                "resolvedDependencies": materials(manifest),
            },
            "runDetails": {
                "builder": {"id": BUILDER, "version": {"runner-image-builder": env!("CARGO_PKG_VERSION")}},
                "metadata": {"invocationId": job, "finishedOn": built},
                "byproducts": [{"name": "manifest.json", "digest": {"sha256": manifest_sha256}}],
            },
        },
    }))
}

/// What went into the image: files by digest, packages by their package URL.
fn materials(manifest: &Manifest) -> Vec<Value> {
    let Manifest { target, base_image, runner, tools, script_sha256, inventory, .. } = manifest;
    let file = |name: &str, version: &str, sha256: &str| json!({"name": name, "uri": generic_url(name, version, sha256), "digest": {"sha256": sha256}});
    let component = |component: &Component| {
        file(component.path.rsplit('/').next().unwrap_or_default(), &component.version, &component.sha256)
    };
    let serial = inventory.base_serial.clone().unwrap_or_else(|| base_image.signed.to_string());
    let mut materials = vec![file("base-image", &serial, &base_image.sha256), component(runner)];
    materials.extend(tools.iter().map(component));
    let script = script_sha256.iter();
    materials.extend(script.map(|digest| json!({"name": "external-script", "digest": {"sha256": digest}})));
    let urls = inventory.packages.iter().map(|package| deb_url(target.base.as_str(), package));
    let urls = urls.chain(inventory.snaps.iter().map(snap_url)).chain(inventory.npm.iter().map(npm_url));
    materials.extend(urls.map(|uri| json!({"uri": uri})));
    materials
}
