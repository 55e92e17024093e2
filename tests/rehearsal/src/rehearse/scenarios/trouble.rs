//! What goes wrong, and how it is got over.

use rehearsal::fixture::BUILD_PROJECT;
use serde_json::json;

use super::begin::says;
use super::build::nothing_is_left;
use super::later::the_consumers_have_another;
use crate::session::{Session, SessionError};

pub fn recovery(session: &mut Session<'_>) -> Result<(), SessionError> {
    let unit = session.leader()?;
    let told = session.told_by(&unit);
    session.run_action(json!({"force": true}))?;
    let log = session.worker_log(&unit);
    let before = std::fs::read_to_string(&log).unwrap_or_default().len();
    session.follow(&unit, "a builder VM that is being set up", |_| {
        let text = std::fs::read_to_string(&log).ok()?;
        text.get(before..)?.contains("installing packages, ").then_some(())
    })?;
    let builders = session.fixture.cloud.project(BUILD_PROJECT).servers();
    for builder in &builders {
        session.screen.say(&format!("The host under {} dies.", builder.name));
        session.fixture.cloud.project(BUILD_PROJECT).crash_server(&builder.id);
    }
    session.follow_to_rest(&unit)?;
    session.holds(
        "the unit stays active and says what failed",
        session.status_of(&unit)?.contains("; build failed: "),
        session.status_of(&unit)?,
    )?;
    session.holds(
        "the consumers keep their images",
        session.told_by(&unit) == told,
        session.told_by(&unit),
    )?;
    nothing_is_left(session)?;
    session.build_now()?;
    the_consumers_have_another(session, &told)?;
    says(session, &unit, "active", "noble-x64 ")
}

pub fn second_unit(session: &mut Session<'_>) -> Result<(), SessionError> {
    let app = session.app()?;
    let first = session.leader()?;
    session.screen.command("juju add-unit image-builder");
    let second = app.add_unit(&session.charm)?;
    session.show_statuses(&second, 0)?;
    let (told, builds) = (session.told_by(&first), session.builds());
    let same = |session: &Session<'_>| (session.told_by(&second) == told).then_some(());
    session.follow(&second, "it tells the consumers what the leader does", same)?;
    session.follow_to_rest(&second)?;

    says(session, &second, "active", "Standby: noble-x64 ")?;
    session.screen.say("Juju makes it the leader.");
    app.set_leader(1)?;
    session.follow_to_rest(&second)?;
    session.status()?;
    for (name, relation) in session.consumers.clone() {
        session.show_databag(name, &relation)?;
    }
    session.holds(
        "it tells the same, and has built nothing",
        session.told_by(&second) == told && session.builds() == builds,
        session.told_by(&second),
    )?;
    session.screen.say("The other unit hears of it at its next hook.");
    first.update_status()?;
    let status = session.status_of(&first)?;
    session.holds("and is a standby", status.starts_with("active: Standby: "), status)
}
