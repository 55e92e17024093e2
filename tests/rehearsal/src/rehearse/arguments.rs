//! The command line.

use crate::scenarios::{SCENARIOS, Scenario};

pub const HELP: &str = "\
The whole life of the charm on an embedded Juju and OpenStack: no root, no cloud, nothing installed.

  make rehearse                            build the charm and show all of it
  cargo run -p rehearsal -- [OPTIONS]      the same with the charm that is in target/charm

  --scenario NAME   show one part, after those that it needs
  --list            list the parts
  --keep            leave it running at the end, for juju and your own openstack client; Ctrl-C ends it
  --empty           with --keep: play nothing, leave the model empty
  --help            show this

Colours are used on a terminal, unless NO_COLOR is set. RUNNER_IMAGE_BUILDER_CHARM names another unpacked charm.
";

/// What is asked for.
pub enum Arguments {
    Help,
    List,
    Run(Plan),
}

/// Which scenarios are asked for.
#[derive(Default)]
pub struct Plan {
    /// The part; all of them when none is named.
    pub scenario: Option<&'static Scenario>,
    /// Whether it stays up at its end.
    pub keep: bool,
    /// Whether nothing is played before that.
    pub empty: bool,
}

impl Arguments {
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut plan = Plan::default();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--help" | "-h" => return Ok(Self::Help),
                "--list" => return Ok(Self::List),
                "--keep" => plan.keep = true,
                "--empty" => plan.empty = true,
                "--scenario" => plan.scenario = Some(find(&words.next().unwrap_or_default())?),
                other => match other.strip_prefix("--scenario=") {
                    Some(name) => plan.scenario = Some(find(name)?),
                    None => return Err(format!("unknown argument {other:?}")),
                },
            }
        }
        match plan.empty && !plan.keep {
            true => Err("--empty needs --keep".into()),
            false => Ok(Self::Run(plan)),
        }
    }
}

fn find(name: &str) -> Result<&'static Scenario, String> {
    let names = || SCENARIOS.iter().map(|scenario| scenario.name).collect::<Vec<_>>().join(", ");
    let found = SCENARIOS.iter().find(|scenario| scenario.name == name);
    found.ok_or_else(|| format!("--scenario takes one of: {}", names()))
}
