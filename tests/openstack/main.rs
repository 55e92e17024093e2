//! The charm on a real OpenStack: hooks in, images out, nothing left behind. `tests/openstack/run.sh` starts the cloud
//! and runs this inside its network namespace.
//!
//! One story, told in order, since a build takes minutes: each chapter is a promise with a name of its own.

#![allow(clippy::expect_used, clippy::panic, reason = "a test says what it expects")]

mod builders;
mod by_hand;
#[path = "../chapters/mod.rs"]
mod chapters;
mod charm;
mod cloud;
#[path = "../chapters/deployed.rs"]
mod deployed;
mod guest;
mod machine;
mod runner;
mod story;
mod trace;

use std::time::Duration;

use chapters::{Dice, Story, chapter};
use charm::Charm;

#[test]
fn a_hook_in_an_image_out_and_nothing_left_behind() {
    let mut dice = Dice::new();
    let mut story = Story::begin(Charm::deploy());
    chapter("says what is missing before it is configured", || story.says_what_is_missing());
    chapter("asks for a relation when it is configured", || story.asks_for_a_relation());
    chapter("serves config-changed at once while it builds", || {
        let took = story.serves_config_while_building();
        // Two seconds are a hook's limit; the emulated machines of the cloud keep all processors busy.
        assert!(took < Duration::from_secs(9), "config-changed took {took:?}");
    });
    chapter("delivers an active image to every related project", || story.delivers_to_every_project());
    chapter("shows no secret in any process's arguments or environment", || story.no_secret_in_any_exec());
    let machine = chapter("lets a consumer launch a machine of it", || story.a_consumer_launches_a_machine());
    chapter("leaves no secret, key or setting in the image", || story.the_image_keeps_no_secret());
    chapter("does not build what is up to date", || story.does_nothing_twice());
    chapter("keeps the last image when the script fails", || story.keeps_the_last_image());
    // What failed would be tried again five minutes later, whatever is told by then.
    chapter("is content with it when the script is good again", || {
        story.is_content_with_the_good_script(&[]);
    });
    chapter("has given the consumer a machine that is complete and its own", || machine.was_complete());
    chapter("leaves nothing of a runner that the cloud has no room for", || {
        story.launches_no_runner_without_room();
    });
    chapter("launches a runner that knows what it is for, and removes it in time", || {
        story.launches_a_runner();
    });
    chapter("leaves no builder VM and no security group", || story.no_leftovers());
    chapter("publishes no image that does not work", || story.refuses_an_image_without_its_runner());
    chapter("keeps one image that failed and nothing else of it", || story.no_leftovers());
    chapter("is content with the last image when the script is good again", || {
        story.is_content_with_the_good_script(&[]);
    });
    let steps = dice.two_steps();
    chapter("survives the death of its worker at two steps", || story.survives_two_kills(steps, &mut dice));
    chapter("prunes the oldest image after the third build and no other", || story.prunes_the_oldest());
    chapter("leaves published images and nothing else when it is removed", || story.is_removed());
}

#[test]
#[ignore = "a boot of minutes for each death: run.sh --ignored whatever_is_killed"]
fn whatever_is_killed_the_next_event_goes_on() {
    let mut dice = Dice::new();
    let mut story = Story::begin(Charm::deploy());
    chapter("asks for a relation when it is configured", || story.asks_for_a_relation());
    chapter("serves config-changed while it builds", || story.serves_config_while_building());
    // Each death in the installation costs a boot, which takes minutes.
    let installing = dice.three_of_the_installation();
    chapter("survives the death of its worker at each step", || {
        story.survives_a_kill_at_each_step(&installing, &mut dice);
    });
    // About as long as a build takes.
    let longest = Duration::from_secs(300);
    chapter("survives the death of its worker at ten random moments", || {
        story.survives_kills_at_random_moments(10, longest, &mut dice);
    });
    chapter("leaves published images and nothing else when it is removed", || story.is_removed());
}

#[test]
#[ignore = "a boot that is waited for in vain: run.sh --ignored does_not_boot"]
fn an_image_that_does_not_boot_is_never_published() {
    let mut story = Story::begin(Charm::deploy());
    chapter("asks for a relation when it is configured", || story.asks_for_a_relation());
    chapter("serves config-changed while it builds", || story.serves_config_while_building());
    chapter("delivers an active image to every related project", || story.delivers_to_every_project());
    chapter("publishes no image that does not boot", || story.refuses_an_image_that_does_not_boot());
    chapter("keeps one image that failed and nothing else of it", || story.no_leftovers());
    chapter("leaves published images and nothing else when it is removed", || story.is_removed());
}
