//! The software bill of materials of an image: its manifest as an SPDX 2.3 document with package URLs. The same build gives
//! the same document.

use serde_json::{Map, Value, json};

use super::show_image::ShownImage;
use crate::instance::{InstalledSnap, NpmPackage, Package};
use crate::record::purl::{deb_url, generic_url, npm_url, snap_url};
use crate::record::{Component, Manifest};

/// What SPDX says of what is not stated.
const NONE: &str = "NOASSERTION";
/// What the document is about.
const IMAGE: &str = "SPDXRef-image";

/// The document of `shown`.
pub fn spdx(shown: &ShownImage) -> Value {
    let Manifest { target, base_image, runner, tools, script_sha256, inventory, .. } = &shown.manifest;
    let codename = target.base.as_str();
    let mut packages = vec![image(shown)];
    let serial = inventory.base_serial.clone().unwrap_or_else(|| base_image.signed.to_string());
    let name = format!("{codename}-server-cloudimg-{}.img", target.arch.ubuntu());
    packages.push(generic("base-image", &name, &serial, &base_image.sha256));
    let of_file = |id: &str, component: &Component| {
        let name = component.path.rsplit('/').next().unwrap_or_default();
        generic(id, name, &component.version, &component.sha256)
    };
    packages.push(of_file("runner", runner));
    let numbered = tools.iter().enumerate();
    packages.extend(numbered.map(|(number, tool)| of_file(&format!("tool-{}", number + 1), tool)));
    packages.extend(
        script_sha256
            .iter()
            .map(|digest| generic("script", "external-script", digest.get(..12).unwrap_or(digest), digest)),
    );
    packages.extend(inventory.packages.iter().map(|package| deb(codename, package)));
    packages.extend(inventory.snaps.iter().map(snap));
    packages.extend(inventory.npm.iter().map(npm));
    let relationships: Vec<Value> = packages.iter().filter_map(relationship).collect();
    json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": format!("runner-image-{target}"),
        "documentNamespace": format!("urn:uuid:{}", name_uuid(&shown.manifest_sha256)),
        "creationInfo": {
            "created": shown.built.to_string(),
            "creators": [concat!("Tool: runner-image-builder-", env!("CARGO_PKG_VERSION"))],
        },
        "packages": packages,
        "relationships": relationships,
    })
}

/// The image itself is described by the document and contains the rest; the base image is what it was made of.
fn relationship(package: &Value) -> Option<Value> {
    let id = package["SPDXID"].as_str()?;
    let (from, kind) = match id {
        IMAGE => ("SPDXRef-DOCUMENT", "DESCRIBES"),
        "SPDXRef-base-image" => (IMAGE, "DESCENDANT_OF"),
        _ => (IMAGE, "CONTAINS"),
    };
    Some(json!({"spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": id}))
}

fn image(shown: &ShownImage) -> Value {
    let digest =
        shown.sha512.as_ref().map(|digest| json!([{"algorithm": "SHA512", "checksumValue": digest}]));
    let mut package =
        package("image", &format!("runner-image-{}", shown.target), &shown.built.to_string(), None);
    package.insert("primaryPackagePurpose".into(), "OPERATING-SYSTEM".into());
    package.extend(digest.map(|digest| ("checksums".to_owned(), digest)));
    package.into()
}

/// A file that was downloaded and compared with its digest.
fn generic(id: &str, name: &str, version: &str, sha256: &str) -> Value {
    let mut package = package(id, name, version, Some(generic_url(name, version, sha256)));
    package.insert("checksums".into(), json!([{"algorithm": "SHA256", "checksumValue": sha256}]));
    package.into()
}

fn deb(codename: &str, deb: &Package) -> Value {
    let Package { name, version, architecture } = deb;
    package(&format!("deb-{name}-{architecture}"), name, version, Some(deb_url(codename, deb))).into()
}

fn snap(snap: &InstalledSnap) -> Value {
    package(&format!("snap-{}", snap.name), &snap.name, &snap.release(), Some(snap_url(snap))).into()
}

fn npm(npm: &NpmPackage) -> Value {
    package(&format!("npm-{}", npm.name), &npm.name, &npm.version, Some(npm_url(npm))).into()
}

/// What all packages have. Their licenses are not looked into.
fn package(id: &str, name: &str, version: &str, purl: Option<String>) -> Map<String, Value> {
    let mut fields = Map::new();
    fields.insert("SPDXID".into(), format!("SPDXRef-{}", identifier(id)).into());
    fields.insert("name".into(), name.into());
    fields.insert("versionInfo".into(), version.into());
    for unstated in ["downloadLocation", "licenseConcluded", "licenseDeclared", "copyrightText"] {
        fields.insert(unstated.into(), NONE.into());
    }
    fields.insert("filesAnalyzed".into(), false.into());
    if let Some(purl) = purl {
        let reference = json!([{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}]);
        fields.insert("externalRefs".into(), reference);
    }
    fields
}

/// An identifier takes letters, digits, dots and hyphens; others are written by their number, so that two stay two.
fn identifier(text: &str) -> String {
    let mut identifier = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if c.is_ascii_alphanumeric() || c == '-' || c == '.' => identifier.push(c),
            c => identifier.push_str(&format!(".{:x}.", u32::from(c))),
        }
    }
    identifier
}

/// A UUID of a digest, of the version for those that are made in a way of one's own (RFC 9562, version 8).
fn name_uuid(digest: &str) -> String {
    let part = |range: std::ops::Range<usize>| digest.get(range).unwrap_or_default();
    format!("{}-{}-8{}-8{}-{}", part(0..8), part(8..12), part(12..15), part(15..18), part(18..30))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_urls_are_encoded_and_identifiers_stay_apart() {
        let package = |name: &str, version: &str| Package {
            name: name.into(),
            version: version.into(),
            architecture: "amd64".into(),
        };
        let found = deb("noble", &package("libstdc++6", "1:14.2.0-4ubuntu2~24.04+x"));
        assert_eq!(found["SPDXID"], "SPDXRef-deb-libstdc.2b..2b.6-amd64");
        assert_eq!(
            found["externalRefs"][0]["referenceLocator"],
            "pkg:deb/ubuntu/libstdc%2B%2B6@1:14.2.0-4ubuntu2~24.04%2Bx?arch=amd64&distro=noble"
        );
        let scoped = npm(&NpmPackage { name: "@types/node".into(), version: "1.0.0".into() });
        assert_eq!(scoped["externalRefs"][0]["referenceLocator"], "pkg:npm/%40types/node@1.0.0");
        assert_ne!(identifier("a+b"), identifier("a.b"));
        assert_eq!(name_uuid(&"ab".repeat(32)), "abababab-abab-8aba-8bab-abababababab");
    }
}
