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
fn each_bad_value_is_refused_in_the_known_words() {
    let bad = options(json!({
        "architecture": "x64,mips", "base-image": "noble,warty", "build-interval": 25, "revision-history-limit": 1,
        "runner-version": "latest; rm -rf /", "script-url": "http://[::1", "max-image-age": 0,
        "ssh-options": "ProxyCommand=sh", "build-ssh-ingress": "world",
    }));
    assert!(refusal(bad.architectures()).starts_with("Unsupported arch='mips'"));
    assert!(refusal(bad.bases()).starts_with("Invalid bases: (warty)"));
    assert!(
        refusal(bad.build_interval())
            .starts_with("Build interval must not be smaller than 1 or greater than 24")
    );
    assert!(
        refusal(bad.revision_history_limit())
            .starts_with("Revision history must be greater than 1 and less than 100")
    );
    assert!(refusal(bad.runner_version()).contains("runner-version"));
    assert!(refusal(bad.script_url()).starts_with("Invalid script URL, must contain scheme and hostname."));
    assert!(refusal(bad.max_image_age()).contains("max-image-age"));
    assert!(refusal(bad.ssh_options()).contains("ProxyCommand"));
    assert!(refusal(bad.ssh_ingress()).contains("build-ssh-ingress"));
    let none = options(json!({}));
    assert!(refusal(none.architectures()).starts_with("Unsupported arch=''"));
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
        assert!(text.contains("user and password do not belong into") && !text.contains("hunter2"), "{text}");
    }
}
