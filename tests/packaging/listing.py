#!/usr/bin/python3
"""What the review for a public listing on Charmhub looks at, as far as the sources show it: listing.py FOLDER.

Each criterion has the name of what the reviewers look at, and yields what they would object to. One that cannot be met has
its reason below; a reason that is not needed any more is a fault. The linters of charmcraft itself run in `make
test-packaging`, over the packed charm.
"""

import hashlib
import re
import sys
import xml.etree.ElementTree
from pathlib import Path

import yaml

import faults
import yaml_files

# Why a criterion cannot be met.
EXCEPTIONS = {
    "links": "the repository has no public address yet; links to documentation, issues, source, website and contact are added"
    " to charmcraft.yaml when it has one (docs/reference/release.md)",
    "repository name": "the same; the review wants runner-image-builder-operator",
    "Python project": "the charm is written in Rust: Cargo.toml has rust-version, and Cargo.lock is committed",
}
# The licence as apache.org gives it, without surrounding white space.
APACHE_2 = "fdae7ed259455ca9fa45939e7f25cbb4de29831cda16d9151de25a5f6e9d9be4"
LINKS = ["documentation", "issues", "source", "website", "contact"]
# The words that a profile of charmcraft gives each charm.
WORDS = ["format", "lint", "unit", "integration"]
SVG = "{http://www.w3.org/2000/svg}"


class Sources:
    """The charm as charmcraft reads it: charmcraft.yaml, and metadata, options and actions from files of their own."""

    def __init__(self, folder):
        self.folder = folder
        self.charmcraft = yaml_files.load(folder / "charmcraft.yaml")
        self.metadata = yaml_files.load(folder / "metadata.yaml")
        self.options = yaml_files.load(folder / "config.yaml")["options"]
        self.actions = yaml_files.load(folder / "actions.yaml")

    def text(self, name):
        """A file's text, empty when it is not there."""
        path = self.folder / name
        return path.read_text(encoding="utf-8") if path.is_file() else ""

    def workflow(self, name):
        """A workflow of GitHub Actions."""
        return yaml.safe_load(self.text(f".github/workflows/{name}")) or {}


def contribution(sources):
    if "make test" not in sources.text("CONTRIBUTING.md"):
        yield "CONTRIBUTING.md does not say how to test"


def licence(sources):
    digest = hashlib.sha512(sources.text("LICENSE").strip().encode()).hexdigest()
    if not digest.startswith(APACHE_2):
        yield "LICENSE is not the text of Apache-2.0"


def security(sources):
    text = sources.text("SECURITY.md")
    for heading in ["Supported versions", "Report a vulnerability"]:
        if f"\n## {heading}\n" not in text:
            yield f"SECURITY.md has no section {heading!r}"


def code_of_conduct(sources):
    if not sources.text("CODE_OF_CONDUCT.md"):
        yield "there is no CODE_OF_CONDUCT.md"


def metadata(sources):
    title = sources.charmcraft.get("title") or sources.metadata.get("display-name")
    texts = [("title", title)] + [(key, sources.metadata.get(key)) for key in ["name", "summary", "description"]]
    for key, text in texts:
        if not text:
            yield f"no {key}"
    if len(sources.metadata["summary"]) > 100 or "\n" in sources.metadata["summary"]:
        yield "the summary is longer than a line of 100 characters"


def links(sources):
    given = sources.charmcraft.get("links") or {}
    missing = [key for key in LINKS if not given.get(key)]
    if missing:
        yield f"no link to {', '.join(missing)}"


def names(sources):
    parameters = [name for action in sources.actions.values() for name in action.get("params", {})]
    for name in [sources.metadata["name"], *sources.actions, *sources.options, *parameters]:
        if not yaml_files.NAME.match(name):
            yield f"{name}: lower case and single hyphens only"
    if re.search("operator|charm", sources.metadata["name"]):
        yield "the charm's name says that it is a charm"


def repository_name(sources):
    source = (sources.charmcraft.get("links") or {}).get("source", "")
    if not source.endswith(sources.metadata["name"] + "-operator"):
        yield f"the repository is not named {sources.metadata['name']}-operator"


def endpoints(sources):
    for role in ["provides", "requires", "peers"]:
        for name, endpoint in sources.metadata.get(role, {}).items():
            if type(endpoint.get("optional")) is not bool:
                yield f"the endpoint {name} does not say whether it is optional"


def tooling(sources):
    for word in WORDS:
        if not re.search(rf"^(\S+ )*{word}:", sources.text("Makefile"), re.MULTILINE):
            yield f"make {word} is missing"


