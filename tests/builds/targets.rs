//! The default recipe on bases and architectures that lack something, and packages that nobody has.

use rehearsal::instance::archive::ImageTree;
use rehearsal::servers::ReleasedTool;
use runner_image_builder::record::Remedy;

use crate::fixture::{APPLICATION, Deployed, Fixture};

/// A fixture whose web has cloud images and tools for all bases and architectures.
fn fixture(bases: &str, architectures: &str) -> Fixture {
    let fixture = Fixture::set(&[("base-image", bases), ("architecture", architectures)]);
    for base in ["focal", "jammy", "noble", "resolute"] {
        fixture.site.publish_images_for(base, &["amd64", "arm64", "s390x", "ppc64el"], 1).unwrap();
    }
    let assets = ["amd64", "arm64", "s390x", "ppc64le"].map(|arch| format!("yq_linux_{arch}"));
    let (repository, tag) = ("mikefarah/yq".into(), "v4.54.1".into());
    fixture.site.publish_tool(&ReleasedTool { repository, tag, assets: assets.into() });
    fixture
}

/// The image of `target` that was delivered.
fn image(fixture: &Fixture, target: &str) -> ImageTree {
    let project = fixture.cloud.project("upload-project");
    let name = format!("{APPLICATION}-{target}");
    let image = project.images().into_iter().find(|image| image.name.as_deref() == Some(name.as_str()));
    project.image_tree(&image.unwrap_or_else(|| panic!("no {name}")).id).unwrap()
}

fn has_package(tree: &ImageTree, name: &str, architecture: &str) -> bool {
    let entry = format!("Package: {name}\nStatus: install ok installed\nArchitecture: {architecture}\n");
    tree.text("var/lib/dpkg/status").contains(&entry)
}

#[test]
fn focal_has_gh_of_githubs_own_archive() {
    let fixture = fixture("focal", "x64");
    fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    let tree = image(&fixture, "focal-x64");
    assert!(has_package(&tree, "gh", "amd64") && has_package(&tree, "nftables", "amd64"));
    let source = tree.text("etc/apt/sources.list.d/github-cli.sources");
    assert!(source.contains("Signed-By: /etc/apt/keyrings/github-cli.gpg\n"), "{source}");
    assert!(tree.has("etc/apt/keyrings/github-cli.gpg"));
    assert!(!tree.has("usr/local/bin/yarn"), "its node is too old for it");
}

#[test]
fn resolute_has_dot_net_of_the_backports_and_arm_has_a_toolchain_and_armhf_libraries() {
    let fixture = fixture("resolute", "s390x,arm");
    fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    let s390x = image(&fixture, "resolute-s390x");
    assert!(has_package(&s390x, "dotnet-runtime-8.0", "s390x"));
    let source = s390x.text("etc/apt/sources.list.d/dotnet-backports.sources");
    assert!(source.contains("Suites: resolute\n"), "{source}");
    assert!(source.contains("Signed-By: /etc/apt/keyrings/dotnet-backports.asc\n"), "{source}");
    let arm = image(&fixture, "resolute-arm");
    assert!(has_package(&arm, "libc6", "armhf") && has_package(&arm, "rustup", "arm64"));
    let toolchain = arm.text("home/ubuntu/.rustup/settings.toml");
    assert_eq!(toolchain, "default_toolchain = \"stable\"\n");
    assert!(arm.text("etc/apt/sources.list.d/ubuntu-armhf.sources").contains("Architectures: armhf\n"));
}

#[test]
fn packages_that_no_source_has_block_before_anything_is_installed() {
    let fixture = fixture("focal", "s390x");
    let relation = fixture.integrate("upload");
    let job = fixture.job_ended();
    let [failure] = job.failures.as_slice() else { panic!("one failure: {:?}", job.failures) };
    let told =
        "no package source for base focal on architecture s390x has gh, dotnet-runtime-8.0; change packages";
    assert!(failure.message.contains(told), "{}", failure.message);
    assert_eq!(failure.remedy, Remedy::Operator);
    assert!(fixture.status().starts_with("blocked: "), "{}", fixture.status());
    let log =
        std::fs::read_to_string(fixture.root(0).join("var/log/runner-image-builder/worker.log")).unwrap();
    assert!(log.contains("choosing package sources, ") && !log.contains("upgrading packages"), "{log}");
    assert_eq!((fixture.told(&relation, "id"), fixture.leftovers()), (None, Vec::new()));
}

#[test]
fn a_virtual_package_is_one_that_exactly_one_package_provides() {
    let fixture = fixture("noble", "x64");
    let recipe = |packages: &str| format!("packages: [{packages}]\nrunner: [{{github: actions/runner}}]");
    let one = recipe("git-completion, mail-transport-agent, jq");
    fixture.app.set_config(&[("recipe", &one)]).unwrap();
    let relation = fixture.integrate("upload");
    let job = fixture.job_ended();
    let told = "on architecture x64 has mail-transport-agent; change";
    assert!(job.failures.len() == 1 && job.failures[0].message.contains(told), "{:?}", job.failures);
    fixture.app.set_config(&[("recipe", &recipe("git-completion, postfix"))]).unwrap();
    assert_eq!(fixture.job_ended().failures, []);
    assert!(fixture.told(&relation, "id").is_some());
}
