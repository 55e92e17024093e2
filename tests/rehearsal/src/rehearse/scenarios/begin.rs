//! Deployment and configuration.

use rehearsal::agent::Unit;
use rehearsal::scene::APPLICATION;

use crate::stage::{ShowError, Stage};

/// The external script: what it writes shows that it ran, and with which secret.
pub const SCRIPT: &str = "#!/bin/bash\nset -eu\nprintf %s \"$registry_token\" | sha256sum >/opt/script.ok\n";

pub fn deploy(stage: &mut Stage<'_>) -> Result<(), ShowError> {
    stage.screen.command(&format!("juju deploy {} {APPLICATION}", stage.charm.display()));
    let app = stage.scene.deploy(&stage.charm)?;
    let unit = app.unit(0);
    stage.deployed(app);
    stage.show_statuses(&unit, 0)?;
    let hooks = unit.hooks();
    stage.holds(
        "the unit's first hooks ran and succeeded",
        hooks == ["install", "units-relation-created", "leader-elected", "config-changed", "start"],
        hooks,
    )?;
    says(stage, &unit, "blocked", "Please supply all OpenStack configurations.")
}

pub fn configure(stage: &mut Stage<'_>) -> Result<(), ShowError> {
    let unit = stage.unit()?;
    let app = stage.app()?;
    for (name, key, secret) in [
        ("openstack-password", "password", &stage.password),
        ("registry-token", "registry-token", &stage.token),
    ] {
        stage
            .screen
            .command(&format!("juju add-secret {name} {key}=... && juju grant-secret {name} {APPLICATION}"));
        stage.screen.output(&secret.uri());
        secret.grant(&app)?;
    }
    let mut options = stage.scene.options(&stage.password);
    options.push(("base-image", "nobel".into()));
    stage.configure(&options)?;
    says(stage, &unit, "blocked", "Invalid bases: (nobel)")?;

    let script = stage.scene.site.serve_script("setup.sh", SCRIPT);
    let mirror = stage.scene.site.serve_mirror("noble");
    stage.configure(&[
        ("base-image", "noble".into()),
        ("script-url", script),
        ("script-secret-id", stage.token.uri()),
        ("build-apt-mirror", mirror),
        ("build-interval", "1".into()),
        ("revision-history-limit", "2".into()),
    ])?;
    says(stage, &unit, "blocked", "image integration required.")
}

/// Checks what a unit's status says.
pub fn says(stage: &mut Stage<'_>, unit: &Unit, state: &str, beginning: &str) -> Result<(), ShowError> {
    let status = unit.status()?;
    let so = status.state == state && status.message.starts_with(beginning);
    stage.holds(&format!("{} is {state}: {beginning}", unit.name()), so, status.to_string())
}
