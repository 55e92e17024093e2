//! The command line of `juju-exec`: which unit, in which relation, what.

use std::path::Path;

use super::record::ExecResult;
use super::tools::Fault;
use super::tools::{Flag, Flags};
use super::world::{RelationEvent, UnitId, World};

/// What is to be run.
pub(super) struct Command {
    pub unit: UnitId,
    pub commands: String,
    pub relation: Option<RelationEvent>,
}

const FLAGS: [Flag; 7] = [
    Flag::Switch(&["no-context"]),
    Flag::Value(&["r", "relation"]),
    Flag::Value(&["remote-unit"]),
    Flag::Value(&["remote-app"]),
    Flag::Switch(&["operator"]),
    Flag::Switch(&["force-remote-unit"]),
    Flag::Value(&["u"]),
];

/// Understands a call of `juju-exec` from `machine`, or says what Juju says.
pub(super) fn parse(
    world: &World,
    model: &Path,
    machine: &Path,
    context: &str,
    args: &[String],
) -> Result<Command, ExecResult> {
    command(world, model, machine, context, args).map_err(|fault| {
        let (code, stderr) = match fault {
            Fault::Usage(text) => (2, format!("ERROR {text}\n")),
            Fault::Failure(text) => (1, format!("ERROR {text}\n")),
            Fault::Help | Fault::NeedsStdin => {
                (0, "Usage: juju-exec [options] [-u] [<unit-name>] <commands>\n".to_owned())
            }
        };
        ExecResult { code, stdout: String::new(), stderr }
    })
}

fn command(
    world: &World,
    model: &Path,
    machine: &Path,
    context: &str,
    args: &[String],
) -> Result<Command, Fault> {
    let flags = Flags::parse(args, &FLAGS)?;
    let usage = |text: String| Err(Fault::Usage(text));
    if !context.is_empty() {
        return usage(format!("juju-exec cannot be called from within a hook, have context {context:?}"));
    }
    if flags.has("no-context") {
        return Err(Fault::Failure("--no-context is not part of the rehearsal".to_owned()));
    }
    let local = |unit: &UnitId| {
        world.unit(unit).is_ok_and(|state| machine == model.join(format!("m{}", state.machine)))
    };
    let all = world.apps.keys().flat_map(|app| world.unit_ids(app));
    let only = || {
        let mut here = all.clone().filter(|unit| local(unit));
        here.next().filter(|_| here.next().is_none())
    };
    let (named, rest) = match (flags.value("u"), flags.rest.as_slice()) {
        (None, []) => return usage("missing unit-name".to_owned()),
        (None, [first, rest @ ..]) => match UnitId::parse(first) {
            Some(unit) => (Some(unit), rest),
            None => (None, flags.rest.as_slice()),
        },
        (Some(""), rest) => (None, rest),
        (Some(name), rest) => match UnitId::parse(name) {
            Some(unit) => (Some(unit), rest),
            None => return usage(format!("{name:?} is not a valid unit tag")),
        },
    };
    let Some(unit) = named.or_else(only) else { return usage("no unit".to_owned()) };
    let commands = match rest {
        [] => return usage("missing commands".to_owned()),
        [one] => one.clone(),
        several => several.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" "),
    };
    if !local(&unit) {
        return Err(Fault::Failure(format!("unit {:?} not found on this machine", unit.name())));
    }
    let relation = relation(world, &unit, &flags)?;
    Ok(Command { unit, commands, relation })
}

fn relation(world: &World, unit: &UnitId, flags: &Flags) -> Result<Option<RelationEvent>, Fault> {
    let failure = |text: String| Err(Fault::Failure(text));
    let remote_unit = flags.value("remote-unit").unwrap_or_default();
    let remote_app = flags.value("remote-app").unwrap_or_default();
    let Some(text) = flags.value("r").filter(|text| !text.is_empty()) else {
        return match (remote_unit, remote_app) {
            ("", "") => Ok(None),
            ("", app) => failure(format!("remote app: {app}, provided without a relation")),
            (unit, _) => failure(format!("remote unit: {unit}, provided without a relation")),
        };
    };
    let Ok(id) = text.rsplit(':').next().unwrap_or_default().parse::<u32>() else {
        return failure("invalid relation id".to_owned());
    };
    let known = world.unit(unit).is_ok_and(|state| state.seen.contains_key(&id));
    let Some(relation) = world.relations.get(&id).filter(|_| known) else {
        return failure(format!("unknown relation id: {id}"));
    };
    let members = world.unit(unit).map(|state| state.seen[&id].clone()).unwrap_or_default();
    let mut remote_unit = remote_unit.to_owned();
    if remote_unit.is_empty() && members.len() == 1 && !flags.has("force-remote-unit") {
        remote_unit = members.into_iter().next().unwrap_or_default();
    } else if !remote_unit.is_empty() && !members.contains(&remote_unit) && !flags.has("force-remote-unit") {
        return failure(format!("unknown remote unit in relation {id}: {remote_unit}"));
    }
    let remote_app = relation.remote_app.clone();
    Ok(Some(RelationEvent { id, remote_app, remote_unit, departing: String::new() }))
}

fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./-_".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\"'\"'"))
}
