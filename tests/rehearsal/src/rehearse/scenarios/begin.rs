//! Deployment and configuration.

use rehearsal::agent::Unit;
use rehearsal::fixture::APPLICATION;

use crate::session::{Session, SessionError};

/// The external script: what it writes shows that it ran, and with which secret.
pub const SCRIPT: &str = "#!/bin/bash\nset -eu\nprintf %s \"$registry_token\" | sha256sum >/opt/script.ok\n";

pub fn deploy(session: &mut Session<'_>) -> Result<(), SessionError> {
    session.screen.command(&format!("juju deploy {} {APPLICATION}", session.charm.display()));
    let app = session.fixture.deploy(&session.charm)?;
    let unit = app.unit(0);
    session.deployed(app);
    session.show_statuses(&unit, 0)?;
    let hooks = unit.hooks();
    session.holds(
        "the unit's first hooks ran and succeeded",
        hooks == ["install", "units-relation-created", "leader-elected", "config-changed", "start"],
        hooks,
    )?;
    says(session, &unit, "blocked", "Please supply all OpenStack configurations.")
}

pub fn configure(session: &mut Session<'_>) -> Result<(), SessionError> {
    let unit = session.unit()?;
    let app = session.app()?;
    for (name, key, secret) in [
        ("openstack-password", "password", &session.password),
        ("registry-token", "registry-token", &session.token),
    ] {
        session
            .screen
            .command(&format!("juju add-secret {name} {key}=... && juju grant-secret {name} {APPLICATION}"));
        session.screen.output(&secret.uri());
        secret.grant(&app)?;
    }
    let mut options = session.fixture.options(&session.password);
    options.push(("base-image", "nobel".into()));
    session.configure(&options)?;
    says(session, &unit, "blocked", "Invalid bases: (nobel)")?;

    let script = session.fixture.site.serve_script("setup.sh", SCRIPT);
    let mirror = session.fixture.site.serve_mirror("noble");
    session.configure(&[
        ("base-image", "noble".into()),
        ("script-url", script),
        ("script-secret-id", session.token.uri()),
        ("build-apt-mirror", mirror),
        ("build-interval", "1".into()),
        ("revision-history-limit", "2".into()),
    ])?;
    says(session, &unit, "blocked", "image integration required.")
}

/// Checks what a unit's status says.
pub fn says(
    session: &mut Session<'_>,
    unit: &Unit,
    state: &str,
    beginning: &str,
) -> Result<(), SessionError> {
    let status = unit.status()?;
    let so = status.state == state && status.message.starts_with(beginning);
    session.holds(&format!("{} is {state}: {beginning}", unit.name()), so, status.to_string())
}
