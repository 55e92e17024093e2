"""The life of image-builder as its operator sees it, in order: each test begins where the one before has ended."""

import json

import jubilant
import pytest
from conftest import APP

FIRST, SECOND = "runners", "more-runners"


def wait(juju, ready):
    """Waits until the status is as wanted, and returns it; a failed hook ends the wait."""
    return juju.wait(ready, error=lambda status: jubilant.any_error(status, APP), successes=1)


def units(status, app=APP):
    return status.apps[app].units if app in status.apps else {}


def says(status, state, beginning):
    """Whether each unit of image-builder says this."""
    statuses = [unit.workload_status for unit in units(status).values()]
    return bool(statuses) and all(
        said.current == state and said.message.startswith(beginning) for said in statuses
    )


def builds(status):
    return any("building " in unit.workload_status.message.lower() for unit in units(status).values())


def at_rest(status):
    """Whether every unit is up to date, and none builds."""
    messages = [unit.workload_status.message for unit in units(status).values()]
    return not builds(status) and says(status, "active", "") and all("noble-x64 " in message for message in messages)


def image_of(status, consumer):
    """The image that a consumer is told, which it shows in its status."""
    said = [unit.workload_status for unit in units(status, consumer).values()]
    return said[0].message if said and said[0].current == "active" else None


def leader(status):
    return next((name for name, unit in units(status).items() if unit.leader), None)


def act(juju, action, **params):
    return juju.run(f"{APP}/leader", action, {key.replace("_", "-"): value for key, value in params.items()})


def build_begins(juju):
    """Asks for a build, and returns once it has begun: the image that the consumer has until it ends."""
    before = image_of(juju.status(), FIRST)
    act(juju, "run", force=True)
    wait(juju, builds)
    return before


def another_image(juju, before):
    """Waits until the consumer is told another image and nothing is built any more."""
    status = wait(juju, lambda status: image_of(status, FIRST) not in (None, before) and at_rest(status))
    return image_of(status, FIRST)


def test_it_asks_for_what_it_needs(juju, world):
    juju.add_secret("openstack-password", {"password": world.password})
    juju.deploy(world.charm, APP)
    wait(juju, lambda status: says(status, "blocked", "Please supply all OpenStack configurations."))


def test_a_secret_that_is_not_granted_is_named(juju, world):
    secret = juju.show_secret("openstack-password")
    juju.config(APP, {**world.options, "openstack-password-secret": secret.uri})
    wait(juju, lambda status: says(status, "blocked", "") and "secret" in str(units(status)))


def test_it_accepts_what_it_was_given(juju):
    juju.grant_secret("openstack-password", APP)
    juju.config(APP, {"build-interval": 1})
    wait(juju, lambda status: says(status, "blocked", "image integration required."))


def test_a_mistake_is_named_and_mended(juju):
    juju.config(APP, {"base-image": "nobel"})
    wait(juju, lambda status: says(status, "blocked", "Invalid bases: (nobel)"))
    juju.config(APP, reset="base-image")
    # Juju 4.0 tells no unit that an option was reset; the next change does.
    juju.config(APP, {"revision-history-limit": 3})
    wait(juju, lambda status: says(status, "blocked", "image integration required."))


def test_a_consumer_is_told_an_image(juju, world):
    juju.deploy(world.charms / "consumer.charm", FIRST, config=world.consumers[0])
    juju.integrate(f"{APP}:image", FIRST)
    status = wait(juju, lambda status: image_of(status, FIRST) and at_rest(status))
    relations = juju.show_unit(f"{FIRST}/0").relation_info
    told = next(it for it in relations if it.endpoint == "image").related_units[leader(status)].data
    assert told["id"] == image_of(status, FIRST)
    assert json.loads(told["images"])[0]["id"] == told["id"]


def test_it_builds_nothing_when_nothing_has_changed(juju):
    before = image_of(juju.status(), FIRST)
    assert act(juju, "run", wait=True).results["state"] == "done"
    assert image_of(wait(juju, at_rest), FIRST) == before


