//! What keeps the image fresh: the schedule, the operator, a secret that rotates.

use rehearsal::fixture::APPLICATION;

use super::build::{every_consumer_has_its_image, nothing_is_left, the_image_is_complete_again};
use crate::session::{Session, SessionError, doing};

pub fn cron(session: &mut Session<'_>) -> Result<(), SessionError> {
    let unit = session.leader()?;
    let (told, builds) = (session.told_by(&unit), session.builds());
    session.cron()?;
    session.holds(
        "nothing has changed, so nothing was built",
        session.builds() == builds,
        session.builds(),
    )?;
    session.holds(
        "and the consumers keep their images",
        session.told_by(&unit) == told,
        session.told_by(&unit),
    )?;

    session.runner = "2.338.0".into();
    session.screen.say(&format!("GitHub releases runner {}.", session.runner));
    let versions = ["2.337.1".into(), session.runner.clone()];
    session.fixture.site.publish_runners(versions.into()).map_err(doing("publishing a runner"))?;
    session.cron()?;
    session.holds("one image was built", session.builds() == builds + 1, session.builds())?;
    the_consumers_have_another(session, &told)
}

pub fn action(session: &mut Session<'_>) -> Result<(), SessionError> {
    let told = session.told_by(&session.leader()?);
    session.build_now()?;
    the_consumers_have_another(session, &told)?;
    for (name, _) in session.consumers.clone() {
        session.show_images(name);
        let kept = session.fixture.cloud.project(&format!("{name}-project")).images().len();
        session.holds(&format!("{name}-project keeps two revisions at most"), kept <= 2, kept)?;
    }
    Ok(())
}

pub fn secret(session: &mut Session<'_>) -> Result<(), SessionError> {
    let unit = session.leader()?;
    let told = session.told_by(&unit);
    session.screen.command(&format!(
        "juju update-secret registry-token registry-token=...  # which {APPLICATION} may read"
    ));
    session.token_text = "second-token-of-the-registry".into();
    session.token.update(&[("registry-token", &session.token_text)])?;
    session.follow_to_rest(&unit)?;
    the_consumers_have_another(session, &told)
}

/// Checks that every consumer has been told a new image, and that it is as it should be.
pub fn the_consumers_have_another(
    session: &mut Session<'_>,
    before: &[Option<String>],
) -> Result<(), SessionError> {
    let now = session.told_by(&session.leader()?);
    let renewed = now.iter().zip(before).all(|(now, before)| now != before);
    session.holds("every consumer is told a new image", renewed, now)?;
    every_consumer_has_its_image(session)?;
    the_image_is_complete_again(session)?;
    nothing_is_left(session)
}
