//! Several relations that lead to one project, which is the build project at that.

use rehearsal::agent::Relation;

use crate::scene::{Deployed, Scene};

const PROJECT: &str = "builder-project";

/// Integrates with a consumer that wants its images in the build project.
fn integrate(scene: &Scene, name: &str, user: &str, password: &str) -> Relation {
    let data = [
        ("auth_url", scene.cloud.auth_url()),
        ("username", user.to_owned()),
        ("password", password.to_owned()),
        ("user_domain_name", "Default".to_owned()),
        ("project_name", PROJECT.to_owned()),
        ("project_domain_name", "Default".to_owned()),
    ];
    let data = data.each_ref().map(|(key, value)| (*key, value.as_str()));
    scene.app.integrate("image", name, &[&data]).unwrap()
}

fn published(scene: &Scene) -> usize {
    scene.images_of_stage(PROJECT, "published").len()
}

#[test]
fn relations_of_one_project_share_its_images_and_who_cannot_authenticate_changes_nothing() {
    let scene = Scene::set(&[("revision-history-limit", "2"), ("verify-image", "false")]);
    // The operator's own user, by a relation that does not know the password.
    let guess = integrate(&scene, "first", "builder-user", "a guess");
    let [second, third] = [("second", "builder-user"), ("third", "admin")].map(|(name, user)| {
        let password = user.replace("-user", "") + "-password";
        integrate(&scene, name, user, &password)
    });
    let failures = scene.job_ended().failures;
    let whose: Vec<String> =
        failures.iter().map(|failure| failure.cloud.as_ref().unwrap().to_string()).collect();
    assert_eq!(whose, [format!("{PROJECT} ({})", guess.id().unwrap())], "{failures:?}");
    assert_eq!(scene.told(&guess, "id"), None);
    let id = scene.told(&second, "id");
    assert!(id.is_some() && id == scene.told(&third, "id"));
    assert_eq!(published(&scene), 1);

    for _ in 0..2 {
        scene.build_again();
    }
    let newest = scene.told(&second, "id");
    assert!(newest.is_some() && newest != id && newest == scene.told(&third, "id"));
    assert_eq!(published(&scene), 2, "one more was pruned, by one pruner");

    assert!(second.remove().unwrap().iter().all(|run| run.succeeded()));
    scene.job_ended();
    assert_eq!(scene.told(&third, "id"), newest);
}
