//! What keeps the image fresh: the schedule, the operator, a secret that rotates.

use rehearsal::scene::APPLICATION;

use super::build::{every_consumer_has_its_image, nothing_is_left, the_image_is_complete_again};
use crate::stage::{ShowError, Stage, doing};

pub fn cron(stage: &mut Stage<'_>) -> Result<(), ShowError> {
    let unit = stage.leader()?;
    let (told, builds) = (stage.told_by(&unit), stage.builds());
    stage.cron()?;
    stage.holds("nothing has changed, so nothing was built", stage.builds() == builds, stage.builds())?;
    stage.holds("and the consumers keep their images", stage.told_by(&unit) == told, stage.told_by(&unit))?;

    stage.runner = "2.338.0".into();
    stage.screen.say(&format!("GitHub releases runner {}.", stage.runner));
    let versions = ["2.337.1".into(), stage.runner.clone()];
    stage.scene.site.publish_runners(versions.into()).map_err(doing("publishing a runner"))?;
    stage.cron()?;
    stage.holds("one image was built", stage.builds() == builds + 1, stage.builds())?;
    the_consumers_have_another(stage, &told)
}

pub fn action(stage: &mut Stage<'_>) -> Result<(), ShowError> {
    let told = stage.told_by(&stage.leader()?);
    stage.build_now()?;
    the_consumers_have_another(stage, &told)?;
    for (name, _) in stage.consumers.clone() {
        stage.show_images(name);
        let kept = stage.scene.cloud.project(&format!("{name}-project")).images().len();
        stage.holds(&format!("{name}-project keeps two revisions at most"), kept <= 2, kept)?;
    }
    Ok(())
}

pub fn secret(stage: &mut Stage<'_>) -> Result<(), ShowError> {
    let unit = stage.leader()?;
    let told = stage.told_by(&unit);
    stage.screen.command(&format!(
        "juju update-secret registry-token registry-token=...  # which {APPLICATION} may read"
    ));
    stage.token_text = "second-token-of-the-registry".into();
    stage.token.update(&[("registry-token", &stage.token_text)])?;
    stage.follow_to_rest(&unit)?;
    the_consumers_have_another(stage, &told)
}

/// Checks that every consumer has been told a new image, and that it is as it should be.
pub fn the_consumers_have_another(stage: &mut Stage<'_>, before: &[Option<String>]) -> Result<(), ShowError> {
    let now = stage.told_by(&stage.leader()?);
    let renewed = now.iter().zip(before).all(|(now, before)| now != before);
    stage.holds("every consumer is told a new image", renewed, now)?;
    every_consumer_has_its_image(stage)?;
    the_image_is_complete_again(stage)?;
    nothing_is_left(stage)
}
