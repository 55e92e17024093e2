//! What goes into an image, as one digest: two images with the same fingerprint are the same image.

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::instance::{Recipe, RunnerBase, STEPS_VERSION};
use crate::model::{Target, hex};

#[derive(Serialize)]
struct BuildInputs<'a> {
    steps: u32,
    target: Target,
    base_image: &'a str,
    recipe: &'a Recipe,
    tools: Vec<&'a str>,
    runner: &'a str,
    script: Option<&'a str>,
    script_secret: Option<&'a str>,
}

/// The fingerprint of the image that `base` makes of the base image with this SHA-256; `script_secret` is the URI of the
/// secret with the script's variables.
pub fn fingerprint(base: &RunnerBase, base_image_sha256: &str, script_secret: Option<&str>) -> String {
    let inputs = BuildInputs {
        steps: STEPS_VERSION,
        target: base.target,
        base_image: base_image_sha256,
        recipe: &base.recipe,
        tools: base.tools.iter().map(|tool| tool.sha256.as_str()).collect(),
        runner: &base.runner.sha256,
        script: base.script.as_ref().map(|script| script.sha256.as_str()),
        script_secret,
    };
    // A struct of texts, numbers and lists always serialises.
    hex(&Sha256::digest(serde_json::to_vec(&inputs).unwrap_or_default()))
}

#[derive(Serialize)]
struct PreparationInputs<'a> {
    steps: u32,
    target: Target,
    base_image: &'a str,
    mirror: Option<&'a str>,
    recipe: Recipe,
}

/// The key of the prepared image that `base` is built on instead of the base image with this SHA-256: all that the steps of a
/// preparation read, as one digest. Of proxies nothing stays in an image.
pub fn preparation_key(base: &RunnerBase, base_image_sha256: &str) -> String {
    let inputs = PreparationInputs {
        steps: STEPS_VERSION,
        target: base.target,
        base_image: base_image_sha256,
        mirror: base.apt_mirror.as_deref(),
        recipe: base.recipe.preparation(),
    };
    hex(&Sha256::digest(serde_json::to_vec(&inputs).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::instance::{DEFAULT_RECIPE, ExternalScript, ImageInfo, Part, RunnerTarball, ToolDownload};
    use crate::model::{Arch, BaseImage, Secret, Timestamp};

    const NOBLE: Target = Target { base: BaseImage::Noble, arch: Arch::X64 };

    fn tarball(digest: &str) -> RunnerTarball {
        RunnerTarball { version: "1".into(), url: "u".into(), sha256: digest.into() }
    }

    fn tool(digest: &str) -> ToolDownload {
        ToolDownload { path: "/t".into(), version: "1".into(), url: "u".into(), sha256: digest.into() }
    }

    fn recipe(text: &str) -> Recipe {
        text.parse::<Recipe>().unwrap().of(NOBLE)
    }

    fn base() -> RunnerBase {
        RunnerBase {
            part: Part::Whole,
            target: NOBLE,
            recipe: recipe(DEFAULT_RECIPE),
            tools: vec![tool("a")],
            runner: tarball("a"),
            script: None,
            script_variables: BTreeMap::new(),
            environment: BTreeMap::new(),
            apt_mirror: None,
            image: ImageInfo { application: "a".into(), base_image: Timestamp(1), built: Timestamp(2) },
        }
    }

    #[test]
    fn a_prepared_image_is_of_what_its_steps_read_and_of_nothing_else() {
        let plain = preparation_key(&base(), "1");
        let with = |text: String| RunnerBase { recipe: recipe(&text), ..base() };
        let other_target = Target { base: BaseImage::Jammy, arch: Arch::X64 };
        assert_ne!(plain, preparation_key(&base(), "2"));
        assert_ne!(plain, preparation_key(&RunnerBase { target: other_target, ..base() }, "1"));
        assert_ne!(plain, preparation_key(&RunnerBase { apt_mirror: Some("m".into()), ..base() }, "1"));
        for section in [
            "packages: [zip]",
            "removed_packages: [zip]",
            "apt_sources: [{name: a, url: 'https://h/', components: [main], keyring: /k}]",
            "snaps: [go]",
            "npm: [yarn]",
            "masked_units: [a.service]",
        ] {
            let [one, none] = [section, "packages: []"].map(|text| with(format!("{text}\nrunner: []\n")));
            assert_ne!(preparation_key(&one, "1"), preparation_key(&none, "1"), "{section}");
        }
        let script = Some(ExternalScript { content: vec![], sha256: "s".into() });
        let proxy = Some(Secret::new("http://p".to_owned()));
        let commands = with(DEFAULT_RECIPE.replace("commands:\n", "commands:\n  - 'true'\n"));
        assert_ne!(commands.recipe, base().recipe);
        for same in [
            commands,
            RunnerBase { script, ..base() },
            RunnerBase { runner: tarball("b"), tools: vec![tool("b")], ..base() },
            RunnerBase { environment: BTreeMap::from([("https_proxy".into(), proxy)]), ..base() },
            RunnerBase { part: Part::Preparation, ..base() },
        ] {
            assert_eq!(plain, preparation_key(&same, "1"));
        }
    }

    #[test]
    fn every_ingredient_counts_and_nothing_else_does() {
        let base = base();
        let plain = fingerprint(&base, "1", None);
        assert_ne!(plain, fingerprint(&base, "1", Some("secret:other")));
        let script = Some(ExternalScript { content: vec![], sha256: "s".into() });
        let other_target = Target { base: BaseImage::Jammy, arch: Arch::X64 };
        assert_ne!(plain, fingerprint(&base, "2", None));
        assert_ne!(plain, fingerprint(&RunnerBase { runner: tarball("b"), ..base.clone() }, "1", None));
        assert_ne!(plain, fingerprint(&RunnerBase { script, ..base.clone() }, "1", None));
        assert_ne!(plain, fingerprint(&RunnerBase { target: other_target, ..base.clone() }, "1", None));
        assert_ne!(plain, fingerprint(&RunnerBase { tools: vec![tool("b")], ..base.clone() }, "1", None));
        let other = recipe(&DEFAULT_RECIPE.replace("- jq\n", "- jq\n  - zip\n"));
        assert_ne!(plain, fingerprint(&RunnerBase { recipe: other, ..base.clone() }, "1", None));
        // Another way to write the same, and a change for other images, are none of its matter.
        let same = recipe(&format!(
            "# a note\n{}",
            DEFAULT_RECIPE.replace("[s390x, ppc64le]}}\n  - {name: rustup", "[s390x]}}\n  - {name: rustup")
        ));
        assert_eq!(plain, fingerprint(&RunnerBase { recipe: same, ..base.clone() }, "1", None));
        let later = ImageInfo { built: Timestamp(3), ..base.image.clone() };
        assert_eq!(plain, fingerprint(&RunnerBase { image: later, ..base.clone() }, "1", None));
        assert_eq!(plain, fingerprint(&RunnerBase { part: Part::OnPrepared, ..base.clone() }, "1", None));
        assert_eq!(plain, fingerprint(&RunnerBase { apt_mirror: Some("m".into()), ..base }, "1", None));
    }
}
