//! Until when GitHub gives jobs to the runners of the images that relations are told, as far as somebody should know of it: soon,
//! or while no newer image comes.

use std::collections::BTreeSet;

use super::text::sentence;
use super::trouble::Trouble;
use super::uncapitalised;
use crate::charm::state::CharmState;
use crate::juju::Status;
use crate::model::{Target, Timestamp};
use crate::record::{Acceptance, Journal, TaskKind, Upstream};

/// `status` with what is to be said of runners at `now`: first where images serve, and in the way where none does.
pub fn with_runners(
    status: Status,
    state: &CharmState,
    journal: &Journal,
    upstream: &Upstream,
    now: Timestamp,
) -> Status {
    let Runners { refused, ending, none_serves } = Runners::of(state, journal, upstream, now);
    let all = || refused.iter().chain(&ending);
    let more = all().count().checked_sub(1).filter(|more| *more > 0);
    let more = more.map(|more| format!("and {more} more runners"));
    let said = || all().take(1).cloned().chain(more.clone());
    // Only the leader looks at GitHub: what another unit knows may be out of date.
    if !state.leader || said().next().is_none() || state.relations.is_empty() {
        return status;
    }
    let before = |text: String| sentence(said().chain([uncapitalised(text)]));
    let behind = |text: String| sentence([text].into_iter().chain(said()));
    match status {
        Status::Active(text) if none_serves => Status::Blocked(before(text)),
        // What fails now comes before what will be refused.
        Status::Active(text) if refused.is_empty() && Trouble::of(state, journal).is_some() => {
            Status::Active(behind(text))
        }
        Status::Active(text) => Status::Active(before(text)),
        Status::Maintenance(text) => Status::Maintenance(behind(text)),
        Status::Blocked(text) => Status::Blocked(behind(text)),
        other => other,
    }
}

/// What the status says of runners.
#[derive(Debug, Default, PartialEq, Eq)]
struct Runners {
    /// The runners that are refused, and what is to be done.
    refused: Vec<String>,
    /// Those that will be.
    ending: Vec<String>,
    /// Whether there are images, and each has a runner that is refused.
    none_serves: bool,
}

impl Runners {
    fn of(state: &CharmState, journal: &Journal, upstream: &Upstream, now: Timestamp) -> Self {
        let targets = &state.run.targets;
        let images: Vec<(Target, Option<&str>)> = targets
            .iter()
            .flat_map(|target| state.run.clouds.iter().map(move |cloud| (*target, cloud)))
            .filter_map(|(target, cloud)| Some((target, journal.runner_of(journal.image(target, cloud)?))))
            .collect();
        let told = images.iter().filter_map(|(target, runner)| Some((*target, (*runner)?)));
        // What is configured is told before there is an image of it, too; unless that is what cannot be built.
        let can_be_built = |target: &&Target| !is_failing(state, journal, **target);
        let pinned = targets
            .iter()
            .filter(can_be_built)
            .filter_map(|target| Some((*target, Pin::of(state, *target)?.version)));
        let pinned: Vec<(Target, String)> = pinned.collect();
        let pinned = pinned.iter().map(|(target, runner)| (*target, runner.as_str()));
        let mut said = Self::default();
        for (target, runner) in told.chain(pinned).collect::<BTreeSet<_>>() {
            let (list, when) = match upstream.acceptance(runner, now) {
                Acceptance::Refused(at) => (&mut said.refused, format!("since {}", at.date())),
                Acceptance::Ending(at) => (&mut said.ending, format!("from {}", at.date())),
                Acceptance::Until(at) if is_stuck(state, journal, target) => {
                    (&mut said.ending, format!("from {}", at.date()))
                }
                Acceptance::Until(_) | Acceptance::Accepted => continue,
            };
            let remedy = remedy(state, journal, target, runner);
            let text = format!("runner {runner} is refused by GitHub {when}{remedy}");
            if !list.contains(&text) {
                list.push(text);
            }
        }
        let is_refused = |runner: &str| matches!(upstream.acceptance(runner, now), Acceptance::Refused(_));
        said.none_serves =
            !images.is_empty() && images.iter().all(|(_, runner)| runner.is_some_and(is_refused));
        said
    }
}

/// Whether no newer image of `target` comes for now.
fn is_stuck(state: &CharmState, journal: &Journal, target: Target) -> bool {
    state.paused || is_failing(state, journal, target)
}

fn is_failing(state: &CharmState, journal: &Journal, target: Target) -> bool {
    let mut failing = journal.failing(&state.run, TaskKind::Build);
    failing.any(|(standing, _)| standing.target.is_none_or(|failing| failing == target))
}

/// What ends that images of a target have this runner.
fn remedy(state: &CharmState, journal: &Journal, target: Target, runner: &str) -> &'static str {
    match Pin::of(state, target).filter(|pin| pin.version == runner) {
        Some(pin) => pin.remedy,
        None if journal.levers.pin_of(target).is_some() => ": run action unpin",
        None => "",
    }
}

/// A version of the runner that the configuration names.
struct Pin {
    version: String,
    remedy: &'static str,
}

