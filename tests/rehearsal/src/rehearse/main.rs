//! The rehearsal: the whole life of the charm, as an operator sees it, on an embedded Juju and OpenStack. It runs
//! the packaged charm, checks what it shows, and ends with an error that names the check which failed.

mod arguments;
mod interrupt;
mod kept;
mod operator;
mod scenarios;
mod screen;
mod session;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use rehearsal::fixture::CHARM_VARIABLE;

use crate::arguments::{Arguments, HELP, Plan};
use crate::scenarios::{SCENARIOS, Scenario};
use crate::screen::Screen;
use crate::session::{Session, SessionError, doing};

fn main() -> ExitCode {
    let plan = match Arguments::parse(std::env::args().skip(1)) {
        Ok(Arguments::Help) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Ok(Arguments::List) => {
            SCENARIOS.iter().for_each(|scenario| println!("{:<12} {}", scenario.name, scenario.title));
            return ExitCode::SUCCESS;
        }
        Ok(Arguments::Run(plan)) => plan,
        Err(problem) => {
            eprintln!("rehearsal: {problem}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    let screen = Screen::of_process();
    let started = Instant::now();
    match rehearse(&screen, &plan) {
        Ok(checks) => {
            screen.good(&format!("{checks} checks passed in {} s.", started.elapsed().as_secs()));
            ExitCode::SUCCESS
        }
        Err(error) => {
            screen.bad(&format!("FAILED: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Plays the scenarios of a plan, and returns how many checks passed.
fn rehearse(screen: &Screen, plan: &Plan) -> Result<usize, SessionError> {
    interrupt::listen().map_err(doing("listening for Ctrl-C"))?;
    let mut session = Session::set(screen, plan.juju, &charm()?)?;
    for scenario in scenarios_of(plan) {
        session.begin(scenario);
        (scenario.play)(&mut session)?;
    }
    if plan.keep {
        session.keep(plan.empty)?;
    }
    Ok(session.passed())
}

/// The scenario that is asked for after those that it needs; all of them when none is.
fn scenarios_of(plan: &Plan) -> Vec<&'static Scenario> {
    let wanted = |scenario: &&Scenario| match plan.scenario {
        _ if plan.empty => false,
        None => !(plan.keep && scenario.name == "removal"),
        Some(asked) => scenario.name == asked.name || asked.needs.contains(&scenario.name),
    };
    SCENARIOS.iter().filter(wanted).collect()
}

/// The unpacked charm: what `make charm` made, unless the environment names another.
fn charm() -> Result<PathBuf, SessionError> {
    let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/charm");
    let charm = std::env::var_os(CHARM_VARIABLE).map_or(made, PathBuf::from);
    charm.canonicalize().map_err(|_| SessionError::NoCharm(charm))
}
