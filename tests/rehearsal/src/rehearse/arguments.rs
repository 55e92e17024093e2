//! The command line.

use rehearsal::agent::JujuVersion;

use crate::scenarios::{SCENARIOS, Scenario};

pub const HELP: &str = "\
The whole life of the charm on an embedded Juju and OpenStack: no root, no cloud, nothing installed.

  make rehearse                            build the charm and show all of it
  cargo run -p rehearsal -- [OPTIONS]      the same with the charm that is in target/charm

  --scenario NAME   show one part, after those that it needs
  --list            list the parts
  --keep            leave it running at the end, for juju and your own openstack client; Ctrl-C ends it
  --empty           with --keep: play nothing, leave the model empty
  --juju VERSION    3.6 (unless said), 4.0 or 4: which Juju it is
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
pub struct Plan {
    /// Which Juju it is.
    pub juju: JujuVersion,
    /// The part; all of them when none is named.
    pub scenario: Option<&'static Scenario>,
    /// Whether it stays up at its end.
    pub keep: bool,
    /// Whether nothing is played before that.
    pub empty: bool,
}

impl Arguments {
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut plan = Plan { juju: JujuVersion::V3_6, scenario: None, keep: false, empty: false };
        while let Some(word) = words.next() {
            match word.as_str() {
                "--help" | "-h" => return Ok(Self::Help),
                "--list" => return Ok(Self::List),
                "--keep" => plan.keep = true,
                "--empty" => plan.empty = true,
                "--juju" => plan.juju = juju(&words.next().unwrap_or_default())?,
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

fn juju(version: &str) -> Result<JujuVersion, String> {
    match version {
        "3.6" => Ok(JujuVersion::V3_6),
        "4.0" => Ok(JujuVersion::V4_0),
        "4" => Ok(JujuVersion::V4),
        _ => Err("--juju takes one of: 3.6, 4.0, 4".into()),
    }
}

fn find(name: &str) -> Result<&'static Scenario, String> {
    let names = || SCENARIOS.iter().map(|scenario| scenario.name).collect::<Vec<_>>().join(", ");
    let found = SCENARIOS.iter().find(|scenario| scenario.name == name);
    found.ok_or_else(|| format!("--scenario takes one of: {}", names()))
}
