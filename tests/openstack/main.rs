//! The charm on a real OpenStack: hooks in, images out, nothing left behind. `tests/openstack/run.sh` starts the cloud
//! and runs this inside its network namespace.
//!
//! One scenario, whose cases run in order, since a build takes minutes: each case is a promise with a name of its own.

#![allow(clippy::expect_used, clippy::panic, reason = "a test says what it expects")]

mod builders;
mod by_hand;
mod charm;
mod cloud;
mod credential;
#[path = "../scenario/deployed.rs"]
mod deployed;
mod guest;
mod machine;
mod networks;
mod runner;
#[path = "../scenario/mod.rs"]
mod scenario;
mod steps;
mod trace;

use std::time::Duration;

use charm::Charm;
use scenario::{Dice, Scenario, case};

#[test]
fn a_hook_in_an_image_out_and_nothing_left_behind() {
    let mut dice = Dice::new();
    let mut scenario = Scenario::begin(Charm::deploy());
    case("says what is missing before it is configured", || scenario.says_what_is_missing());
    case("asks for a relation when it is configured", || scenario.asks_for_a_relation());
    case("is to share where it can", || scenario.is_to_share());
    // The one build of its own: with an application credential, and without security groups.
    let without_port_security = networks::WithoutPortSecurity::begin();
    case("serves config-changed at once while it builds", || {
        let took = scenario.serves_config_while_building();
        // Two seconds are a hook's limit; the emulated machines of the cloud keep all processors busy.
        assert!(took < Duration::from_secs(9), "config-changed took {took:?}");
    });
    case("shares one image with every related project", || scenario.shares_with_every_project());
    drop(without_port_security);
    case("has used no security group where the network has none", || scenario.has_used_no_security_group());
    case("shows no secret in any process's arguments or environment", || scenario.no_secret_in_any_exec());
    let machine = case("lets a consumer launch a machine of it", || scenario.a_consumer_launches_a_machine());
    case("ends the membership of a relation that goes, and no other", || {
        scenario.ends_the_membership_of_one();
    });
    case("delivers a copy to every related project when it is told to", || {
        scenario.copies_when_it_is_told_to();
    });
    case("leaves no secret, key or setting in the image", || scenario.the_image_keeps_no_secret());
    case("does not build what is up to date", || scenario.does_nothing_twice());
    case("keeps the last image when the script fails", || scenario.keeps_the_last_image());
    // What failed would be tried again five minutes later, whatever is told by then.
    case("is content with it when the script is good again", || {
        scenario.is_content_with_the_good_script(&[]);
    });
    case("has given the consumer a machine that is complete and its own", || machine.was_complete());
    case("leaves nothing of a runner that the cloud has no room for", || {
        scenario.launches_no_runner_without_room();
    });
    case("launches a runner that knows what it is for, and removes it in time", || {
        scenario.launches_a_runner();
    });
    case("launches on a network of IPv6 alone, and takes no name that two networks have", || {
        scenario.launches_on_a_network_of_ipv6_alone_that_its_id_names();
    });
    case("leaves no builder VM and no security group", || scenario.no_leftovers());
    case("publishes no image that does not work", || scenario.refuses_an_image_without_its_runner());
    case("keeps one image that failed and nothing else of it", || scenario.no_leftovers());
    case("is content with the last image when the script is good again", || {
        scenario.is_content_with_the_good_script(&[]);
    });
    let steps = dice.two_steps();
    case("survives the death of its worker at two steps", || scenario.survives_two_kills(steps, &mut dice));
    case("prunes the oldest image after the third build and no other", || scenario.prunes_the_oldest());
    case("leaves published images and nothing else when it is removed", || scenario.is_removed());
}

#[test]
#[ignore = "a boot of minutes for each death: run.sh --ignored whatever_is_killed"]
fn whatever_is_killed_the_next_event_goes_on() {
    let mut dice = Dice::new();
    let mut scenario = Scenario::begin(Charm::deploy());
    case("asks for a relation when it is configured", || scenario.asks_for_a_relation());
    case("serves config-changed while it builds", || scenario.serves_config_while_building());
    // Each death in the installation costs a boot, which takes minutes.
    let installing = dice.three_of_the_installation();
    case("survives the death of its worker at each step", || {
        scenario.survives_a_kill_at_each_step(&installing, &mut dice);
    });
    // About as long as a build takes.
    let longest = Duration::from_secs(300);
    case("survives the death of its worker at ten random moments", || {
        scenario.survives_kills_at_random_moments(10, longest, &mut dice);
    });
    case("builds nothing when images are to be prepared", || scenario.prepares_images(true));
    case("prunes the oldest image after the third build and no other", || scenario.prunes_the_oldest());
    case("builds a changed script on the prepared image", || {
        scenario.builds_a_changed_script_on_the_prepared_image();
    });
    case("leaves published images and nothing else when it is removed", || scenario.is_removed());
}

#[test]
#[ignore = "a boot that is waited for in vain: run.sh --ignored does_not_boot"]
fn an_image_that_does_not_boot_is_never_published() {
    let mut scenario = Scenario::begin(Charm::deploy());
    case("asks for a relation when it is configured", || scenario.asks_for_a_relation());
    case("serves config-changed while it builds", || scenario.serves_config_while_building());
    case("delivers an active image to every related project", || scenario.delivers_to_every_project());
    case("publishes no image that does not boot", || scenario.refuses_an_image_that_does_not_boot());
    case("keeps one image that failed and nothing else of it", || scenario.no_leftovers());
    case("leaves published images and nothing else when it is removed", || scenario.is_removed());
}
