//! Package URLs ([purl](https://github.com/package-url/purl-spec)): how documents about an image name what is in it.

use crate::instance::{InstalledSnap, NpmPackage, Package};

/// The package URL of a file.
pub fn generic_url(name: &str, version: &str, sha256: &str) -> String {
    format!("pkg:generic/{}@{}?checksum=sha256:{}", encoded(name), encoded(version), encoded(sha256))
}

/// The package URL of a Debian package of a release of Ubuntu.
pub fn deb_url(codename: &str, Package { name, version, architecture }: &Package) -> String {
    let [name, version, architecture] = [name, version, architecture].map(|text| encoded(text));
    format!("pkg:deb/ubuntu/{name}@{version}?arch={architecture}&distro={codename}")
}

/// The package URL of a snap, for which there is no type of its own.
pub fn snap_url(InstalledSnap { name, revision, .. }: &InstalledSnap) -> String {
    format!("pkg:generic/{}@{}?type=snap", encoded(name), encoded(revision))
}

/// The package URL of an npm package.
pub fn npm_url(NpmPackage { name, version }: &NpmPackage) -> String {
    let path: Vec<String> = name.split('/').map(encoded).collect();
    format!("pkg:npm/{}@{}", path.join("/"), encoded(version))
}

/// Percent-encoded, as a package URL wants it: all but letters, digits and `.-_~:`.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            byte if byte.is_ascii_alphanumeric() || b".-_~:".contains(&byte) => {
                encoded.push(char::from(byte))
            }
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}
