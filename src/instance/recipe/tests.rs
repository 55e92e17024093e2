use super::*;

fn target(base: BaseImage, arch: Arch) -> Target {
    Target { base, arch }
}

fn default_for(base: BaseImage, arch: Arch) -> Recipe {
    DEFAULT_RECIPE.parse::<Recipe>().unwrap().of(target(base, arch))
}

fn names(packages: &[Package]) -> Vec<&str> {
    packages.iter().map(|package| package.name.as_str()).collect()
}

/// What a recipe is refused with; `{}` stands where a runner makes the rest of it whole.
#[track_caller]
fn refusal(text: &str) -> String {
    format!("{text}\nrunner: []\n").parse::<Recipe>().unwrap_err().to_string()
}

const COMMON: [&str; 16] = [
    "build-essential",
    "docker.io",
    "gh",
    "jq",
    "npm",
    "pkg-config",
    "python-is-python3",
    "python3-dev",
    "python3-pip",
    "shellcheck",
    "socat",
    "tar",
    "time",
    "unzip",
    "wget",
    "curl",
];

#[test]
fn the_default_has_the_packages_that_operators_know_for_each_architecture() {
    let special: [(Arch, &[&str]); 5] = [
        (Arch::X64, &["cargo", "rustc"]),
        (Arch::Arm64, &["cargo", "rustc"]),
        (Arch::S390x, &["cargo", "rustc", "dotnet-runtime-8.0"]),
        (Arch::Ppc64le, &["cargo", "rustc", "dotnet-runtime-8.0"]),
        (Arch::Arm, &["rustup", "docker-buildx", "libc6:armhf", "libatomic1:armhf", "libicu-dev:armhf"]),
    ];
    for (arch, special) in special {
        let recipe = default_for(BaseImage::Noble, arch);
        let mut wanted: Vec<&str> = COMMON.iter().chain(special).copied().collect();
        let mut found = names(&recipe.packages);
        wanted.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, wanted, "{arch}");
        assert_eq!(names(&recipe.removed_packages), ["unattended-upgrades"]);
    }
}

#[test]
fn the_default_has_yarn_wherever_node_is_new_enough() {
    for (base, wanted) in BaseImage::ALL.into_iter().zip([&[] as &[&str], &["yarn"], &["yarn"], &["yarn"]]) {
        let recipe = default_for(base, Arch::X64);
        let npm: Vec<&str> = recipe.npm.iter().map(|package| package.name.as_str()).collect();
        assert_eq!(npm, wanted, "{base}");
    }
}

#[test]
fn the_default_has_one_pinned_yq_for_each_architecture() {
    for (arch, wanted) in [
        (Arch::X64, "yq_linux_amd64"),
        (Arch::Arm64, "yq_linux_arm64"),
        (Arch::Arm, "yq_linux_arm64"),
        (Arch::S390x, "yq_linux_s390x"),
        (Arch::Ppc64le, "yq_linux_ppc64le"),
    ] {
        let recipe = default_for(BaseImage::Jammy, arch);
        let [tool] = recipe.tools.as_slice() else { panic!("{:?}", recipe.tools) };
        assert_eq!((tool.path.as_str(), tool.version.as_str()), ("/usr/local/bin/yq", "v4.54.1"));
        let ToolOrigin::Release { github, asset, .. } = &tool.origin else { panic!("{tool:?}") };
        assert_eq!((github.as_str(), asset.as_str()), ("mikefarah/yq", wanted));
    }
}

