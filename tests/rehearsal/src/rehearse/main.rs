//! The rehearsal's show: the whole life of the charm, as an operator sees it, on an embedded Juju and OpenStack. It runs
//! the packaged charm, checks what it shows, and ends with an error that names the check which failed.

mod arguments;
mod chapters;
mod interrupt;
mod operator;
mod screen;
mod stage;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use rehearsal::scene::CHARM_VARIABLE;

use crate::arguments::{Arguments, HELP, Plan};
use crate::chapters::{CHAPTERS, Chapter};
use crate::screen::Screen;
use crate::stage::{ShowError, Stage, doing};

fn main() -> ExitCode {
    let plan = match Arguments::parse(std::env::args().skip(1)) {
        Ok(Arguments::Help) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Ok(Arguments::List) => {
            CHAPTERS.iter().for_each(|chapter| println!("{:<12} {}", chapter.name, chapter.title));
            return ExitCode::SUCCESS;
        }
        Ok(Arguments::Show(plan)) => plan,
        Err(problem) => {
            eprintln!("rehearsal: {problem}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    let screen = Screen::of_process();
    let started = Instant::now();
    match show(&screen, &plan) {
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

/// Plays the chapters of a plan, and returns how many checks passed.
fn show(screen: &Screen, plan: &Plan) -> Result<usize, ShowError> {
    interrupt::listen().map_err(doing("listening for Ctrl-C"))?;
    let mut stage = Stage::set(screen, &charm()?)?;
    for chapter in chapters_of(plan) {
        stage.begin(chapter);
        (chapter.play)(&mut stage)?;
    }
    if plan.keep {
        stage.keep()?;
    }
    Ok(stage.passed())
}

/// The chapter that is asked for after those that it needs; all of them when none is.
fn chapters_of(plan: &Plan) -> Vec<&'static Chapter> {
    let wanted = |chapter: &&Chapter| match plan.scenario {
        None => !(plan.keep && chapter.name == "removal"),
        Some(scenario) => chapter.name == scenario.name || scenario.needs.contains(&chapter.name),
    };
    CHAPTERS.iter().filter(wanted).collect()
}

/// The unpacked charm: what `make charm` made, unless the environment names another.
fn charm() -> Result<PathBuf, ShowError> {
    let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/charm");
    let charm = std::env::var_os(CHARM_VARIABLE).map_or(made, PathBuf::from);
    charm.canonicalize().map_err(|_| ShowError::NoCharm(charm))
}
