//! Several relations that lead to one project, which is the build project at that.

use rehearsal::agent::Relation;

use crate::fixture::{Deployed, Fixture};

const PROJECT: &str = "builder-project";

/// Integrates with a consumer that wants its images in the build project.
fn integrate(fixture: &Fixture, name: &str, user: &str, password: &str) -> Relation {
    let data = [
        ("auth_url", fixture.cloud.auth_url()),
        ("username", user.to_owned()),
        ("password", password.to_owned()),
        ("user_domain_name", "Default".to_owned()),
        ("project_name", PROJECT.to_owned()),
        ("project_domain_name", "Default".to_owned()),
    ];
    let data = data.each_ref().map(|(key, value)| (*key, value.as_str()));
    fixture.app.integrate("image", name, &[&data]).unwrap()
}

fn published(fixture: &Fixture) -> usize {
    fixture.images_of_stage(PROJECT, "published").len()
}

#[test]
fn relations_of_one_project_share_its_images_and_who_cannot_authenticate_changes_nothing() {
    let fixture = Fixture::set(&[("revision-history-limit", "2"), ("verify-image", "false")]);
    // The operator's own user, by a relation that does not know the password.
    let guess = integrate(&fixture, "first", "builder-user", "a guess");
    let [second, third] = [("second", "builder-user"), ("third", "admin")].map(|(name, user)| {
        let password = user.replace("-user", "") + "-password";
        integrate(&fixture, name, user, &password)
    });
    let failures = fixture.job_ended().failures;
    let whose: Vec<String> =
        failures.iter().map(|failure| failure.cloud.as_ref().unwrap().to_string()).collect();
    assert_eq!(whose, [format!("{PROJECT} ({})", guess.id().unwrap())], "{failures:?}");
    assert_eq!(fixture.told(&guess, "id"), None);
    let id = fixture.told(&second, "id");
    assert!(id.is_some() && id == fixture.told(&third, "id"));
    assert_eq!(published(&fixture), 1);
    // Counted once, however many relations name it.
    let images = fixture.cloud.project(PROJECT).images();
    let size = images.iter().find(|image| Some(&image.id) == id.as_ref());
    let size = size.and_then(|image| image.size).unwrap();
    let metrics = fixture.unit().exec("./dispatch metrics").unwrap().stdout;
    let bytes = format!("\nrunner_image_builder_delivered_bytes_total{{target=\"noble-x64\"}} {size}\n");
    assert!(metrics.contains(&bytes), "{bytes} in {metrics}");
    let delivered = "results_total{target=\"noble-x64\",cloud=\"builder-project.image-";
    let results: Vec<&str> = metrics.lines().filter(|line| line.contains(delivered)).collect();
    assert_eq!(results.iter().filter(|line| line.contains("reason=\"\"")).count(), 1, "{results:?}");

    for _ in 0..2 {
        fixture.build_again();
    }
    let newest = fixture.told(&second, "id");
    assert!(newest.is_some() && newest != id && newest == fixture.told(&third, "id"));
    assert_eq!(published(&fixture), 2, "one more was pruned, by one pruner");

    assert!(second.remove().unwrap().iter().all(|run| run.succeeded()));
    fixture.job_ended();
    assert_eq!(fixture.told(&third, "id"), newest);
}
