//! Relations: the order of events, who sees and writes what, leadership.

use rehearsal::agent::JujuVersion;

use crate::charm::{Deployed, deployed, deployed_on};

const SHOW: &str = "echo $HOOK $JUJU_RELATION_ID unit=$JUJU_REMOTE_UNIT app=$JUJU_REMOTE_APP \
    leaving=$JUJU_DEPARTING_UNIT members=$(relation-list 2>/dev/null | tr '\\n' ' ')";

fn lines(it: &Deployed, from: usize) -> Vec<String> {
    let runs = it.app.unit(0).runs();
    runs[from..].iter().map(|run| run.stdout.trim().to_owned()).collect()
}

#[test]
fn a_relation_is_told_in_jujus_order() {
    let it = deployed(1, SHOW);
    let before = it.app.unit(0).runs().len();
    let relation = it.app.integrate("image", "runners", &[&[("a", "1")], &[("a", "2")]]).unwrap();
    relation.set_remote_unit(1, &[("a", "3")]).unwrap();
    relation.set_remote_unit(1, &[("a", "3")]).unwrap();
    relation.set_remote_app(&[("b", "1")]).unwrap();
    relation.remove_remote_unit(0).unwrap();
    relation.remove().unwrap();
    let expected = [
        "image-relation-created image:1 unit= app=runners leaving= members=",
        "image-relation-joined image:1 unit=runners/0 app=runners leaving= members=runners/0",
        "image-relation-changed image:1 unit=runners/0 app=runners leaving= members=runners/0",
        "image-relation-joined image:1 unit=runners/1 app=runners leaving= members=runners/0 runners/1",
        "image-relation-changed image:1 unit=runners/1 app=runners leaving= members=runners/0 runners/1",
        "image-relation-changed image:1 unit=runners/1 app=runners leaving= members=runners/0 runners/1",
        "image-relation-changed image:1 unit= app=runners leaving= members=runners/0 runners/1",
        "image-relation-departed image:1 unit=runners/0 app=runners leaving=runners/0 members=runners/1",
        "image-relation-departed image:1 unit=runners/1 app=runners leaving=runners/1 members=",
        "image-relation-broken image:1 unit= app=runners leaving= members=",
    ];
    assert_eq!(lines(&it, before), expected);
    assert!(relation.id().is_err(), "it is gone");
}

#[test]
fn remote_data_is_read_with_what_juju_adds_and_kept_after_departure() {
    let script = "[ \"$HOOK\" != update-status ] || { relation-get -r image:1 a runners/0; \
        relation-get -r image:1 --format=json private-address runners/0; relation-ids image; }";
    let it = deployed(1, script);
    let relation = it.app.integrate("image", "runners", &[&[("a", "1")]]).unwrap();
    let expected = "1\n\"10.0.0.110\"\nimage:1\n";
    assert_eq!(it.app.unit(0).fire("update-status").unwrap().stdout, expected);
    relation.remove_remote_unit(0).unwrap();
    assert_eq!(it.app.unit(0).fire("update-status").unwrap().stdout, expected);
}

#[test]
fn writes_are_kept_and_counted_only_when_they_change_something() {
    let script = "[ \"$HOOK\" != update-status ] || \
        { printf '{\"id\": \"7\", \"tags\": \"x64,noble\", \"n\": 5}' | relation-set -r image:1 --file - id=8; }";
    let it = deployed(1, script);
    let unit = it.app.unit(0);
    let relation = it.app.integrate("image", "runners", &[]).unwrap();
    let run = unit.fire("update-status").unwrap();
    assert_eq!(run.calls[0].stdin_bytes, 40);
    unit.fire("update-status").unwrap();
    assert_eq!(relation.changes_by(&unit).unwrap(), 1);
    let written = relation.written_by(&unit).unwrap();
    assert_eq!(
        written.into_iter().collect::<Vec<_>>(),
        [
            ("id".to_owned(), "8".to_owned()),
            ("n".to_owned(), "5".to_owned()),
            ("tags".to_owned(), "x64,noble".to_owned())
        ]
    );
    assert!(relation.unit_data(&unit).unwrap().contains_key("ingress-address"));
}