def python_project(sources):
    if not sources.text("pyproject.toml"):
        yield "there is no pyproject.toml"


def lock_file(sources):
    if "rust-version" not in sources.text("Cargo.toml") or not sources.text("Cargo.lock"):
        yield "the oldest Rust, or the versions of the dependencies, are not pinned"


def icon(sources):
    if not sources.text("icon.svg"):
        yield "there is no icon.svg"
        return
    image = xml.etree.ElementTree.fromstring(sources.text("icon.svg"))
    size = [image.get("width"), image.get("height"), image.get("viewBox")]
    if size != ["100", "100", "0 0 100 100"]:
        yield f"icon.svg has the size {size}, not 100 by 100"
    circle = image.find(f"{SVG}circle")
    if circle is None or circle.get("r") != "50":
        yield "icon.svg has no circle as its ground"
    for name, part in sources.charmcraft["parts"].items():
        if "icon.svg" not in part.get("stage", []):
            yield f"the part {name} does not stage icon.svg"


def release(sources):
    workflow = sources.workflow("release.yaml")
    commands = "\n".join(step.get("run", "") for job in workflow.get("jobs", {}).values() for step in job["steps"])
    if "charmcraft upload" not in commands or "--release" not in commands:
        yield "release.yaml does not release to a channel"


def integration_tests(sources):
    workflow = sources.workflow("ci.yaml")
    # YAML 1.1 reads the key `on` as true.
    events = set(workflow.get(True, {}))
    if not {"pull_request", "push"} <= events:
        yield "ci.yaml does not run for each change"
    commands = [step.get("run", "") for job in workflow.get("jobs", {}).values() for step in job["steps"]]
    if not any(".ci/run" in command for command in commands):
        yield "ci.yaml does not run .ci/run"


def issue_templates(sources):
    for name in ["bug.yaml", "feature.yaml"]:
        form = yaml.safe_load(sources.text(f".github/ISSUE_TEMPLATE/{name}")) or {}
        if not {"name", "description", "body"} <= set(form):
            yield f"{name} is no form for an issue"


def documentation(sources):
    index = sources.text("docs/index.md")
    for kind in ["tutorial", "how-to", "reference", "explanation"]:
        pages = sorted((sources.folder / "docs" / kind).glob("*.md"))
        if not pages:
            yield f"docs/{kind} is empty"
        for page in pages:
            if f"({kind}/{page.name})" not in index:
                yield f"docs/index.md does not lead to {kind}/{page.name}"


def terraform(sources):
    for name in ["main.tf", "variables.tf", "outputs.tf", "versions.tf", "README.md"]:
        if not sources.text(f"terraform/{name}"):
            yield f"terraform/{name} is missing"
    variables = re.findall(r'^variable "(\w+)"', sources.text("terraform/variables.tf"), re.MULTILINE)
    used = re.findall(r"\bvar\.(\w+)", sources.text("terraform/main.tf"))
    for name in sorted(set(variables) ^ set(used)):
        yield f"terraform: the variable {name} is not both declared and used"
    outputs = sources.text("terraform/outputs.tf")
    for role in ["provides", "requires"]:
        for name in sources.metadata.get(role, {}):
            if f'"{name}"' not in outputs:
                yield f"terraform: no output names the endpoint {name}"


CRITERIA = {
    "contribution guidelines": contribution,
    "licence": licence,
    "security statement": security,
    "code of conduct": code_of_conduct,
    "metadata": metadata,
    "links": links,
    "names": names,
    "repository name": repository_name,
    "optional endpoints": endpoints,
    "tooling": tooling,
    "Python project": python_project,
    "lock file": lock_file,
    "icon": icon,
    "automated release": release,
    "integration tests": integration_tests,
    "issue templates": issue_templates,
    "documentation": documentation,
    "Terraform module": terraform,
}


def check(folder):
    """Yields for each criterion its name, whether it is a fault, and what there is to say."""
    sources = Sources(folder)
    for name, criterion in CRITERIA.items():
        objections = list(criterion(sources))
        reason = EXCEPTIONS.get(name)
        if reason and not objections:
            yield name, True, "is met: remove its exception"
        elif reason:
            yield name, False, f"not met: {reason}"
        for objection in objections if not reason else []:
            yield name, True, objection


def main():
    found = list(check(Path(sys.argv[1])))
    for name, is_fault, text in found:
        if not is_fault:
            print(f"{name}: {text}")
    objections = [f"{name}: {text}" for name, is_fault, text in found if is_fault]
    faults.end(f"listing: {len(CRITERIA)} criteria, {len(EXCEPTIONS)} exceptions", objections)


if __name__ == "__main__":
    main()
