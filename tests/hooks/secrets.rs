//! The two secret options: what is wrong with them in the operator's words, and what becomes of their content.

use std::fs;

use rehearsal::agent::{ActionStatus, JujuVersion, Proxies};
use serde_json::{Value, json};

use crate::deploy::{PASSWORD, Plan};
use crate::machine::{Site, all_succeeded};

/// What waits for a busy worker in the run folder.
fn in_transit(site: &Site) -> Value {
    let folder = site.host().run_dir();
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.to_string_lossy().contains("secrets-"));
    assert_eq!(files.len(), 1, "{files:?}");
    serde_json::from_slice(&fs::read(&files[0]).unwrap()).unwrap()
}

const JUJUS: [JujuVersion; 3] = [JujuVersion::V3_6, JujuVersion::V4_0, JujuVersion::V4];

const NOT_GRANTED: &str = "blocked: Charm does not have access to the OpenStack password secret. Please grant the charm \
    read access to the secret.";

#[test]
fn a_secret_that_is_granted_only_after_deploy_blocks_from_install_on_and_is_found_without_a_hook_of_its_own()
{
    for juju in JUJUS {
        let site = Plan::new().juju(juju).ungranted();
        all_succeeded(site.unit().runs());
        assert!(site.unit().hooks().contains(&"install".to_owned()));
        site.assert_status(NOT_GRANTED);
        site.password.grant(&site.app).unwrap();
        site.next_hook();
        assert_eq!(site.status(), "blocked: image integration required.", "{juju:?}");
        site.password.revoke(&site.app).unwrap();
        site.next_hook();
        site.assert_status(NOT_GRANTED);
    }
}

#[test]
fn actions_fail_with_the_refusal_of_a_secret_and_the_unit_does_not() {
    for juju in JUJUS {
        let site = Plan::new().juju(juju).ungranted();
        let token = json!({"path": "octo/engine", "token-secret-id": site.password.uri()});
        for (action, parameters) in [("run", json!({})), ("launch-runner", token.clone())] {
            let done = site.unit().run_action(action, parameters).unwrap();
            assert!(done.run.succeeded(), "the action crashed: {done:?}");
            assert_eq!(done.status, ActionStatus::Failed);
            assert!(NOT_GRANTED.contains(&done.message[..80]), "{juju:?}: {}", done.message);
        }
        let (site, _relation) = Plan::new().juju(juju).settled();
        let other = site.model.add_secret(&[("token", "x")]).unwrap();
        let token = json!({"path": "octo/engine", "token-secret-id": other.uri()});
        let done = site.unit().run_action("launch-runner", token).unwrap();
        assert!(done.run.succeeded() && done.message.contains("does not have access"), "{done:?}");
    }
}

#[test]
fn a_refusal_that_nobody_has_foreseen_is_shown_in_its_own_words() {
    let site = Plan::new().configured();
    site.model.fail_tool("secret-get", 1, "secret is in a backend that is being\nretired");
    site.next_hook();
    let words = "OpenStack password secret cannot be read: secret is in a backend that is being retired. Check the \
        secret and its grant, or set openstack-password-secret to another.";
    site.assert_status(&format!("blocked: {words}"));
    let done = site.unit().run_action("run", json!({})).unwrap();
    assert!(done.run.succeeded() && done.message.starts_with(words), "{done:?}");
    site.model.heal_tools();
    site.next_hook();
    assert_eq!(site.status(), "blocked: image integration required.");
}

#[test]
fn a_password_that_cannot_be_read_blocks_with_the_way_out() {
    JUJUS.into_iter().for_each(password_that_cannot_be_read);
}