def test_actions_tell_what_there_is(juju):
    assert "noble-x64" in str(act(juju, "history").results)
    assert image_of(juju.status(), FIRST) in str(act(juju, "list-images").results)
    assert act(juju, "check").results["state"] == "done"
    assert act(juju, "clean-up").success


def test_a_runner_is_launched_from_the_image(juju, world):
    if world.runner is None:
        pytest.skip("this world has no repository for a runner")
    token = juju.add_secret("github-token", {"token": world.runner["token"]})
    juju.grant_secret(token, APP)
    parameters = {"path": world.runner["path"], "token-secret-id": str(token), "ttl": 1}
    launched = juju.run(f"{APP}/leader", "launch-runner", parameters, wait=660)
    assert launched.results["name"].startswith(APP)


def test_commands_run_on_the_unit(juju):
    assert "noble" in juju.exec("./dispatch", "jobs", unit=f"{APP}/leader").stdout
    assert "packages" in juju.exec("./dispatch recipe", unit=f"{APP}/leader").stdout


def test_a_script_has_its_secret(juju, world):
    before = image_of(juju.status(), FIRST)
    secret = juju.add_secret("registry-token", {"registry-token": "first"})
    juju.grant_secret(secret, APP)
    juju.config(APP, {"script-url": world.script, "script-secret-id": secret})
    another_image(juju, before)


def test_a_secret_that_rotates_leads_to_another_image(juju):
    before = image_of(juju.status(), FIRST)
    juju.update_secret("registry-token", {"registry-token": "second"})
    another_image(juju, before)


def test_an_older_image_is_pinned_and_unpinned(juju):
    newest = image_of(juju.status(), FIRST)
    listed = json.loads(act(juju, "list-images").results["json"])
    older = oldest_build(listed)
    act(juju, "pin", image=older)
    wait(juju, lambda status: image_of(status, FIRST) not in (None, newest))
    act(juju, "unpin")
    wait(juju, lambda status: image_of(status, FIRST) == newest)


def oldest_build(listed):
    """The oldest build that list-images lists."""
    return min((row for row in listed if row["state"] == "build"), key=lambda row: row["built"])["id"]


def test_a_revoked_build_is_never_told_again(juju):
    revoked = oldest_build(json.loads(act(juju, "list-images").results["json"]))
    act(juju, "revoke", image=revoked, reason="of this story")
    listed = json.loads(act(juju, "list-images").results["json"])
    assert [row["revoked"] for row in listed if row["id"] == revoked] == ["of this story"]
    with pytest.raises(jubilant.TaskError, match="was revoked"):
        act(juju, "pin", image=revoked)


def test_a_second_consumer_gets_the_same_build(juju, world):
    juju.deploy(world.charms / "consumer.charm", SECOND, config=world.consumers[1])
    juju.integrate(f"{APP}:image", SECOND)
    wait(juju, lambda status: image_of(status, SECOND) and at_rest(status))


def test_a_relation_ends_and_the_other_stays(juju):
    before = image_of(juju.status(), FIRST)
    juju.remove_relation(f"{APP}:image", SECOND)
    wait(juju, lambda status: not status.apps[SECOND].relations and at_rest(status))
    assert image_of(juju.status(), FIRST) == before


def test_a_consumer_of_another_model_is_served_like_any_other(juju, elsewhere, world):
    juju.offer(APP, endpoint="image")
    elsewhere.deploy(world.charms / "consumer.charm", FIRST, config=world.consumers[1])
    elsewhere.consume(f"{juju.model.rpartition(':')[2]}.{APP}")
    elsewhere.integrate(FIRST, APP)
    status = elsewhere.wait(lambda status: image_of(status, FIRST), successes=1)
    assert status.app_endpoints[APP].app_status.current == "active"
    offer = wait(juju, at_rest).offers[APP]
    assert (offer.app, offer.active_connected_count) == (APP, 1)
    units = consuming_units(juju)
    assert len(units) == 1 and all(unit.startswith("remote-") for unit in units)
    assert image_of(status, FIRST) in str(act(juju, "list-images").results)
    elsewhere.add_unit(FIRST)
    juju.wait(lambda _: len(consuming_units(juju)) == 2, successes=1)
    elsewhere.remove_unit(f"{FIRST}/0")
    juju.wait(lambda _: len(consuming_units(juju)) == 1, successes=1)
    elsewhere.wait(lambda status: image_of(status, FIRST), successes=1)