#[test]
fn an_empty_value_removes_a_key() {
    let it = deployed(1, "[ \"$HOOK\" != update-status ] || relation-set -r image:1 a=$(cat value)");
    let unit = it.app.unit(0);
    let relation = it.app.integrate("image", "runners", &[]).unwrap();
    std::fs::write(unit.charm_dir().unwrap().join("value"), "1").unwrap();
    unit.fire("update-status").unwrap();
    assert_eq!(relation.written_by(&unit).unwrap()["a"], "1");
    std::fs::write(unit.charm_dir().unwrap().join("value"), "").unwrap();
    unit.fire("update-status").unwrap();
    assert!(relation.written_by(&unit).unwrap().is_empty());
}

#[test]
fn only_the_leader_writes_and_reads_the_applications_databag() {
    let script = "[ \"$HOOK\" != update-status ] || \
        { relation-set -r image:1 --app a=1; relation-get -r image:1 --app a sample; }";
    let it = deployed(2, script);
    let relation = it.app.integrate("image", "runners", &[]).unwrap();
    let run = it.app.unit(1).fire("update-status").unwrap();
    assert_eq!(run.stderr, "ERROR cannot write relation settings\nERROR permission denied\n");
    assert!(!it.app.unit(1).retry().unwrap()[0].succeeded());
    let run = it.app.unit(0).fire("update-status").unwrap();
    assert_eq!(run.stdout, "1\n");
    assert_eq!(relation.app_data().unwrap()["a"], "1");
    assert_eq!(relation.app_changes().unwrap(), 1);
}

#[test]
fn leadership_moves_with_leader_elected() {
    let it = deployed(2, "is-leader; is-leader --format=json");
    assert_eq!(it.app.leader().unwrap().unwrap().name(), "sample/0");
    let runs = it.app.set_leader(1).unwrap();
    assert_eq!((runs[0].unit.as_str(), runs[0].name.as_str()), ("sample/1", "leader-elected"));
    assert_eq!(runs[0].stdout, "True\ntrue\n");
    assert_eq!(it.app.unit(0).fire("update-status").unwrap().stdout, "False\nfalse\n");
}

#[test]
fn peers_meet_and_hear_of_each_others_writes() {
    let it = deployed(2, "[ \"$HOOK\" != update-status ] || relation-set -r replicas:0 ready=yes");
    let (first, second) = (it.app.unit(0), it.app.unit(1));
    assert!(first.hooks().contains(&"replicas-relation-joined".to_owned()));
    let before = second.runs().len();
    first.fire("update-status").unwrap();
    second.wait_idle(std::time::Duration::from_secs(60)).unwrap();
    let news = &second.runs()[before..];
    assert_eq!(news.len(), 1);
    assert_eq!(news[0].name, "replicas-relation-changed");
}

#[test]
fn a_new_unit_joins_and_a_leaving_one_departs() {
    let it = deployed(1, SHOW);
    it.app.integrate("image", "runners", &[&[]]).unwrap();
    let before = it.app.unit(0).runs().len();
    let second = it.app.add_unit(it.charm.path()).unwrap();
    assert!(second.hooks().contains(&"image-relation-joined".to_owned()));
    let joined = "replicas-relation-joined replicas:0 unit=sample/1 app=sample leaving= members=sample/1";
    assert_eq!(lines(&it, before)[0], joined);
    let runs = it.app.remove_unit(0).unwrap();
    assert!(runs.iter().any(|run| run.unit == "sample/1" && run.name == "leader-elected"));
    assert!(runs.iter().any(|run| run.stdout.contains("leaving=sample/0") && run.unit == "sample/1"));
}