fn password_that_cannot_be_read(juju: JujuVersion) {
    let site = Plan::new().juju(juju).configured();
    let uri = site.password.uri();
    site.app.set_config(&[("openstack-password-secret", "")]).unwrap();
    site.assert_status("blocked: Please supply OpenStack password via openstack-password-secret.");

    let nowhere = "secret:d0rehearsal0000000zz";
    all_succeeded(site.app.set_config(&[("openstack-password-secret", nowhere)]).unwrap());
    site.assert_status(&format!("blocked: OpenStack password secret not found: {nowhere}."));

    site.app.set_config(&[("openstack-password-secret", &uri)]).unwrap();
    site.password.revoke(&site.app).unwrap();
    site.next_hook();
    site.assert_status(NOT_GRANTED);
    site.password.grant(&site.app).unwrap();

    for content in [[("passwort", "x")], [("password", "")]] {
        all_succeeded(site.password.update(&content).unwrap());
        site.assert_status(&format!("blocked: Secret {uri} does not contain a 'password' key."));
    }
    all_succeeded(site.password.update(&[("password", PASSWORD)]).unwrap());
    assert_eq!(site.status(), "blocked: image integration required.");
}

#[test]
fn a_secret_tool_that_breaks_fails_the_hook_and_juju_runs_it_again() {
    let site = Plan::new().configured();
    site.model.fail_tool("secret-get", 1, "connection is shut down");
    let run = site.unit().update_status().unwrap();
    assert!(!run.succeeded());
    site.model.heal_tools();
    all_succeeded(site.unit().retry().unwrap());
    assert_eq!(site.status(), "blocked: image integration required.");
}

#[test]
fn the_scripts_secrets_come_from_a_juju_secret_and_from_nowhere_else() {
    let site = Plan::new().configured();
    let secret = site.model.add_secret(&[("token", "a=b=c")]).unwrap();
    let uri = secret.uri();
    site.app.set_config(&[("script-secret", "TOKEN=x")]).unwrap();
    site.assert_status(
        "blocked: Please use Juju secrets via script-secret-id and unset the script-secret configuration option.",
    );
    site.app.set_config(&[("script-secret-id", &uri)]).unwrap();
    site.assert_status(
        "blocked: Both script-secret and script-secret-id configuration option set. Please remove one.",
    );
    site.app.reset_config(&["script-secret"]).unwrap();
    site.assert_status("blocked: Charm does not have access to the script secret. Please grant");
    secret.grant(&site.app).unwrap();
    site.next_hook();
    assert_eq!(site.status(), "blocked: image integration required.");
    secret.remove().unwrap();
    site.next_hook();
    site.assert_status(&format!("blocked: Secret label not found: {uri}."));
}

#[test]
fn the_token_for_github_comes_from_a_juju_secret_and_each_refusal_names_the_option() {
    let site = Plan::new().configured();
    let secret = site.model.add_secret(&[("tokn", "github_pat_planted")]).unwrap();
    let uri = secret.uri();
    site.app.set_config(&[("github-token-secret-id", &uri)]).unwrap();
    site.assert_status("blocked: Charm does not have access to the GitHub token secret. Please grant");
    secret.grant(&site.app).unwrap();
    site.next_hook();
    site.assert_status(&format!("blocked: Secret {uri} does not contain a 'token' key."));
    secret.update(&[("token", "github_pat_planted\n")]).unwrap();
    site.next_hook();
    assert_eq!(site.status(), "blocked: image integration required.");
    secret.remove().unwrap();
    site.next_hook();
    site.assert_status(&format!("blocked: GitHub token secret not found: {uri}."));
}

#[test]
fn the_token_for_github_reaches_the_worker_and_no_record() {
    let (site, _relation) = Plan::new().related();
    site.worker();
    let secret = site.model.add_secret(&[("token", "github_pat_planted\n")]).unwrap();
    secret.grant(&site.app).unwrap();
    site.app.set_config(&[("github-token-secret-id", &secret.uri()), ("base-image", "jammy")]).unwrap();
    assert_eq!(in_transit(&site)["github_token"], "github_pat_planted");
    let request = fs::read_to_string(site.state_file("request.json")).unwrap();
    assert!(!request.contains("planted"), "{request}");
}

#[test]
fn values_of_the_script_may_hold_anything_and_reach_the_worker_with_shell_names() {
    let (site, _relation) = Plan::new().related();
    site.worker();
    let awkward = "a=b==\n\"quoted\" $(not) 'run'\\";
    let secret = site.model.add_secret(&[("registry-token", awkward), ("plain", "x")]).unwrap();
    secret.grant(&site.app).unwrap();
    site.app.set_config(&[("script-secret-id", &secret.uri()), ("base-image", "jammy")]).unwrap();
    let waiting = in_transit(&site);
    assert_eq!(waiting["secrets"]["registry_token"], awkward);
    assert_eq!(waiting["secrets"]["plain"], "x");
}