def consuming_units(juju):
    """The units of another model that image-builder knows as consumers of its image."""
    relations = juju.show_unit(leader(juju.status())).relation_info
    return [unit for it in relations if it.endpoint == "image" and it.cross_model for unit in it.related_units]


def test_a_consumer_of_another_model_goes_and_the_first_stays(juju, elsewhere):
    before = image_of(juju.status(), FIRST)
    url = elsewhere.status().app_endpoints[APP].url
    elsewhere.remove_relation(FIRST, APP)
    elsewhere.wait(lambda status: image_of(status, FIRST) is None, successes=1)
    wait(juju, lambda status: status.offers[APP].total_connected_count == 0 and at_rest(status))
    elsewhere.cli("remove-saas", APP)
    juju.cli("remove-offer", url, include_model=False)
    assert APP not in juju.status().offers
    assert image_of(juju.status(), FIRST) == before


def test_paused_it_builds_nothing(juju):
    juju.config(APP, {"paused": True})
    wait(juju, lambda status: "paused" in str(units(status)).lower())
    juju.config(APP, {"paused": False})
    wait(juju, at_rest)


def test_a_build_is_cancelled(juju):
    before = build_begins(juju)
    act(juju, "cancel")
    status = wait(juju, lambda status: not builds(status))
    assert image_of(status, FIRST) == before


def test_a_second_unit_stands_by(juju):
    juju.add_unit(APP)
    wait(juju, lambda status: len(units(status)) == 2 and at_rest(status))


def test_the_leader_goes_during_a_build(juju):
    before = build_begins(juju)
    former = leader(juju.status())
    juju.remove_unit(former)
    wait(juju, lambda status: len(units(status)) == 1 and leader(status) not in (None, former) and at_rest(status))
    assert image_of(juju.status(), FIRST) is not None
    act(juju, "run", force=True)
    another_image(juju, before)


def test_it_is_refreshed_during_a_build(juju, world):
    before = build_begins(juju)
    juju.refresh(APP, path=world.charm)
    another_image(juju, before)


def test_its_agent_restarts_during_a_build(juju, world):
    if world.restart_agents is None:
        pytest.skip("this world has no agents to restart")
    before = build_begins(juju)
    status = juju.status()
    juju.exec(world.restart_agents, machine=units(status)[leader(status)].machine)
    another_image(juju, before)


def test_a_subordinate_finds_its_metrics(juju, world):
    juju.deploy(world.charms / "collector.charm", "metrics-collector")
    juju.integrate(f"{APP}:cos-agent", "metrics-collector")

    def collects(status):
        subordinates = [unit.subordinates for unit in units(status).values()]
        said = [unit.workload_status.message for beside in subordinates for unit in beside.values()]
        return bool(said) and all(message.startswith("metrics at ") for message in said)

    wait(juju, collects)
    juju.remove_relation(f"{APP}:cos-agent", "metrics-collector")
    wait(juju, lambda status: not any(unit.subordinates for unit in units(status).values()))


def test_it_goes_and_the_consumer_stays(juju):
    juju.remove_application(APP)
    juju.wait(lambda status: APP not in status.apps, successes=1)
    juju.wait(lambda status: image_of(status, FIRST) is None and FIRST in status.apps, successes=1)
    juju.remove_application(FIRST, SECOND, "metrics-collector")
    for secret in juju.secrets():
        juju.remove_secret(secret.uri)
