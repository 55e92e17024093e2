//! The scenarios, in the order of a unit's life.

mod begin;
mod build;
mod later;
mod removal;
mod trouble;

pub use begin::SCRIPT;

use crate::session::{Session, SessionError};

/// A part of the rehearsal.
pub struct Scenario {
    /// For `--scenario`.
    pub name: &'static str,
    /// What happens in it.
    pub title: &'static str,
    /// What must have happened before.
    pub needs: &'static [&'static str],
    /// Plays it.
    pub play: fn(&mut Session<'_>) -> Result<(), SessionError>,
}

/// All of them.
pub const SCENARIOS: [Scenario; 9] = [
    Scenario { name: "deploy", title: "The charm is deployed", needs: &[], play: begin::deploy },
    Scenario {
        name: "configure",
        title: "The operator configures it, with a mistake at first",
        needs: &["deploy"],
        play: begin::configure,
    },
    Scenario {
        name: "build",
        title: "Two consumers are integrated; the image is built and published",
        needs: &["deploy", "configure"],
        play: build::build,
    },
    Scenario { name: "cron", title: "Cron looks for work, twice", needs: BUILT, play: later::cron },
    Scenario { name: "action", title: "The operator wants an image now", needs: BUILT, play: later::action },
    Scenario { name: "secret", title: "The script's secret rotates", needs: BUILT, play: later::secret },
    Scenario {
        name: "recovery",
        title: "A builder VM dies in the middle of a build",
        needs: BUILT,
        play: trouble::recovery,
    },
    Scenario {
        name: "second-unit",
        title: "A second unit takes over",
        needs: BUILT,
        play: trouble::second_unit,
    },
    Scenario { name: "removal", title: "The charm is removed", needs: BUILT, play: removal::removal },
];

/// What comes before everything that needs an image.
const BUILT: &[&str] = &["deploy", "configure", "build"];