#[test]
fn a_proxy_is_taken_when_it_is_the_only_one() {
    let (site, _relation) = Plan::new().related();
    site.worker();
    let proxies = |http: &str, https: &str| Proxies {
        http: http.into(),
        https: https.into(),
        no_proxy: "10.0.0.0/8,.example.com".into(),
        ..Proxies::default()
    };
    all_succeeded(site.model.set_proxies(proxies("http://proxy:3128", "")).unwrap());
    site.app.set_config(&[("base-image", "jammy")]).unwrap();
    let waiting = in_transit(&site);
    assert_eq!(waiting["http_proxy"], "http://proxy:3128");
    assert_eq!(waiting["https_proxy"], Value::Null);
    assert_eq!(waiting["no_proxy"], "10.0.0.0/8,.example.com");

    all_succeeded(site.model.set_proxies(proxies("", "http://proxy:3129")).unwrap());
    site.app.set_config(&[("base-image", "focal")]).unwrap();
    let waiting = in_transit(&site);
    assert_eq!(
        (&waiting["http_proxy"], &waiting["https_proxy"]),
        (&Value::Null, &"http://proxy:3129".into())
    );
}

#[test]
fn what_a_newer_request_replaces_leaves_no_secret_behind() {
    let (site, _relation) = Plan::new().related();
    let secret = site.model.add_secret(&[("token", "first")]).unwrap();
    secret.grant(&site.app).unwrap();
    site.worker();
    site.app.set_config(&[("script-secret-id", &secret.uri()), ("base-image", "jammy")]).unwrap();
    site.app.set_config(&[("base-image", "focal")]).unwrap();
    all_succeeded(secret.update(&[("token", "second")]).unwrap());
    assert_eq!(in_transit(&site)["secrets"]["token"], "second");
}

#[test]
fn a_new_revision_of_the_scripts_secret_builds_everything_anew() {
    let (site, _relation) = Plan::new().settled();
    let secret = site.model.add_secret(&[("token", "first")]).unwrap();
    secret.grant(&site.app).unwrap();
    site.app.set_config(&[("script-secret-id", &secret.uri())]).unwrap();
    let before = site.request().unwrap();
    all_succeeded(secret.update(&[("token", "second")]).unwrap());
    let request = site.request().unwrap();
    assert_ne!(request.id, before.id);
    assert_eq!(serde_json::to_value(request.rebuild).unwrap(), "always");
    assert_eq!(serde_json::to_value(request.reason).unwrap(), "secret");
    assert!(request.has_secrets);
}

#[test]
fn secrets_of_a_request_that_was_not_written_down_do_not_stay() {
    let (site, _relation) = Plan::new().settled();
    let secret = site.model.add_secret(&[("token", "first")]).unwrap();
    secret.grant(&site.app).unwrap();
    // What a hook leaves that is killed at the wrong moment, and what keeps the next one from writing.
    let of_dead =
        [".secrets-dead.json.new", "secrets-dead.json"].map(|name| site.host().run_dir().join(name));
    of_dead.iter().for_each(|path| fs::write(path, "{}").unwrap());
    let obstacle = site.host().state_dir().join(".request.json.new");
    fs::create_dir(&obstacle).unwrap();
    let runs = site.app.set_config(&[("script-secret-id", &secret.uri())]).unwrap();
    assert!(runs.iter().any(|run| !run.succeeded()), "{runs:?}");
    let left = || -> Vec<_> {
        let folder = fs::read_dir(site.host().run_dir()).unwrap().flatten();
        folder.map(|entry| entry.path()).filter(|path| path.to_string_lossy().contains("secrets-")).collect()
    };
    assert!(left().iter().all(|path| of_dead.contains(path)), "{:?}", left());
    fs::remove_dir(&obstacle).unwrap();
    all_succeeded(site.unit().retry().unwrap());
    let id = site.request().unwrap().id;
    assert!(left().iter().all(|path| path.to_string_lossy().contains(&id.to_string())), "{:?}", left());
}
