"""docs/how-to/rehearse.md, typed as it stands."""

import os
import re
import subprocess
from pathlib import Path

import jubilant
import pytest

PAGE = Path("docs/how-to/rehearse.md")
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands():
    """The lines of the page that begin with a command of the operator's."""
    lines = [line for block in BLOCK.findall(PAGE.read_text(encoding="utf-8")) for line in block.splitlines()]
    return [line for line in lines if line.startswith(("juju ", "openstack "))]


@pytest.fixture(scope="module")
def shell():
    """Types a line into bash; whoever is asked says yes."""
    world = Path(os.environ["JUJU_TEST_WORLD"])
    if not (world.parent / "image-builder.yaml").exists():
        pytest.skip("the page is about a rehearsal")
    environment = {
        **os.environ,
        "REHEARSAL": str(world.parent),
        "OS_CLIENT_CONFIG_FILE": str(world.parent / "clouds.yaml"),
    }

    def run(line):
        return subprocess.run(
            ["bash", "-c", line], env=environment, input="y\n", capture_output=True, encoding="utf-8", timeout=600
        )

    return run


def test_each_command_does_what_the_page_says(shell, juju):
    secret = None
    for line in commands():
        done = shell(line.replace("secret:ID", secret or "secret:ID"))
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        secret = secret or done.stdout.strip()
        # As somebody who reads the status before going on.
        juju.wait(jubilant.all_agents_idle, error=jubilant.any_error, successes=1)
    juju.wait(lambda status: "image-builder" not in status.apps, error=jubilant.any_error, successes=1)
