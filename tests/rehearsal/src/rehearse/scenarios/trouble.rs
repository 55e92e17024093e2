//! What goes wrong, and how it is got over.

use rehearsal::scene::BUILD_PROJECT;
use serde_json::json;

use super::begin::says;
use super::build::nothing_is_left;
use super::later::the_consumers_have_another;
use crate::stage::{ShowError, Stage};

pub fn recovery(stage: &mut Stage<'_>) -> Result<(), ShowError> {
    let unit = stage.leader()?;
    let told = stage.told_by(&unit);
    stage.run_action(json!({"force": true}))?;
    let log = stage.worker_log(&unit);
    let before = std::fs::read_to_string(&log).unwrap_or_default().len();
    stage.follow(&unit, "a builder VM that is being set up", |_| {
        let text = std::fs::read_to_string(&log).ok()?;
        text.get(before..)?.contains("installing packages, ").then_some(())
    })?;
    let builders = stage.scene.cloud.project(BUILD_PROJECT).servers();
    for builder in &builders {
        stage.screen.say(&format!("The host under {} dies.", builder.name));
        stage.scene.cloud.project(BUILD_PROJECT).crash_server(&builder.id);
    }
    stage.follow_to_rest(&unit)?;
    stage.holds(
        "the unit stays active and says what failed",
        stage.status_of(&unit)?.contains("Build failed: noble-x64: "),
        stage.status_of(&unit)?,
    )?;
    stage.holds("the consumers keep their images", stage.told_by(&unit) == told, stage.told_by(&unit))?;
    nothing_is_left(stage)?;
    stage.build_now()?;
    the_consumers_have_another(stage, &told)?;
    says(stage, &unit, "active", "noble-x64 ")
}

pub fn second_unit(stage: &mut Stage<'_>) -> Result<(), ShowError> {
    let app = stage.app()?;
    let first = stage.leader()?;
    stage.screen.command("juju add-unit image-builder");
    let second = app.add_unit(&stage.charm)?;
    stage.show_statuses(&second, 0)?;
    let (told, builds) = (stage.told_by(&first), stage.builds());
    let same = |stage: &Stage<'_>| (stage.told_by(&second) == told).then_some(());
    stage.follow(&second, "it tells the consumers what the leader does", same)?;
    stage.follow_to_rest(&second)?;

    says(stage, &second, "active", "noble-x64 ")?;
    stage.screen.say("Juju makes it the leader.");
    app.set_leader(1)?;
    stage.follow_to_rest(&second)?;
    stage.status()?;
    for (name, relation) in stage.consumers.clone() {
        stage.show_databag(name, &relation)?;
    }
    stage.holds(
        "it tells the same, and has built nothing",
        stage.told_by(&second) == told && stage.builds() == builds,
        stage.told_by(&second),
    )?;
    stage.screen.say("The other unit hears of it at its next hook.");
    first.update_status()?;
    let status = stage.status_of(&first)?;
    stage.holds("and stands by", status.ends_with("Standing by; the leader builds."), status)
}