#[test]
fn of_a_peer_that_goes_juju_4_0_tells_nobody_and_only_goal_state_knows() {
    for (juju, told, members) in
        [(JujuVersion::V4_0, false, "sample/1\n"), (JujuVersion::V4, true, ""), (JujuVersion::V3_6, true, "")]
    {
        let script =
            "[ $HOOK != update-status ] || { relation-list -r replicas:0; goal-state --format=json; }";
        let it = deployed_on(juju, 2, script);
        let runs = it.app.remove_unit(1).unwrap();
        let of = |unit: &str| -> Vec<String> {
            runs.iter().filter(|run| run.unit == unit).map(|run| run.name.clone()).collect()
        };
        assert_eq!(
            of("sample/1"),
            ["replicas-relation-departed", "replicas-relation-broken", "stop", "remove"]
        );
        assert_eq!(of("sample/0").len(), usize::from(told), "{juju:?}");
        let shown = it.app.unit(0).update_status().unwrap().stdout;
        let goals = shown.strip_prefix(members).expect(&shown);
        assert!(
            goals.starts_with('{') && goals.contains("sample/0") && !goals.contains("sample/1"),
            "{shown}"
        );
        it.app.add_unit(it.charm.path()).unwrap();
        assert!(it.app.peer_relation("replicas").is_ok());
    }
}

#[test]
fn on_juju_4_a_follower_hears_of_the_peer_relation_before_it_meets_anybody() {
    for (juju, expected) in
        [(JujuVersion::V3_6, "joined"), (JujuVersion::V4_0, "changed"), (JujuVersion::V4, "changed")]
    {
        let it = deployed_on(juju, 1, "");
        let hooks = it.app.add_unit(it.charm.path()).unwrap().hooks();
        let first = hooks.iter().filter_map(|hook| hook.strip_prefix("replicas-relation-")).nth(1);
        assert_eq!(first, Some(expected), "{hooks:?}");
    }
}

#[test]
fn the_departure_of_another_units_subordinate_is_told_here_too() {
    let it = deployed(1, SHOW);
    let relation = it.app.integrate("cos-agent", "collector", &[&[]]).unwrap();
    let runs = relation.depart_stranger(7).unwrap();
    let expected = "cos-agent-relation-departed cos-agent:1 unit=collector/7 app=collector leaving=collector/7 \
        members=collector/0";
    assert_eq!(runs[0].stdout.trim(), expected);
}

#[test]
fn a_peer_that_goes_before_it_was_met_is_never_spoken_of() {
    let it = deployed(1, "");
    let (first, patience) = (it.app.unit(0), std::time::Duration::from_secs(60));
    // The first unit is busy while the second comes and goes.
    let busy = first.start_exec("until [ -e gate ]; do sleep 0.02; done").unwrap();
    it.model.run_hooks_in_background();
    let second = it.app.add_unit(it.charm.path()).unwrap();
    let has_met = || second.hooks().contains(&"replicas-relation-joined".to_owned());
    it.model.wait_until("the second unit to meet the first", patience, has_met).unwrap();
    it.app.remove_unit(1).unwrap();
    it.model.wait_until("the second unit to be gone", patience, || it.app.units().len() == 1).unwrap();
    std::fs::write(first.charm_dir().unwrap().join("gate"), "").unwrap();
    assert_eq!(busy.outcome.recv().unwrap().unwrap().code, 0);
    first.wait_idle(patience).unwrap();
    let told = first.hooks().into_iter().filter(|hook| hook.starts_with("replicas-relation-"));
    assert_eq!(told.collect::<Vec<_>>(), ["replicas-relation-created"]);
}

#[test]
fn what_a_peer_has_said_is_readable_until_its_departure_has_been_told() {
    let script = "
        [ $HOOK != replicas-relation-created ] || relation-set name=$JUJU_UNIT_NAME
        [ $HOOK != replicas-relation-departed ] || relation-get name $JUJU_DEPARTING_UNIT";
    let it = deployed(2, script);
    let runs = it.app.remove_unit(1).unwrap();
    let told = runs.iter().find(|run| run.unit == "sample/0" && run.name.ends_with("departed")).unwrap();
    assert_eq!(told.stdout, "sample/1\n");
}

#[test]
fn endpoints_and_their_limits_are_the_charms() {
    let it = deployed(1, "");
    let refusal = |endpoint| it.app.integrate(endpoint, "other", &[]).err().map(|error| error.to_string());
    assert_eq!(refusal("imagee").unwrap(), "ERROR application \"sample\" has no \"imagee\" relation");
    assert_eq!(refusal("cos-agent"), None);
    assert!(refusal("cos-agent").unwrap().contains("maximum relation limit of 1"));
}