#[test]
fn the_default_has_the_snaps_system_settings_and_users_that_consumers_rely_on() {
    let recipe = default_for(BaseImage::Noble, Arch::X64);
    let snaps: Vec<(&str, &str, bool)> =
        recipe.snaps.iter().map(|snap| (snap.name.as_str(), snap.channel.as_str(), snap.disabled)).collect();
    assert_eq!(snaps, [("aproxy", "latest/edge", false), ("opentelemetry-collector", "latest/stable", true)]);
    let sysctl: Vec<(&str, &str)> =
        recipe.sysctl.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(sysctl, [("net.core.default_qdisc", "fq"), ("net.ipv4.tcp_congestion_control", "bbr")]);
    let [user] = recipe.users.as_slice() else { panic!("{:?}", recipe.users) };
    let groups: Vec<&str> = user.groups.iter().map(|group| group.as_str()).collect();
    assert_eq!((user.name.as_str(), user.linger), ("ubuntu", true));
    assert_eq!(groups, ["docker", "microk8s", "lxd", "sudo"]);
    let masked: Vec<&str> = recipe.masked_units.iter().map(|unit| unit.as_str()).collect();
    for unit in ["apt-daily.timer", "apt-daily-upgrade.timer"] {
        assert!(masked.contains(&unit), "{masked:?}");
    }
    assert_eq!(recipe.commands[0].run.as_str(), "chmod 777 /usr/local/bin");
}

#[test]
fn the_default_has_one_runner_for_each_image() {
    for base in BaseImage::ALL {
        for arch in Arch::ALL {
            let recipe = default_for(base, arch);
            let [runner] = recipe.runner.as_slice() else { panic!("{:?}", recipe.runner) };
            let githubs_own = matches!(arch, Arch::X64 | Arch::Arm64);
            let wanted = if githubs_own { "actions/runner" } else { "canonical/github-actions-runner" };
            assert_eq!(runner.github.as_str(), wanted);
        }
    }
}

#[test]
fn a_refusal_says_line_and_column() {
    for (text, place, reason) in [
        ("packages:\n  - jq\n  - Foo", "line 3 column 5", "\"Foo\" is not a valid package name"),
        ("packages: [jq-]", "line 1 column 12", "\"jq-\" is not a valid package name"),
        ("packages:\n  - {name: ok2, color: red}", "line 2 column 17", "unknown field `color`"),
        ("pakages: []", "line 1 column 1", "unknown field `pakages`"),
        ("files:\n  - path: etc/x\n    content: ''", "line 2 column 11", "absolute path"),
        ("files:\n  - path: /x\n    mode: 999\n    content: ''", "line 3 column 11", "file mode"),
        ("snaps: [{name: a, only: {arch: [amd64]}}]", "line 1 column 33", "unknown variant `amd64`"),
        ("snaps: [{name: a, only: {base: []}}]", "line 1 column 32", "an empty list"),
        ("users:\n- {name: 'a b'}", "line 2 column 10", "name of a user"),
        ("commands:\n- {run: ls, minutes: 0}", "line 2 column 22", "use 1 to 60"),
        ("sysctl:\n  a b: 1", "line 2 column 3", "kernel parameter"),
        ("masked_units: [apt]", "line 1 column 16", "unit of systemd"),
        (
            "apt_sources: [{name: a, url: 'https://h/', components: [main]}]",
            "line 1 column 14",
            "needs one key",
        ),
        (
            "apt_sources: [{name: a, url: 'https://h/', components: [main], key_url: 'https://h/k', keyring: /k}]",
            "line 1 column 14",
            "needs one key",
        ),
        (
            "apt_sources: [{name: a, url: 'https://h/', components: [main], key_url: 'http://h/k'}]",
            "line 1 column 73",
            "not a valid https URL",
        ),
        ("apt_sources: [{name: a, keyring: '/a b'}]", "line 1 column 34", "keyring in the image"),
        ("packages: [jq}", "line 1 column 14", "did not find expected"),
    ] {
        let told = refusal(text);
        assert!(told.contains(place) && told.contains(reason), "{text:?}: {told}");
    }
}

