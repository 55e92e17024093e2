//! The checks of what comes from the web: signed base images, the runner application, the apt mirror, the operator's script.

use std::thread::scope;

use super::trouble;
use crate::builder::image::base_image;
use crate::builder::releases::{find_runner, github};
use crate::builder::script;
use crate::github::GithubClient;
use crate::host::Host;
use crate::http::HttpClient;
use crate::model::{BaseImage, Deadline, Target};
use crate::record::{BuildSecrets, BuilderRunConfig, Check, Finding, Scope, Verdict};

/// Checks all of it, side by side.
pub fn check(
    host: &Host,
    http: &HttpClient,
    config: &BuilderRunConfig,
    secrets: &BuildSecrets,
    extent: Scope,
    deadline: Deadline,
) -> Vec<Finding> {
    let client = github(host, http, &config.runner, secrets);
    scope(|scope| {
        let images = scope.spawn(|| {
            let look = |target: &Target| base_image(host, http, config, *target, deadline);
            config.targets.iter().map(look).collect::<Vec<_>>()
        });
        let mirror = scope.spawn(|| apt_mirror(http, config, deadline));
        let fetched = scope.spawn(|| external_script(http, config, deadline));
        let mut found: Vec<Finding> =
            config.targets.iter().map(|target| runner(&client, config, *target, deadline)).collect();
        if extent >= Scope::Full {
            found.extend(rate_limit(&client, deadline));
        }
        let images = images.join().unwrap_or_default();
        let mirror = mirror.join().unwrap_or_default();
        let fetched = fetched.join().ok().flatten();
        images.into_iter().chain(found).chain(mirror).chain(fetched).collect()
    })
}

fn base_image(
    host: &Host,
    http: &HttpClient,
    config: &BuilderRunConfig,
    target: Target,
    deadline: Deadline,
) -> Finding {
    let found = match base_image::look_up(host, http, &config.base_image, target, deadline) {
        Ok(_) => Finding::new(Check::BaseImage, Verdict::Ok, "listed, and the list's signature is good"),
        Err(error) => trouble(Check::BaseImage, &error, error.operator_must_act()),
    };
    found.of_target(target)
}

fn runner(client: &GithubClient, config: &BuilderRunConfig, target: Target, deadline: Deadline) -> Finding {
    let found = match find_runner(client, &config.runner, &config.recipe.of(target), target, deadline) {
        Ok(runner) => Finding::new(Check::Github, Verdict::Ok, format!("has runner {}", runner.version)),
        Err(error) => trouble(Check::Github, &error, error.operator_must_act()),
    };
    found.of_target(target)
}

/// What is left of GitHub's rate limit; nothing where GitHub Enterprise Server has none.
fn rate_limit(client: &GithubClient, deadline: Deadline) -> Option<Finding> {
    Some(match client.rate_limit(deadline) {
        Ok(None) => return None,
        Ok(Some(rate)) if rate.remaining == 0 => {
            let text = format!(
                "rate limit used up (0 of {} left), resets {}; set github-token-secret-id for a higher limit",
                rate.limit, rate.resets
            );
            Finding::new(Check::Github, Verdict::Warning, text)
        }
        Ok(Some(rate)) => {
            let text = format!("{} of {} requests left until {}", rate.remaining, rate.limit, rate.resets);
            Finding::new(Check::Github, Verdict::Ok, text)
        }
        Err(error) => {
            let verdict = if error.operator_must_act() { Verdict::Failure } else { Verdict::Warning };
            Finding::new(Check::Github, verdict, &error).summed_up(error.summary())
        }
    })
}

/// Whether the operator's script can be fetched, and is the one that was asked for; nothing where there is none.
fn external_script(http: &HttpClient, config: &BuilderRunConfig, deadline: Deadline) -> Option<Finding> {
    Some(match script::fetch(http, config.script_url.as_deref()?, deadline) {
        Ok(script) => {
            let text = format!("fetched, {} bytes, SHA-256 {}", script.content.len(), script.sha256);
            Finding::new(Check::Script, Verdict::Ok, text)
        }
        Err(error) => trouble(Check::Script, &error, error.operator_must_act()),
    })
}

/// Whether the mirror has each release, as the unit sees it.
fn apt_mirror(http: &HttpClient, config: &BuilderRunConfig, deadline: Deadline) -> Vec<Finding> {
    let Some(mirror) = &config.vm.apt_mirror else { return Vec::new() };
    let mut bases: Vec<BaseImage> = config.targets.iter().map(|target| target.base).collect();
    bases.dedup();
    let look = |base: &BaseImage| {
        let url = format!("{}/dists/{base}/InRelease", mirror.trim_end_matches('/'));
        let opened = url.parse().and_then(|url| http.download(&url, deadline));
        match opened {
            Ok(_) => Finding::new(Check::AptMirror, Verdict::Ok, format!("has {base}")),
            // Builder VMs may reach what the unit does not.
            Err(error) => {
                let text =
                    format!("{error}; check build-apt-mirror, unless it is reachable from builder VMs only");
                Finding::new(Check::AptMirror, Verdict::Warning, text)
            }
        }
    };
    bases.iter().map(look).collect()
}
