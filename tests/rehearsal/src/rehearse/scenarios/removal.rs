//! The end.

use std::path::Path;

use rehearsal::agent::processes_below;
use rehearsal::fixture::{APPLICATION, BUILD_PROJECT};

use crate::session::{Session, SessionError};

pub fn removal(session: &mut Session<'_>) -> Result<(), SessionError> {
    let app = session.app()?;
    let roots: Vec<_> = app.units().iter().map(|unit| session.root(unit)).collect();
    let images = |session: &Session<'_>| -> Vec<usize> {
        let project =
            |(name, _): &(&str, _)| session.fixture.cloud.project(&format!("{name}-project")).images().len();
        session.consumers.iter().map(project).collect()
    };
    let published = images(session);
    session.screen.command(&format!("juju remove-application {APPLICATION}"));
    let runs = app.remove()?;
    let names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
    session.screen.output(&names.join(", "));
    let failed: Vec<&str> = runs.iter().filter(|run| !run.succeeded()).map(|run| run.name.as_str()).collect();
    session.holds("every hook succeeded", failed.is_empty(), failed)?;

    session
        .screen
        .command("openstack --os-cloud builder server list; ... image list; ... security group list");
    let inventory = session.fixture.cloud.inventory();
    let left: Vec<&str> = inventory.lines().filter(|line| line.contains(BUILD_PROJECT)).collect();
    let nothing = left.is_empty();
    session.holds("nothing of ours is left in the build project", nothing, left)?;
    session.holds("the consumers keep their images", images(session) == published, images(session))?;
    for root in roots {
        let (files, processes) = (files_below(&root), processes_below(&root));
        let nothing = files.is_empty() && processes.is_empty();
        session.holds("nothing of ours is left on the machine", nothing, (files, processes))?;
    }
    Ok(())
}

fn files_below(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .flat_map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => files_below(&entry.path()),
            _ => vec![entry.path().display().to_string()],
        })
        .collect()
}