impl Pin {
    fn of(state: &CharmState, target: Target) -> Option<Self> {
        if let Some(version) = state.run.runner.version.clone() {
            return Some(Self { version, remedy: ": unset runner-version" });
        }
        let recipe = state.run.recipe.of(target);
        let version = recipe.runner.first()?.version.as_ref()?.as_str().to_owned();
        Some(Self { version, remedy: ": change runner in the recipe" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charm::status::tests::{JAMMY, NOBLE, image, state};
    use crate::github::RunnerVersion;
    use crate::record::{Answered, Contents, Image, JobId, Revision};

    const DAY: u64 = 86_400;
    /// When 2.336.0 came out, and when 2.335.0 is refused.
    const OUT: &str = "2026-11-10T12:00:00Z";
    const REFUSED: &str = "2026-12-10T12:00:00Z";

    fn moment(text: &str) -> Timestamp {
        Timestamp::of_rfc3339(text).unwrap()
    }

    fn upstream() -> Upstream {
        let answer = vec![RunnerVersion { version: "2.336.0".into(), published: moment(OUT) }];
        let runner_versions = Answered { answer, ..Answered::default() };
        Upstream { runner_versions, ..Upstream::default() }
    }

    /// Relations are told an image of `target` with `runner`.
    fn tell(journal: &mut Journal, target: Target, runner: &str) {
        let id = format!("{target}");
        let contents = Contents {
            runner: runner.into(),
            base_image: Timestamp(1),
            base_serial: None,
            manifest: None,
            boot: None,
            begun: None,
            snapshot_format: None,
        };
        let build = Revision {
            target,
            id: id.parse().unwrap(),
            job: JobId::random(),
            fingerprint: String::new(),
            built: Timestamp(1),
            proof: None,
            failed_reads: 0,
            contents: Some(contents),
            copies: Vec::new(),
        };
        journal.images.push(Image { revision: Some(build.id.clone()), ..image(target, 125) });
        journal.revisions.push(build);
    }

    /// The status so many days before 2.335.0 is refused; afterwards where the number is negative.
    #[track_caller]
    fn assert_told(state: &CharmState, journal: &Journal, days_before: i64, expected: &str) {
        let now = Timestamp(moment(REFUSED).0.saturating_add_signed(-days_before * DAY as i64));
        let told = with_runners(Status::Active("2 h old".into()), state, journal, &upstream(), now);
        assert_eq!(format!("{}: {}", told.name(), told.message()), expected, "{days_before} days before");
    }

    #[test]
    fn a_pinned_version_is_warned_of_a_fortnight_ahead_and_blocks_once_it_is_refused() {
        let (mut state, mut journal) = (state(), Journal::default());
        tell(&mut journal, NOBLE, "2.335.0");
        state.run.runner.version = Some("2.335.0".into());
        assert_told(&state, &journal, 15, "active: 2 h old");
        for days in [14, 1] {
            let said =
                "active: Runner 2.335.0 is refused by GitHub from 2026-12-10: unset runner-version; 2 h old";
            assert_told(&state, &journal, days, said);
        }
        for days in [0, -40] {
            let said = "blocked: Runner 2.335.0 is refused by GitHub since 2026-12-10: unset runner-version; 2 h old";
            assert_told(&state, &journal, days, said);
        }
        // Another image serves.
        state.run.targets.push(JAMMY);
        tell(&mut journal, JAMMY, "2.336.0");
        let said =
            "active: Runner 2.335.0 is refused by GitHub since 2026-12-10: unset runner-version; 2 h old";
        assert_told(&state, &journal, 0, said);
    }

    #[test]
    fn who_pins_is_named() {
        let (mut state, mut journal) = (state(), Journal::default());
        tell(&mut journal, NOBLE, "2.335.0");
        journal.levers.pin(&journal.revisions[0].clone());
        let said = "active: Runner 2.335.0 is refused by GitHub from 2026-12-10: run action unpin; 2 h old";
        assert_told(&state, &journal, 1, said);
        state.run.recipe = "runner: [{github: actions/runner, version: 2.335.0}]".parse().unwrap();
        let said = "active: Runner 2.335.0 is refused by GitHub from 2026-12-10: change runner in the recipe; 2 h old";
        assert_told(&state, &journal, 1, said);
        assert_told(&state, &Journal::default(), 1, said);
        // Whoever has no relation has another thing to do first.
        state.relations.clear();
        assert_told(&state, &journal, 1, "active: 2 h old");
    }

    #[test]
    fn while_nothing_is_built_it_is_said_when_the_fleet_goes_dark() {
        let (mut state, mut journal) = (state(), Journal::default());
        tell(&mut journal, NOBLE, "2.335.0");
        assert_told(&state, &journal, 29, "active: 2 h old");
        state.paused = true;
        assert_told(
            &state,
            &journal,
            29,
            "active: Runner 2.335.0 is refused by GitHub from 2026-12-10; 2 h old",
        );
        journal.revisions[0].contents.as_mut().unwrap().runner = "2.336.0".into();
        assert_told(&state, &journal, -40, "active: 2 h old");
        journal.revisions[0].contents = None;
        assert_told(&state, &journal, -40, "active: 2 h old");
    }

    #[test]
    fn failing_builds_say_it_too() {
        let state = state();
        let mut journal = crate::charm::status::tests::failed(&state, &[crate::record::Remedy::Retry]);
        tell(&mut journal, NOBLE, "2.335.0");
        assert_told(
            &state,
            &journal,
            29,
            "active: 2 h old; runner 2.335.0 is refused by GitHub from 2026-12-10",
        );
    }
}
