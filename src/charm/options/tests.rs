//! What operators get wrong, and in which words they are told.

use serde_json::json;

use super::*;

fn options(pairs: Value) -> Options {
    Options(serde_json::from_value(pairs).unwrap())
}

fn refusal<T: std::fmt::Debug>(result: Checked<T>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn missing_openstack_options_are_all_named() {
    let text = refusal(
        options(json!({"openstack-auth-url": "http://k/v3", "openstack-user-name": "  "})).openstack(),
    );
    assert!(text.starts_with("Please supply all OpenStack configurations."), "{text}");
    for name in ["openstack-project-domain-name", "openstack-user-name", "openstack-password-secret"] {
        assert!(text.contains(name), "{text}");
    }
    assert!(!text.contains("openstack-auth-url"));
}

#[test]
fn operators_are_told_what_is_wrong_with_an_option() {
    let bad = options(json!({
        "architecture": "x64,mips", "base-image": "noble,warty", "build-interval": 25, "revision-history-limit": 1,
        "runner-version": "latest; rm -rf /", "script-url": "http://[::1", "max-image-age": 0, "boot-timeout": 1,
        "ssh-options": "ProxyCommand=sh", "build-ssh-ingress": "world", "build-mode": "remote", "delivery": "mail",
        "image-format": "vmdk",
        "base-image-source": "ubuntu", "base-image-keyring": "keys", "recipe": "packages: 7", "github-api-url": "x",
        "script-secret": "a=b", "github-token-secret-id": "github_pat_planted",
    }));
    let secrets = options(json!({"script-secret": "a=b", "script-secret-id": "secret:abc"}));
    let none = options(json!({}));
    let told = [
        ("architecture", refusal(bad.architectures())),
        ("architecture, absent", refusal(none.architectures())),
        ("base-image", refusal(bad.bases())),
        ("base-image-keyring", refusal(bad.base_image_keyring())),
        ("base-image-source", refusal(bad.base_image_source())),
        ("boot-timeout", refusal(bad.boot_timeout())),
        ("build-interval", refusal(bad.build_interval())),
        ("build-mode", refusal(bad.build_mode())),
        ("build-ssh-ingress", refusal(bad.ssh_ingress())),
        ("delivery", refusal(bad.delivery())),
        ("github-api-url", refusal(bad.trusted_url("github-api-url"))),
        ("github-token-secret-id", refusal(bad.github_token_secret())),
        ("image-format", refusal(bad.image_format())),
        ("max-image-age", refusal(bad.max_image_age())),
        ("openstack-*, absent", refusal(none.openstack())),
        ("recipe", refusal(bad.recipe())),
        ("revision-history-limit", refusal(bad.revision_history_limit())),
        ("runner-version", refusal(bad.runner_version())),
        ("script-secret", refusal(bad.script_secret())),
        ("script-secret, both", refusal(secrets.script_secret())),
        ("script-url", refusal(bad.script_url())),
        ("ssh-options", refusal(bad.ssh_options())),
    ];
    let lines = told.iter().map(|(option, text)| format!("{option}\n    {text}\n"));
    insta::assert_snapshot!(lines.collect::<String>(), @r#"
    architecture
        Unsupported arch='mips'. Set architecture to one or more of x64, arm64, arm, s390x, ppc64le, separated by commas.
    architecture, absent
        Unsupported arch=''. Set architecture to one or more of x64, arm64, arm, s390x, ppc64le, separated by commas.
    base-image
        Invalid bases: (warty). Set base-image to one or more of focal, jammy, noble, resolute or their versions, separated by commas, each alone or with a release date (noble@20261115).
    base-image-keyring
        Invalid base-image-keyring "keys": use the absolute path of a keyring file.
    base-image-source
        Invalid base-image-source: use http:// or https:// and a host.
    boot-timeout
        Option boot-timeout must be from 10 to 7200 seconds.
    build-interval
        Build interval must not be smaller than 1 or greater than 24 (build-interval, hours).
    build-mode
        Unsupported build-mode "remote": use external or local.
    build-ssh-ingress
        Invalid build-ssh-ingress "world": use a CIDR, such as 10.0.0.0/8.
    delivery
        Unsupported delivery "mail": use auto, share or copy.
    github-api-url
        Invalid github-api-url: use http:// or https:// and a host.
    github-token-secret-id
        GitHub token secret not found. Set github-token-secret-id to a secret's URI.
    image-format
        Unsupported image-format "vmdk": use auto, qcow2 or raw.
    max-image-age
        Option max-image-age must be from 1 to 8760 hours.
    openstack-*, absent
        Please supply all OpenStack configurations. Missing: openstack-auth-url, openstack-project-domain-name, openstack-project-name, openstack-user-domain-name, openstack-user-name, openstack-password-secret.
    recipe
        Invalid recipe: packages: invalid type: integer `7`, expected a sequence at line 1 column 11. (option recipe)
    revision-history-limit
        Revision history must be greater than 1 and less than 100 (revision-history-limit).
    runner-version
        Invalid runner-version "latest; rm -rf /": use a version such as 2.337.1, or leave it empty.
    script-secret
        Please use Juju secrets via script-secret-id and unset the script-secret configuration option.
    script-secret, both
        Both script-secret and script-secret-id configuration option set. Please remove one.
    script-url
        Invalid script URL, must contain scheme and hostname. (script-url)
    ssh-options
        Unsupported ssh-options entry "ProxyCommand=sh": use Name=value with one of AddressFamily, BindAddress, Ciphers, Compression, ConnectTimeout, IPQoS, KexAlgorithms, MACs, Port, ProxyJump.
    "#);
}

#[test]
fn lists_keep_their_order_and_lose_their_doubles() {
    let listed = options(json!({"architecture": "arm64, amd64,x64", "base-image": "24.04,jammy,noble"}));
    assert_eq!(listed.architectures().unwrap(), [Arch::Arm64, Arch::X64]);
    assert_eq!(listed.bases().unwrap(), [BaseImage::Noble, BaseImage::Jammy]);
}

#[test]
fn names_keep_their_case() {
    let named = options(json!({"build-flavor": " M1.Large "}));
    assert_eq!(named.text("build-flavor").unwrap().unwrap(), "M1.Large");
}

#[test]
fn a_script_over_plain_http_needs_a_digest() {
    let digest = "a".repeat(64);
    for (url, good) in [
        ("https://h/s.sh".to_owned(), true),
        ("http://h/s.sh".to_owned(), false),
        (format!("http://h/s.sh#sha256={digest}"), true),
        ("https://h/s.sh#sha256=abc".to_owned(), false),
        ("http://127.0.0.1:80/s.sh".to_owned(), true),
        ("ftp://h/s.sh".to_owned(), false),
        ("/s.sh".to_owned(), false),
    ] {
        assert_eq!(options(json!({"script-url": url})).script_url().is_ok(), good, "{url}");
    }
}

#[test]
fn the_token_for_github_is_a_secrets_uri() {
    assert!(options(json!({})).github_token_secret().unwrap().is_none());
    assert!(
        options(json!({"github-token-secret-id": "secret:abc"})).github_token_secret().unwrap().is_some()
    );
    let plain = options(json!({"github-token-secret-id": "github_pat_planted x"}));
    let text = refusal(plain.github_token_secret());
    assert!(text.contains("github-token-secret-id") && !text.contains("planted"), "{text}");
}

#[test]
fn the_script_secret_options_exclude_each_other() {
    let both = options(json!({"script-secret": "a=b", "script-secret-id": "secret:abc"}));
    assert!(refusal(both.script_secret()).starts_with("Both script-secret and script-secret-id"));
    let inline = options(json!({"script-secret": "a=b"}));
    assert!(refusal(inline.script_secret()).starts_with("Please use Juju secrets via script-secret-id"));
}

#[test]
fn credentials_in_urls_are_refused() {
    const URL: &str = "https://me:hunter2@h";
    let with = |name: &str, url: &str| options(json!({name: url}));
    let pinned = format!("http://me:hunter2@h/s.sh#sha256={}", "a".repeat(64));
    let openstack = options(json!({
        "openstack-auth-url": URL, "openstack-project-domain-name": "d", "openstack-project-name": "p",
        "openstack-user-domain-name": "d", "openstack-user-name": "u", "openstack-password-secret": "secret:abc",
    }));
    for text in [
        refusal(with("runner-source", URL).required_web_url("runner-source")),
        refusal(with("build-apt-mirror", URL).web_url("build-apt-mirror")),
        refusal(with("github-api-url", URL).trusted_url("github-api-url")),
        refusal(with("base-image-source", URL).base_image_source()),
        refusal(with("script-url", URL).script_url()),
        refusal(with("script-url", &pinned).script_url()),
        refusal(openstack.openstack()),
    ] {
        assert!(text.contains("remove the user and password") && !text.contains("hunter2"), "{text}");
    }
}