#[test]
fn a_tool_needs_one_origin_and_a_digest_where_nobody_publishes_one() {
    let tool = |rest: &str| refusal(&format!("tools: [{{path: /usr/bin/x, version: '1', {rest}}}]"));
    for rest in ["url: 'https://h/x'", "github: a/b", "github: a/b, asset: x, url: 'https://h/x'"] {
        assert!(tool(rest).contains("/usr/bin/x requires either a release on GitHub"), "{}", tool(rest));
    }
    for rest in ["url: 'ftp://h/x'", "url: 'https://u:p@h/x'", "url: 'https://h/$(id)'"] {
        let told = tool(rest);
        let fine = rest.contains("$(id)");
        assert!(fine || told.contains("is not a valid http or https URL"), "{told}");
    }
    assert!(tool("sha256: ABC").contains("SHA-256 digest"));
}

#[test]
fn two_runners_for_one_image_are_refused() {
    let two = "runner: [{github: a/b}, {github: c/d, only: {arch: [x64]}}]".parse::<Recipe>().unwrap_err();
    assert!(two.to_string().contains("more than one runner for focal-x64"), "{two}");
    assert!("packages: []".parse::<Recipe>().unwrap_err().to_string().contains("missing field `runner`"));
}

#[test]
fn what_is_written_shortly_and_what_is_left_out_mean_the_same_as_in_full() {
    let short: Recipe = "snaps: [go]\ncommands: [ls]\nrunner: []".parse().unwrap();
    let full: Recipe = "snaps: [{name: go, channel: latest/stable, classic: false, disabled: false}]\n\
                        commands: [{run: ls, minutes: 10}]\npackages: []\nrunner: []"
        .parse()
        .unwrap();
    assert_eq!(short, full);
}

#[test]
fn a_recipe_survives_its_way_to_the_worker() {
    let recipe: Recipe = DEFAULT_RECIPE.parse().unwrap();
    let text = serde_json::to_string(&recipe).unwrap();
    assert_eq!(serde_json::from_str::<Recipe>(&text).unwrap(), recipe);
}

#[test]
fn numbers_are_text_where_text_is_meant() {
    let recipe: Recipe =
        "sysctl: {fs.file-max: 65536}\nfiles: [{path: /a, mode: 0600, content: '1'}]\nrunner: []"
            .parse()
            .unwrap();
    assert_eq!(recipe.sysctl.values().next().unwrap().as_str(), "65536");
    assert_eq!(recipe.files[0].mode.as_str(), "0600");
}

#[test]
fn the_default_knows_what_a_base_or_an_architecture_lacks() {
    let sources = |base, arch| -> Vec<String> {
        let named = |source: &AptSource| {
            let suites: Vec<&str> = source.suites.iter().map(|suite| suite.as_str()).collect();
            format!("{} {}", source.name, suites.join(" ")).trim().to_owned()
        };
        default_for(base, arch).apt_sources.iter().map(named).collect()
    };
    for arch in Arch::ALL {
        assert_eq!(sources(BaseImage::Focal, arch), ["github-cli stable"]);
        assert_eq!(sources(BaseImage::Jammy, arch), [""; 0]);
        let has = |base| names(&default_for(base, arch).packages).contains(&"nftables");
        assert!(has(BaseImage::Focal) && !has(BaseImage::Noble));
    }
    for arch in [Arch::S390x, Arch::Ppc64le] {
        assert_eq!(sources(BaseImage::Noble, arch), [""; 0]);
        assert_eq!(sources(BaseImage::Resolute, arch), ["dotnet-backports"]);
    }
    assert_eq!(sources(BaseImage::Resolute, Arch::X64), [""; 0]);
    assert_eq!(sources(BaseImage::Noble, Arch::Arm), ["ubuntu-armhf noble noble-updates noble-security"]);
    let toolchains = |arch| {
        default_for(BaseImage::Noble, arch)
            .commands
            .iter()
            .filter(|command| command.run.as_str().contains("rustup"))
            .count()
    };
    assert_eq!((toolchains(Arch::Arm), toolchains(Arch::X64)), (1, 0));
}
