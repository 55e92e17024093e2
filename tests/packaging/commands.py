#!/usr/bin/python3
"""Holds the commands that documents show against what there is: commands.py FOLDER.

In code of all *.md files: `make WORD` is a word of the Makefile, `juju run UNIT ACTION` an action with those parameters, `juju
config APP` names options, `dispatch WORD` is a command. What the commands do is for other tests.
"""

import re
import shlex
import sys
from pathlib import Path

import faults
import links
import yaml_files

CODE = re.compile(r"^ *```(?:sh|bash|console)?\n(.*?)^ *```|(?<!`)`([^`\n]+)`(?!`)", re.MULTILINE | re.DOTALL)
# What stands before a command.
PREFIX = re.compile(r"^(?:\$ |sudo |[A-Z_]+=\S+ |\./)+")
ASSIGNMENT = re.compile(r"([A-Za-z][\w-]*)=")
# Where another unit, another charm, or a folder of programs is spoken of.
DISPATCH = re.compile(r"(?:^|[\s\"'(/])(?:\./)?dispatch ([a-z][a-z-]+)\b")


class Known:
    """What commands can name."""

    def __init__(self, folder):
        makefile = (folder / "Makefile").read_text(encoding="utf-8")
        self.words = set(re.findall(r"^([a-z][a-z -]*):", makefile, re.MULTILINE))
        self.words = {word for words in self.words for word in words.split()}
        self.options = set(yaml_files.load(folder / "config.yaml")["options"])
        actions = yaml_files.load(folder / "actions.yaml")
        self.actions = {name: set(action.get("params", {})) for name, action in actions.items()}
        arguments = (folder / "src/cli/arguments.rs").read_text(encoding="utf-8")
        variants = arguments.partition("pub enum Command {")[2].partition("\n}\n")[0]
        names = re.findall(r"^    ([A-Z]\w*)", variants, re.MULTILINE)
        self.commands = {re.sub(r"(?<!^)([A-Z])", r"-\1", name).lower() for name in names} | {"help"}


def commands(text):
    """The commands that a page shows, each with its line."""
    for match in CODE.finditer(text):
        block = match.group(1) or match.group(2)
        line = text.count("\n", 0, match.start()) + (2 if match.group(1) else 1)
        block = block.replace("\\\n", "  ")
        for offset, command in enumerate(block.split("\n")):
            for part in re.split(r" && | \| |; ", command):
                yield line + offset, PREFIX.sub("", part.strip())


def words(command):
    try:
        return shlex.split(command, comments=True)
    except ValueError:
        return command.split()


def check_command(command, known):
    """What a command names and nothing has."""
    parts = words(command)
    if parts[:1] == ["make"] and len(parts) > 1:
        for word in parts[1:]:
            if re.fullmatch(r"[a-z][a-z-]*", word) and word not in known.words:
                yield f"make {word}: the Makefile has no such word"
    if parts[:2] == ["juju", "run"] and len(parts) > 3:
        name = parts[3]
        if re.fullmatch(r"[a-z-]+", name) and name not in known.actions:
            yield f"juju run: there is no action {name}"
        for word in parts[4:]:
            match = ASSIGNMENT.match(word)
            if match and match.group(1) not in known.actions.get(name, {match.group(1)}):
                yield f"juju run {name}: there is no parameter {match.group(1)}"
    if parts[:2] == ["juju", "config"]:
        for before, word in zip(parts[2:], parts[3:]):
            match = ASSIGNMENT.match(word)
            named = [match.group(1)] if match else word.split(",") if before == "--reset" else []
            for name in named:
                if name not in known.options and not name.isupper():
                    yield f"juju config: there is no option {name}"
    for name in DISPATCH.findall(command):
        if name not in known.commands:
            yield f"dispatch {name}: there is no such command"


def check(folder):
    """All faults, one line each."""
    known = Known(folder)
    for file in links.files(folder):
        # The changelog speaks of what was.
        if file.suffix == ".md" and file.name != "CHANGELOG.md":
            for line, command in commands(file.read_text(encoding="utf-8")):
                for problem in check_command(command, known):
                    yield f"{file.relative_to(folder)}:{line}: {problem}"


if __name__ == "__main__":
    faults.end("commands in documents", check(Path(sys.argv[1])))
