//! docs/reference/python-api.md tells the truth: each documented Python name has an item, and the product itself uses it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The names that the Python modules document, and those that their signatures name.
const DOCUMENTED: &str = "
    UBUNTU_USER APT_DEPENDENCIES IMAGE_NAME_TMPL initialize BuilderInitConfig BuilderSetupError install_clouds_yaml
    configure_cron run BuilderRunConfig BuilderRunError get_latest_image GetLatestImageError upgrade_app
    UpgradeApplicationError BuildConfig BuildConfig.base BuildResult BuildResult.config BuildResult.id
    GetLatestImageConfig GetLatestImageConfig.arch GetLatestImageConfig.base GetLatestImageConfig.cloud_name
    GetLatestImageResult GetLatestImageResult.id GetLatestImageResult.config

    IMAGE_PATH_TMPL IMAGE_NAME BUILD_OPENSTACK_IMAGE_SCRIPT_FILENAME build_image BuildImageConfig
    BuildImageConfig.arch BuildImageConfig.base_image BuildImageConfig.proxies OpenstackImageBuildError
    ImageDeleteError create_instance_config InstanceConfig InstanceConfig.name InstanceConfig.labels
    InstanceConfig.registration_token InstanceConfig.github_path InstanceConfig.openstack_image create_instance
    OpenstackInstanceLaunchError ProxyStringValues ProxyStringValues.http ProxyStringValues.https
    ProxyStringValues.no_proxy ProxyConfig SSHDebugConnection GithubClient GithubOrg GithubRepo Arch BaseImage Image

    Base Base.default_command_environment Base.get_command_environment Base.setup Base.wait_until_ready Base.warmup
    Base.compatibility_tag executor timeout mount_cache BaseCompatibilityError BaseConfigurationError ProviderError
    BuilddBase BuilddBaseAlias BuilddBase.alias BuilddBase.compatibility_tag BuilddBase.environment
    BuilddBase.hostname BuilddBase.snaps BuilddBase.packages BuilddBase.use_default_packages BuilddBase.cache_path
    BuilddBase.instance_config_path BuilddBase.instance_config_class Snap";

/// A line of the document's tables.
struct Row {
    python: String,
    item: String,
    file: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rows() -> Vec<Row> {
    let text = fs::read_to_string(root().join("docs/reference/python-api.md")).unwrap();
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let [_, python, item, file, _, _] = cells[..] else { panic!("not five lines: {line}") };
        Row { python: python.into(), item: item.into(), file: file.into() }
    };
    text.lines().filter(|line| line.starts_with("| `")).map(row).collect()
}

/// A file without its tests, comments and imports.
fn product(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let mut within_import = false;
    let code = text.lines().filter(|line| {
        let line = line.trim();
        let begins = line.starts_with("use ") || line.starts_with("pub use ");
        let is_import = begins || within_import;
        within_import = is_import && !line.ends_with(';');
        !is_import && !line.starts_with("//")
    });
    code.collect::<Vec<_>>().join("\n")
}

/// The names of modules that are there for tests only.
fn test_modules(text: &str) -> impl Iterator<Item = String> {
    text.split("#[cfg(test)]\n").skip(1).filter_map(|rest| {
        let (declaration, name) = rest.lines().next()?.trim().strip_suffix(';')?.rsplit_once(' ')?;
        declaration.ends_with("mod").then(|| name.to_owned())
    })
}

/// The source files in a folder, but for those of tests.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let texts = paths.iter().filter_map(|path| fs::read_to_string(path).ok());
    let tests: BTreeSet<String> =
        texts.flat_map(|text| test_modules(&text).collect::<Vec<_>>()).chain(["tests".to_owned()]).collect();
    let is_test = |path: &&PathBuf| tests.contains(&path.file_stem().unwrap().to_string_lossy().into_owned());
    let (folders, files): (Vec<_>, Vec<_>) =
        paths.iter().filter(|path| !is_test(path)).cloned().partition(|path| path.is_dir());
    folders.iter().flat_map(|folder| sources(folder)).chain(files).collect()
}

/// The lines in which `word` stands as a word of its own.
fn lines_with<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines().filter(move |line| {
        line.match_indices(word).any(|(at, _)| {
            let joins = |c: char| c.is_alphanumeric() || c == '_';
            let (before, after) = (&line[..at], &line[at + word.len()..]);
            !before.ends_with(joins) && !after.starts_with(joins)
        })
    })
}

/// Whether a line says what `item` is.
fn defines(line: &str, item: &str) -> bool {
    let line = line.trim();
    let kinds = ["fn", "struct", "enum", "trait", "const", "type"];
    let begins = |kind: &str| {
        [format!("{kind} {item}"), format!("pub {kind} {item}"), format!("pub(super) {kind} {item}")]
            .iter()
            .any(|beginning| {
                line.strip_prefix(beginning.as_str())
                    .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
            })
    };
    kinds.iter().any(|kind| begins(kind)) || line.starts_with(&format!("pub {item}: "))
}

/// Whether a line makes use of it: implementations for a type do not count.
fn uses(line: &str, item: &str) -> bool {
    !defines(line, item) && !line.trim().starts_with("impl")
}

#[test]
fn each_documented_name_has_its_line_and_no_line_is_made_up() {
    let documented: BTreeSet<String> = DOCUMENTED.split_whitespace().map(str::to_owned).collect();
    let listed: BTreeSet<String> = rows().into_iter().map(|row| row.python).collect();
    assert_eq!(listed, documented);
}

#[test]
fn each_item_is_where_the_document_says_and_the_product_uses_it() {
    let all: Vec<String> = sources(&root().join("src")).iter().map(|path| product(path)).collect();
    for Row { python, item, file } in rows() {
        let defined = product(&root().join(&file));
        assert!(
            lines_with(&defined, &item).any(|line| defines(line, &item)),
            "{python}: no {item} in {file}"
        );
        let used = all.iter().flat_map(|text| lines_with(text, &item)).any(|line| uses(line, &item));
        assert!(used, "{python}: only tests use {item}");
    }
}

#[test]
fn an_item_that_is_missing_or_unused_is_found() {
    let text = "pub fn begun(x: u8) {}\npub struct Thing {\n    pub part: u8,\n}\nimpl Thing {}\n";
    assert!(
        text.lines().any(|line| defines(line, "begun")) && !text.lines().any(|line| defines(line, "beg"))
    );
    assert!(text.lines().any(|line| defines(line, "part")) && !text.lines().any(|line| defines(line, "Th")));
    assert!(!lines_with(text, "Thing").any(|line| uses(line, "Thing")));
    assert!(lines_with("    let thing = Thing { part };", "Thing").any(|line| uses(line, "Thing")));
    assert_eq!(lines_with("abegun begun_ xbegun", "begun").count(), 0);
}

#[test]
fn the_script_is_where_its_constant_says() {
    use runner_image_builder::openstack_cloud::openstack_manager::BUILD_OPENSTACK_IMAGE_SCRIPT_FILENAME;
    use std::os::unix::fs::PermissionsExt;
    let script = root().join(BUILD_OPENSTACK_IMAGE_SCRIPT_FILENAME);
    assert_eq!(fs::metadata(&script).unwrap().permissions().mode() & 0o111, 0o111);
}
