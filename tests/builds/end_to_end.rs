//! The scenario of every cloud, on the embedded one.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use rehearsal::agent::Relation;

use crate::fixture::{Deployed, Fixture};
use crate::scenario::{BUILD_PROJECT, Dice, Environment, Image, Scenario, case, scripts};

impl Environment for Fixture {
    fn options(&self) -> Vec<(&'static str, String)> {
        self.needed()
    }

    fn script_secret(&self) -> String {
        self.script_secret.uri()
    }

    fn integrate(&self, name: &str) -> Relation {
        self.integrate(name)
    }

    fn serve_script(&self, name: &str) -> String {
        self.site.serve_script(name, &fs::read_to_string(scripts().join(name)).unwrap())
    }

    fn inventory(&self, project: &str) -> BTreeSet<String> {
        let project = self.cloud.project(project);
        let servers =
            project.servers().into_iter().map(|server| format!("server {} {}", server.id, server.name));
        let images = project.images().into_iter().map(|image| {
            let hidden = if image.hidden { " hidden" } else { "" };
            let name = image.name.unwrap_or_default();
            format!("image {} {name} {} {} own{hidden}", image.id, image.status, image.visibility)
        });
        let is_listed = |image: &rehearsal::cloud::Image| {
            let is_accepted = |member: &rehearsal::cloud::Member| {
                member.project == project.id() && member.status == "accepted"
            };
            !image.hidden && image.members.iter().any(is_accepted)
        };
        let shared = project.shared_images().into_iter().filter(is_listed).map(|image| {
            let name = image.name.unwrap_or_default();
            format!("image {} {name} {} shared other", image.id, image.status)
        });
        let groups = project.security_groups().into_iter();
        let groups = groups.map(|group| format!("security-group {} {}", group.id, group.name));
        let ports = project.ports().into_iter().map(|port| format!("port {}", port.id));
        servers.chain(images).chain(shared).chain(groups).chain(ports).collect()
    }

    fn image(&self, project: &str, id: &str) -> Option<Image> {
        let project = self.cloud.project(project);
        let mut images = project.images().into_iter().chain(project.shared_images());
        let image = images.find(|image| image.id == id)?;
        let properties = image.properties.into_iter().collect();
        Some(Image { name: image.name.unwrap_or_default(), status: image.status, properties })
    }

    fn add_image(&self, project: &str, name: &str) -> String {
        self.cloud.project(project).add_image(name, b"somebody else's", &[]).unwrap().id
    }

    /// It goes with the cloud.
    fn remove_image(&self, _project: &str, _id: &str) {}

    /// An image's bytes are all of its disk.
    fn find_in_image(&self, project: &str, id: &str, texts: &[String], _anywhere: bool) -> Option<String> {
        let bytes = self.cloud.project(project).image_bytes(id).unwrap();
        assert!(!bytes.is_empty());
        let is_there = |text: &&String| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        texts.iter().find(is_there).cloned()
    }

    fn surroundings(&self) -> Vec<String> {
        vec![self.cloud.auth_url()]
    }
}

/// In the worker's log and in the journal. No phase came where it cannot come.
fn tells_how_long_it_took(fixture: &Fixture) {
    let log = fs::read_to_string(fixture.host(&fixture.unit()).log_dir().join("worker.log")).unwrap();
    let done = log.lines().find(|line| line.contains(": noble-x64: done after ")).expect("a build is done");
    let mut rest = done;
    for part in ["checking", "preparing", "launching", "snapshotting", "verifying", "delivering"] {
        let at = rest.find(&format!(" {part} ")).unwrap_or_else(|| panic!("{part} in {done}"));
        rest = &rest[at..];
    }
    assert!(!log.contains(" cannot go from "), "{log}");
    let job = fixture.journal().job.unwrap();
    assert!(job.builds.iter().all(|build| !build.took.is_empty()), "{job:?}");
}

#[test]
fn a_hook_in_an_image_out_and_nothing_left_behind() {
    let mut scenario = Scenario::begin(Fixture::deployed(1));
    case("says what is missing before it is configured", || scenario.says_what_is_missing());
    case("asks for a relation when it is configured", || scenario.asks_for_a_relation());
    case("is to share where it can", || scenario.is_to_share());
    case("serves config-changed while it builds", || scenario.serves_config_while_building());
    case("shares one image with every related project", || scenario.shares_with_every_project());
    case("ends the membership of a relation that goes, and no other", || {
        scenario.ends_the_membership_of_one();
    });
    case("delivers a copy to every related project when it is told to", || {
        scenario.copies_when_it_is_told_to();
    });
    case("leaves no secret, key or setting in the image", || scenario.the_image_keeps_no_secret());
    case("does not build what is up to date", || scenario.does_nothing_twice());
    case("keeps the last image when the script fails", || scenario.keeps_the_last_image());
    case("leaves no builder VM and no security group", || scenario.no_leftovers());
    case("publishes no image that does not work", || scenario.refuses_an_image_without_its_runner());
    case("keeps one image that failed and nothing else of it", || scenario.no_leftovers());
    case("is content with the last image when the script is good again", || {
        scenario.is_content_with_the_good_script(&[]);
    });
    case("survives the death of its worker at two steps", || {
        scenario.survives_two_kills([4, 2], &mut Dice::new())
    });
    case("builds nothing when images are to be prepared", || scenario.prepares_images(true));
    case("prunes the oldest image after the third build and no other", || scenario.prunes_the_oldest());
    case("builds a changed script on the prepared image", || {
        scenario.builds_a_changed_script_on_the_prepared_image();
    });
    case("tells how long each phase of a build took", || tells_how_long_it_took(&scenario.environment));
    case("leaves published images and nothing else when it is removed", || scenario.is_removed());
    let left = scenario.environment.leftovers();
    assert_eq!(left, [] as [String; 0], "in {BUILD_PROJECT}");
}

#[test]
#[ignore = "two minutes: cargo test --test builds -- --ignored whatever_is_killed"]
fn whatever_is_killed_the_next_event_goes_on() {
    let mut dice = Dice::new();
    let mut scenario = Scenario::begin(Fixture::deployed(1));
    case("asks for a relation when it is configured", || scenario.asks_for_a_relation());
    case("serves config-changed while it builds", || scenario.serves_config_while_building());
    let installing: Vec<usize> = (1..=14).collect();
    case("survives the death of its worker at each step", || {
        scenario.survives_a_kill_at_each_step(&installing, &mut dice);
    });
    // About as long as a build takes.
    let longest = Duration::from_secs(8);
    case("survives the death of its worker at ten random moments", || {
        scenario.survives_kills_at_random_moments(10, longest, &mut dice);
    });
    case("leaves published images and nothing else when it is removed", || scenario.is_removed());
}
