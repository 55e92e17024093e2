//! The first image: built, published, and looked into.

use rehearsal::recipe::{self, Evidence, STEPS};
use rehearsal::servers::{YQ, runner_tarball};

use crate::session::{Session, SessionError, doing};

/// The image's name in each project.
const IMAGE: &str = "image-builder-noble-x64";

pub fn build(session: &mut Session<'_>) -> Result<(), SessionError> {
    for consumer in ["upload", "upload2"] {
        session.integrate(consumer)?;
    }
    let unit = session.unit()?;
    // A build that has failed is tried again much later than anybody wants to wait here.
    let ended = |session: &Session<'_>| {
        let told = session.told_by(&unit).iter().all(Option::is_some);
        let failed = session.status_of(&unit).is_ok_and(|status| status.contains("failed: "));
        (told || failed).then_some(told)
    };
    let told = session.follow(&unit, "the build has ended", ended)?;
    session.follow_to_rest(&unit)?;
    session.holds("the image is built and published", told, session.status_of(&unit)?)?;
    for (name, relation) in session.consumers.clone() {
        session.show_databag(name, &relation)?;
        session.show_images(name);
    }
    every_consumer_has_its_image(session)?;
    the_image_is_complete(session)?;
    let log = std::fs::read_to_string(session.worker_log(&unit)).unwrap_or_default();
    let booted = log.contains("-verify-") && log.contains("starting the runner application");
    session.holds("a VM of the image was booted and looked at before it was delivered", booted, log)?;
    nothing_is_left(session)
}

/// Checks that each relation names an active image in its consumer's own project.
pub fn every_consumer_has_its_image(session: &mut Session<'_>) -> Result<(), SessionError> {
    for (name, relation) in session.consumers.clone() {
        let project = format!("{name}-project");
        let told = session.fixture.told(&relation, &session.leader()?, "id").unwrap_or_default();
        let images = session.fixture.cloud.project(&project).images();
        let image = images.iter().find(|image| image.id == *told);
        let so = image.is_some_and(|image| image.status == "active" && image.name.as_deref() == Some(IMAGE));
        session.holds(
            &format!("the image that {name}-runners is told is active in {project}"),
            so,
            (told, images),
        )?;
    }
    Ok(())
}

/// Checks that each step of the recipe left its mark in what was published, and says what it is.
fn the_image_is_complete(session: &mut Session<'_>) -> Result<(), SessionError> {
    let log = std::fs::read_to_string(session.worker_log(&session.leader()?)).unwrap_or_default();
    let known = |step: &&str| STEPS.iter().any(|check| check.step == *step);
    let unknown: Vec<&str> = recipe::steps_in(&log).filter(|step| !known(step)).collect();
    session.holds("this rehearsal has a check for each step of the recipe", unknown.is_empty(), unknown)?;
    let evidence = evidence(session)?;
    for check in &STEPS {
        session.check(check.step, (check.look)(&evidence))?;
    }
    Ok(())
}

/// The same in one line.
pub fn the_image_is_complete_again(session: &mut Session<'_>) -> Result<(), SessionError> {
    let evidence = evidence(session)?;
    for check in &STEPS {
        if let Err(problem) = (check.look)(&evidence) {
            session.check(check.step, Err(problem))?;
        }
    }
    session.check("each step of the recipe left its mark in it", Ok(format!("runner {}", session.runner)))
}

/// What is known of the image that the first consumer was told last.
fn evidence(session: &mut Session<'_>) -> Result<Evidence, SessionError> {
    let (name, relation) = session.consumers[0].clone();
    let id = session.fixture.told(&relation, &session.leader()?, "id").unwrap_or_default();
    let project = session.fixture.cloud.project(&format!("{name}-project"));
    let asked = session.fixture.site.log();
    let new = asked.iter().skip(session.asked_before);
    let evidence = Evidence {
        tree: project.image_tree(&id).map_err(doing("reading the image"))?,
        tarball: runner_tarball("x64", &session.runner).map_err(doing("making the runner's tarball"))?,
        tool: session.fixture.site.served(YQ).unwrap_or_default(),
        mirror_asked: new.into_iter().any(|entry| entry.url.ends_with("/dists/noble/InRelease")),
        script_mark: (
            "opt/script.ok".into(),
            format!("{}  -\n", recipe::digest(session.token_text.as_bytes())),
        ),
        secret: session.token_text.clone(),
    };
    session.asked_before = asked.len();
    Ok(evidence)
}

/// Checks that no builder VM, snapshot or security group stays behind.
pub fn nothing_is_left(session: &mut Session<'_>) -> Result<(), SessionError> {
    let left = session.fixture.leftovers();
    session.holds("no builder VM, snapshot or security group is left", left.is_empty(), left)
}
