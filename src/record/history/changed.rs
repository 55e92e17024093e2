//! In what two configurations differ, by the options that operators set and the relations that they make.

use serde_json::{Map, Value};

use crate::record::run_config::{BuilderRunConfig, CloudName};

/// The options that `now` has others than `before`, and the related projects that have come or gone.
pub(super) fn changed_options(before: &BuilderRunConfig, now: &BuilderRunConfig) -> Vec<String> {
    let mut changed: Vec<String> = related(before, now).collect();
    let bases = |of: &BuilderRunConfig| distinct(of.targets.iter().map(|target| target.base.to_string()));
    let arches = |of: &BuilderRunConfig| distinct(of.targets.iter().map(|target| target.arch.to_string()));
    changed.extend((bases(before) != bases(now)).then(|| "base-image".to_owned()));
    changed.extend((arches(before) != arches(now)).then(|| "architecture".to_owned()));
    let (before, now) = (fields(before), fields(now));
    changed.extend(differing(&before, &now).flat_map(|name| match (before.get(name), now.get(name)) {
        (Some(Value::Object(before)), Some(Value::Object(now))) if has_options_of_its_own(name) => {
            differing(before, now).map(|field| option(name, field)).collect()
        }
        _ if matches!(name.as_str(), "targets" | "clouds") => Vec::new(),
        _ => vec![option("", name)],
    }));
    // Bases and the dates that they are pinned to are one option.
    distinct(changed.into_iter())
}

/// Each word once, in the order of their first places.
fn distinct(words: impl Iterator<Item = String>) -> Vec<String> {
    words.fold(Vec::new(), |mut known, word| {
        if !known.contains(&word) {
            known.push(word);
        }
        known
    })
}

/// `related project added: runners (image:3)`
fn related<'a>(before: &'a BuilderRunConfig, now: &'a BuilderRunConfig) -> impl Iterator<Item = String> + 'a {
    let only = |of: &'a [CloudName], other: &'a [CloudName]| of.iter().filter(|cloud| !other.contains(cloud));
    let added = only(&now.clouds, &before.clouds).map(|cloud| format!("related project added: {cloud}"));
    let removed = only(&before.clouds, &now.clouds).map(|cloud| format!("related project removed: {cloud}"));
    added.chain(removed)
}

fn fields(config: &BuilderRunConfig) -> Map<String, Value> {
    match serde_json::to_value(config) {
        Ok(Value::Object(mut fields)) => {
            // Left out where it has its default.
            let mirror = serde_json::to_value(&config.security_mirror).unwrap_or_default();
            fields.insert("security_mirror".to_owned(), mirror);
            fields
        }
        // A struct is an object.
        _ => Map::new(),
    }
}

/// The names of the fields in which two differ; one that has its default may be absent.
fn differing<'a>(
    before: &'a Map<String, Value>,
    now: &'a Map<String, Value>,
) -> impl Iterator<Item = &'a String> {
    let gone = before.keys().filter(|name| !now.contains_key(*name));
    now.keys().chain(gone).filter(|name| before.get(*name) != now.get(*name))
}

fn has_options_of_its_own(field: &str) -> bool {
    matches!(field, "vm" | "base_image" | "runner" | "security_mirror")
}

/// The option that a field has its value from.
fn option(of: &str, field: &str) -> String {
    let option = match (of, field) {
        ("vm", "flavor") => "build-flavor",
        ("vm", "network") => "build-network",
        ("vm", "ssh_ingress") => "build-ssh-ingress",
        ("vm", "ssh_options") => "ssh-options",
        ("vm", "boot_timeout_s") => "boot-timeout",
        ("vm", "apt_mirror") => "build-apt-mirror",
        ("base_image", "url") => "base-image-source",
        ("base_image", "keyring") => "base-image-keyring",
        ("base_image", "pins") => "base-image",
        ("runner", "version") => "runner-version",
        ("runner", "source") => "runner-source",
        ("runner", "api_url") => "github-api-url",
        ("runner", "scope") => "github-scope",
        ("security_mirror", "url") => "security-mirror",
        ("security_mirror", "keyring") => "security-mirror-keyring",
        ("", "build_cloud") => "build project (openstack options)",
        ("", "script_secret") => "script-secret-id",
        ("", "max_image_age_hours") => "max-image-age",
        (_, field) => return field.replace('_', "-"),
    };
    option.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Arch, BaseImage, Target};
    use crate::record::run_config::Delivery;
    use crate::testing::run_config;

    #[test]
    fn each_option_is_named_and_each_related_project_that_comes_or_goes() {
        let digest = "0123456789abcdef".repeat(4);
        let project = |number: u32| CloudName::new(format!("ci.image-{number}.{digest}"));
        let mut before = run_config();
        before.clouds = vec![project(1)];
        before.delivery = Delivery::Copy;
        assert_eq!(changed_options(&before, &before), [] as [&str; 0]);

        let mut now = before.clone();
        (now.delivery, now.clouds) = (Delivery::Auto, vec![project(3)]);
        (now.vm.flavor, now.vm.boot_timeout_s) = (Some("large".into()), 60);
        now.security_mirror.keyring = "/etc/keys.gpg".into();
        (now.runner.version, now.script_url) = (Some("2.337.1".into()), Some("https://s".into()));
        now.base_image.pins.insert(BaseImage::Noble, "20261115".parse().unwrap());
        now.targets.push(Target { base: BaseImage::Jammy, arch: Arch::X64 });
        let mut changed = changed_options(&before, &now);
        changed.sort();
        let expected = [
            "base-image",
            "boot-timeout",
            "build-flavor",
            "delivery",
            "related project added: ci (image:3)",
            "related project removed: ci (image:1)",
            "runner-version",
            "script-url",
            "security-mirror-keyring",
        ];
        assert_eq!(changed, expected);
    }
}
