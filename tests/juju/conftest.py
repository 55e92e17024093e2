"""Where the story is told: a model, and the clouds that it needs.

JUJU_TEST_WORLD names a YAML file:

    model: CONTROLLER:MODEL     # empty, and of machines; not touched before or after the story. Another model is added
                                # beside it, and destroyed
    charm: ./target/runner-image-builder_amd64.charm
    options:                    # of image-builder, but for the password's secret
      openstack-auth-url: ...
    password: ...               # of the build project's user
    script: https://...         # a script that runs as root in the image, and has $registry_token
    consumers:                  # two projects that are to get images: options of tests/juju/consumer
      - auth-url: ...
    restart-agents: sudo systemctl restart jujud-machine-*    # optional: what restarts a unit's agent
    runner:                     # optional: launches a runner, with a token that may manage the runners of path
      path: OWNER/REPOSITORY
      token: ...
    build-minutes: 60           # optional: how long a build may take

`rehearse --keep` writes one of its own.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import jubilant
import pytest
import yaml

APP = "image-builder"


@dataclass(frozen=True)
class World:
    """What differs between a rehearsal and a real site."""

    charm: str
    options: dict
    password: str
    script: str
    consumers: list
    restart_agents: str | None
    runner: dict | None
    charms: Path


def settings():
    return yaml.safe_load(Path(os.environ["JUJU_TEST_WORLD"]).read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def world():
    told = settings()
    return World(
        charm=told["charm"],
        options=told["options"],
        password=told["password"],
        script=told["script"],
        consumers=told["consumers"],
        restart_agents=told.get("restart-agents"),
        runner=told.get("runner"),
        charms=Path(os.environ["JUJU_TEST_CHARMS"]),
    )


@pytest.fixture(scope="session")
def juju():
    told = settings()
    return jubilant.Juju(model=told["model"], wait_timeout=60 * told.get("build-minutes", 8))


@pytest.fixture(scope="session")
def elsewhere(juju):
    """Another model on the same controller."""
    controller, _, _ = juju.model.rpartition(":")
    with jubilant.temp_model(controller=controller or None) as other:
        other.wait_timeout = juju.wait_timeout
        yield other
