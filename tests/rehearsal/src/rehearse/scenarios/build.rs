//! The first image: built, published, and looked into.

use rehearsal::recipe::{self, Evidence, STEPS};
use rehearsal::servers::{YQ, runner_tarball};

use crate::stage::{ShowError, Stage, doing};

/// The image's name in each project.
const IMAGE: &str = "image-builder-noble-x64";

pub fn build(stage: &mut Stage<'_>) -> Result<(), ShowError> {
    for consumer in ["upload", "upload2"] {
        stage.integrate(consumer)?;
    }
    let unit = stage.unit()?;
    // A build that has failed is tried again much later than anybody wants to wait here.
    let ended = |stage: &Stage<'_>| {
        let told = stage.told_by(&unit).iter().all(Option::is_some);
        let failed = stage.status_of(&unit).is_ok_and(|status| status.contains("Build failed: "));
        (told || failed).then_some(told)
    };
    let told = stage.follow(&unit, "the build has ended", ended)?;
    stage.follow_to_rest(&unit)?;
    stage.holds("the image is built and published", told, stage.status_of(&unit)?)?;
    for (name, relation) in stage.consumers.clone() {
        stage.show_databag(name, &relation)?;
        stage.show_images(name);
    }
    every_consumer_has_its_image(stage)?;
    the_image_is_complete(stage)?;
    let log = std::fs::read_to_string(stage.worker_log(&unit)).unwrap_or_default();
    let booted = log.contains("-verify-") && log.contains("starting the runner application");
    stage.holds("a VM of the image was booted and looked at before it was delivered", booted, log)?;
    nothing_is_left(stage)
}

/// Checks that each relation names an active image in its consumer's own project.
pub fn every_consumer_has_its_image(stage: &mut Stage<'_>) -> Result<(), ShowError> {
    for (name, relation) in stage.consumers.clone() {
        let project = format!("{name}-project");
        let told = stage.scene.told(&relation, &stage.leader()?, "id").unwrap_or_default();
        let images = stage.scene.cloud.project(&project).images();
        let image = images.iter().find(|image| image.id == *told);
        let so = image.is_some_and(|image| image.status == "active" && image.name.as_deref() == Some(IMAGE));
        stage.holds(
            &format!("the image that {name}-runners is told is active in {project}"),
            so,
            (told, images),
        )?;
    }
    Ok(())
}

/// Checks that each step of the recipe left its mark in what was published, and says what it is.
fn the_image_is_complete(stage: &mut Stage<'_>) -> Result<(), ShowError> {
    let log = std::fs::read_to_string(stage.worker_log(&stage.leader()?)).unwrap_or_default();
    let known = |step: &&str| STEPS.iter().any(|check| check.step == *step);
    let unknown: Vec<&str> = recipe::steps_in(&log).filter(|step| !known(step)).collect();
    stage.holds("this show has a check for each step of the recipe", unknown.is_empty(), unknown)?;
    let evidence = evidence(stage)?;
    for check in &STEPS {
        stage.check(check.step, (check.look)(&evidence))?;
    }
    Ok(())
}

/// The same in one line.
pub fn the_image_is_complete_again(stage: &mut Stage<'_>) -> Result<(), ShowError> {
    let evidence = evidence(stage)?;
    for check in &STEPS {
        if let Err(problem) = (check.look)(&evidence) {
            stage.check(check.step, Err(problem))?;
        }
    }
    stage.check("each step of the recipe left its mark in it", Ok(format!("runner {}", stage.runner)))
}

/// What is known of the image that the first consumer was told last.
fn evidence(stage: &mut Stage<'_>) -> Result<Evidence, ShowError> {
    let (name, relation) = stage.consumers[0].clone();
    let id = stage.scene.told(&relation, &stage.leader()?, "id").unwrap_or_default();
    let project = stage.scene.cloud.project(&format!("{name}-project"));
    let asked = stage.scene.site.log();
    let new = asked.iter().skip(stage.asked_before);
    let evidence = Evidence {
        tree: project.image_tree(&id).map_err(doing("reading the image"))?,
        tarball: runner_tarball("x64", &stage.runner).map_err(doing("making the runner's tarball"))?,
        tool: stage.scene.site.served(YQ).unwrap_or_default(),
        mirror_asked: new.into_iter().any(|entry| entry.url.ends_with("/dists/noble/InRelease")),
        script_mark: (
            "opt/script.ok".into(),
            format!("{}  -\n", recipe::digest(stage.token_text.as_bytes())),
        ),
        secret: stage.token_text.clone(),
    };
    stage.asked_before = asked.len();
    Ok(evidence)
}

/// Checks that no builder VM, snapshot or security group stays behind.
pub fn nothing_is_left(stage: &mut Stage<'_>) -> Result<(), ShowError> {
    let left = stage.scene.leftovers();
    stage.holds("no builder VM, snapshot or security group is left", left.is_empty(), left)
}
