"""Every `juju` command that a document shows, run in a rehearsal: what it names is there, and it ends well.

Commands that differ in their placeholders alone are run once. docs/how-to/rehearse.md is typed line by line by
test_the_page.py, and the tutorial of the rehearsal shows what `make rehearse` prints.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import jubilant
import pytest
import yaml
from conftest import settings

SOURCES = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCES / "tests/packaging"))
import commands as shown  # noqa: E402
import links  # noqa: E402

# The model that the documents call so, and the consumer's.
MODEL, CONSUMERS = "images", "consumers"
APP = "image-builder"
ELSEWHERE = {"docs/how-to/rehearse.md", "docs/tutorial/rehearsal.md"}

# What cannot be run, and why. Each is looked for: what no document shows any more goes from here.
NOT_RUN = {
    r"juju( (?!status|debug-log)[a-z-]+)?( --\S+)*": "names the word, not a command",
    r".*\.\.\..*": "leaves something out",
    r".*\b(OPTION|ACTION|NAME|WORD)\b.*": "stands for any",
    r"juju config --reset recipe": "leaves the application out",
    r"juju ssh .*": "a machine of the rehearsal is a folder, without an ssh server",
    r"juju model-config .*": "a rehearsal's model has no options; tests/hooks and tests/builds set its proxies",
    r"juju download .*": "a rehearsal has no Charmhub",
    r"juju refresh .* --switch .*": "a rehearsal has no Charmhub",
    r"juju refresh .*github-runner-image-builder_amd64.charm": "replaces the Python charm: tests/builds/migration.rs",
    r"juju status .*--watch .*": "does not end by itself",
    r"juju run .* clean-up ids=.*": "needs what a build has left: tests/builds",
    r"juju run .* run bases=jammy .*": "needs images of jammy: tests/builds/targets.rs",
    r"juju show-unit upload-runners/0.*": "is what make rehearse shows",
    r"juju integrate image-builder:image upload-runners:image": "is what make rehearse shows",
}
# The order in which they are run, by their beginnings; what is not here comes in the middle.
FIRST = ["juju deploy", "juju add-secret", "juju grant-secret", "juju offer", "juju integrate", "juju status"]
LAST = [
    "juju exec",
    "juju config",
    "juju run image-builder/leader revoke",
    "juju refresh",
    "juju add-unit",
    "juju remove-saas",
    "juju remove-offer",
    "juju remove-application",
]
# What is run in the consumer's model.
IN_CONSUMERS = re.compile(r"juju (integrate (?=github-runner admin/)|remove-saas )")
# Which secret an option or a parameter is about.
SECRETS = {
    "openstack-password-secret": "openstack-password",
    "openstack-application-credential-secret": "builder-credential",
    "github-token-secret-id": "github-releases",
    "script-secret-id": "script-variables",
    "token-secret-id": "github-token",
}


def all_shown():
    """The commands of all documents."""
    found = {}
    for file in links.files(SOURCES):
        page = str(file.relative_to(SOURCES))
        if file.suffix == ".md" and file.name != "CHANGELOG.md" and page not in ELSEWHERE:
            for line, command in shown.commands(file.read_text(encoding="utf-8")):
                if command.split()[:1] == ["juju"]:
                    # What follows is a remark, `token#file=...` is none.
                    words = shlex.split(re.split(r"\s+# ", command)[0])
                    found.setdefault(plain(words), f"{page}:{line}")
    return found


def plain(words):
    """A command with its most usual placeholders replaced, as a shell takes it."""
    words = [re.sub(r"\b(APPLICATION|APP)\b", APP, word) for word in words]
    words = [re.sub(r"^UNIT$", f"{APP}/0", word) for word in words]
    quoted = [word if word.startswith(">") else shlex.quote(word) for word in words]
    # Variables are the shell's.
    return re.sub(r"'([^' ]*\$[A-Z_]+[^' ]*)'", r'"\1"', " ".join(quoted))


def place(command):
    """Where a command comes in the order."""
    for index, beginning in enumerate(FIRST):
        if command.startswith(beginning):
            return index
    for index, beginning in enumerate(LAST):
        if command.startswith(beginning):
            return len(FIRST) + 1 + index
    return len(FIRST)


def reason(command):
    """Why a command is not run."""
    return next((why for pattern, why in NOT_RUN.items() if re.fullmatch(pattern, command)), None)


SHOWN = all_shown()
RUN = sorted((command for command in SHOWN if reason(command) is None), key=lambda it: (place(it), it))


class Shell:
    """Types commands into bash, in a folder that has the files which they name."""

    def __init__(self, folder, world):
        self.folder = folder
        self.environment = {
            **os.environ,
            "OS_AUTH_URL": world["options"]["openstack-auth-url"],
            "OS_PASSWORD": world["password"],
            "ID": "credential",
            "SECRET": "of-the-credential",
        }
        self.images = []

    def __call__(self, line):
        return subprocess.run(
            ["bash", "-c", line],
            cwd=self.folder,
            env=self.environment,
            input="y\n",
            capture_output=True,
            encoding="utf-8",
            timeout=600,
        )

    def must(self, line):
        done = self(line)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout.strip()

    def filled(self, command):
        """The command with ids in place of their placeholders."""
        for option, name in SECRETS.items():
            if f"{option}=secret:ID" in command:
                uri = self.must(f"juju show-secret {name} --format json")
                command = command.replace(f"{option}=secret:ID", f"{option}=secret:{next(iter(yaml.safe_load(uri)))}")
        if "image=ID" in command:
            listed = yaml.safe_load(self.must(f"juju run {APP}/leader list-images --format json"))
            rows = yaml.safe_load(next(iter(listed.values()))["results"]["json"])
            builds = [row for row in rows if row["state"] == "build"]
            command = command.replace("image=ID", f"image={min(builds, key=lambda row: row['built'])['id']}")
        if command == "juju show-task ID":
            command = f"juju show-task {max(map(int, self.tasks()))}"
        return command

    def tasks(self):
        operations = yaml.safe_load(self.must("juju operations --format json"))
        return [task for operation in operations.values() for task in operation["tasks"]]


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    """A model with all that the documents speak of, and an image that consumers have."""
    rehearsal = Path(os.environ["JUJU_TEST_WORLD"]).parent
    if not (rehearsal / "image-builder.yaml").exists():
        pytest.skip("the documents are tried in a rehearsal")
    told = settings()
    folder = tmp_path_factory.mktemp("documents")
    (folder / "token.txt").write_text(told["runner"]["token"], encoding="utf-8")
    (folder / "options.yaml").write_text((rehearsal / "image-builder.yaml").read_text(encoding="utf-8"))
    # As a recipe of the operator's own: the whole one is what a document's own command writes.
    (folder / "recipe.yaml").write_text("packages: [jq]\n", encoding="utf-8")
    (folder / "target").mkdir()
    for name in ["target/runner-image-builder_amd64.charm", "runner-image-builder_amd64-before.charm", "target/charm"]:
        (folder / name).symlink_to(told["charm"])
    (folder / "consumer.yaml").write_text(yaml.safe_dump({"consumer": told["consumers"][0]}), encoding="utf-8")
    typed = Shell(folder, told)
    charms = os.environ["JUJU_TEST_CHARMS"]
    before = typed.must("juju switch")
    typed.must(f"juju add-model --no-switch {CONSUMERS} && juju add-model {MODEL}")
    deploy = f"juju deploy {charms}/consumer.charm"
    config = " ".join(f"--config {name}={shlex.quote(value)}" for name, value in told["consumers"][0].items())
    typed.must(f"{deploy} github-runner {config} && {deploy} garm-configurator {config}")
    typed.must(f"{deploy} -m {CONSUMERS} github-runner {config}")
    typed.must(f"juju deploy {charms}/collector.charm grafana-agent")
    yield typed
    typed.must(f"juju switch {before}")
    for model in [MODEL, CONSUMERS]:
        typed.must(f"juju destroy-model --no-prompt {model}")


@pytest.fixture(scope="module")
def images(shell):
    """Two builds, when the first command asks for them."""
    client = jubilant.Juju(model=MODEL, wait_timeout=480)
    shell.must(f"juju config {APP} --file options.yaml openstack-password-secret="
               + shell.filled("openstack-password-secret=secret:ID").partition("=")[2])

    def told(status):
        said = [unit.workload_status for unit in status.apps["github-runner"].units.values()]
        return said[0].message if said and said[0].current == "active" else None

    first = told(client.wait(told, error=jubilant.any_error, successes=1))
    shell.must(f"juju run {APP}/leader run force=true")
    client.wait(lambda status: told(status) not in (None, first), error=jubilant.any_error, successes=1)
    client.wait(jubilant.all_agents_idle, error=jubilant.any_error, successes=1)
    # From now on nothing is built by itself.
    shell.must(f"juju config {APP} paused=true")
    return client


@pytest.mark.parametrize("command", RUN)
def test_a_command_ends_well(shell, request, command):
    if place(command) >= len(FIRST):
        client = request.getfixturevalue("images")
    line = shell.filled(command)
    if IN_CONSUMERS.match(line):
        line = f"{line} -m {CONSUMERS}"
    pauses = re.match(rf"juju run {APP}/leader (run|check)\b", line)
    if pauses:
        shell.must(f"juju config {APP} paused=false")
    done = shell(line)
    assert done.returncode == 0, f"{SHOWN[command]}: {line}\n{done.stdout}{done.stderr}"
    assert "failed to schedule any tasks" not in done.stderr, f"{SHOWN[command]}: {line}\n{done.stderr}"
    if pauses:
        shell.must(f"juju config {APP} paused=true")
    if line.startswith(f"juju config {APP} "):
        changed = [word.partition("=")[0] for word in shlex.split(line) if shown.ASSIGNMENT.match(word)]
        restore(shell, changed)
    if place(command) >= len(FIRST):
        client.wait(lambda status: not jubilant.any_error(status), error=jubilant.any_error, successes=1)


def restore(shell, changed):
    """Sets the options as they were before a command changed them."""
    if changed:
        shell.must(f"juju config {APP} --reset {','.join(changed)}")
    secret = shell.filled("openstack-password-secret=secret:ID").partition("=")[2]
    shell.must(f"juju config {APP} --file options.yaml openstack-password-secret={secret} paused=true")


def test_what_is_not_run_is_shown():
    for pattern in NOT_RUN:
        assert any(re.fullmatch(pattern, command) for command in SHOWN), f"no document shows {pattern}"
