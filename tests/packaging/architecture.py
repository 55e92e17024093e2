#!/usr/bin/python3
"""Holds the map of the folders, the table in src/lib.rs, against the sources.

Each row names a folder (or a file below src/, without `.rs`), says what it holds, and which rows it uses. A row uses only
rows below it, so that there is no circle. Reported are: a folder without a row and a row without a folder, a `use` of (or a
path to) a folder that the row does not name, a name that nothing uses, a folder of too many files, and a file of too many
lines. Tests may use anything.
"""

import itertools
import re
import sys
from pathlib import Path

import faults

ROW = re.compile(r"^//! \| `([a-z_/]+)` \|[^|]*\|([^|]*)\|$", re.MULTILINE)
FILES = 14
LINES = 400
# Comments, raw strings, strings, characters.
LITERAL = r'//[^\n]*|r(#+)".*?"\1|"(?:\\.|[^"\\])*"|' + r"'(?:\\[^u']|\\u\{\w+\}|[^'\\])'"
# Belongs to no folder: the front page, the executable, and what unit tests share.
OUTSIDE = {"lib", "main"}
TESTS = {"testing"}


def rows(lib):
    """The table: each folder with the folders that it uses, from top to bottom."""
    return {folder: re.findall(r"`([a-z_/]+)`", uses) for folder, uses in ROW.findall(lib)}


def blank(text):
    """The text without comments, strings and tests, its lines kept."""

    def spaces(match):
        return re.sub(r"[^\n]", " ", match.group(0))

    # One pass, so that a quote in a comment begins no string and two slashes in a string begin no comment.
    text = re.sub(LITERAL, spaces, text, flags=re.DOTALL)
    # A module or item for tests ends with the first brace in its own column.
    text = re.sub(r"^( *)#\[cfg\(test\)\]\n\1(?:pub )?(?:mod|fn|impl) [^;{]*\{\n.*?\n\1\}$", spaces, text,
                  flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"^ *#\[cfg\(test\)\]\n[^;{]*;$", spaces, text, flags=re.MULTILINE)


def leaves(tree, prefix=()):
    """The paths that a use tree names."""
    tree = tree.strip()
    depth, start, parts = 0, 0, []
    for at, character in enumerate(tree):
        depth += (character == "{") - (character == "}")
        if character == "," and depth == 0:
            parts.append(tree[start:at])
            start = at + 1
    parts.append(tree[start:])
    for part in filter(None, (part.strip() for part in parts)):
        head, brace, rest = part.partition("{")
        names = [name.strip() for name in head.split("::") if name.strip()]
        if brace:
            yield from leaves(rest[: rest.rindex("}")], prefix + tuple(names))
        else:
            yield prefix + tuple(name.split(" as ")[0] for name in names)


def paths(text):
    """The paths from `crate` or `super` that a file names, each with its line."""
    for match in re.finditer(r"^\s*(?:pub(?:\([^)]*\))? )?use ([^;]+);", text, re.MULTILINE):
        line = text.count("\n", 0, match.start()) + 1
        for path in leaves(re.sub(r"\s+", " ", match.group(1))):
            yield line, path
    for match in re.finditer(r"\b(?:crate|super)(?:::\w+)+", re.sub(r"\buse [^;]+;", "", text)):
        yield None, tuple(match.group(0).split("::"))


def module(file, sources):
    """The path of a file's module, below the crate."""
    parts = file.relative_to(sources).with_suffix("").parts
    return parts[:-1] if parts[-1] == "mod" else parts


def resolved(path, here):
    """The path from the crate's root, none when it leads out of the crate."""
    if path[0] == "crate":
        return path[1:]
    if path[0] != "super":
        return None
    ups = sum(1 for _ in itertools.takewhile(lambda name: name == "super", path))
    return here[: len(here) - ups] + path[ups:]


def row_of(parts, table):
    """The row with the longest name that `parts` begins with."""
    for length in range(len(parts), 0, -1):
        if (name := "/".join(parts[:length])) in table:
            return name
    return None


def check(sources):
    """What is wrong, a line each."""
    table = rows((sources / "lib.rs").read_text(encoding="utf-8"))
    order = list(table)
    found, used = [], {name: set() for name in table}
    for name, uses in table.items():
        if not (sources / name).is_dir() and not (sources / f"{name}.rs").is_file():
            found.append(f"lib.rs: {name} stands in the map, and there is no such folder")
        for other in uses:
            if other not in table:
                found.append(f"lib.rs: {name} uses {other}, which has no row")
            elif order.index(other) <= order.index(name):
                found.append(f"lib.rs: {name} uses {other}, which stands above it: a circle")
    for file in sorted(sources.rglob("*.rs")):
        parts = module(file, sources)
        if parts[0] in OUTSIDE | TESTS:
            continue
        shown = file.relative_to(sources)
        text = file.read_text(encoding="utf-8")
        if (lines := text.count("\n")) > LINES:
            found.append(f"{shown}: {lines} lines, at most {LINES}")
        here = row_of(parts, table)
        if here is None:
            found.append(f"{shown}: no row of the map holds it")
            continue
        for line, path in paths(blank(text)):
            target = resolved(path, parts)
            there = target and row_of(target, table)
            if not there or there == here:
                continue
            used[here].add(there)
            if there not in table[here]:
                place = f"{shown}:{line}" if line else shown
                found.append(f"{place}: {here} uses {there} ({'::'.join(path)}), which the map does not allow")
    for folder in sorted({file.parent for file in sources.rglob("*.rs")} - {sources}):
        if (count := len(list(folder.glob("*.rs")))) > FILES:
            found.append(f"{folder.relative_to(sources)}: {count} files, at most {FILES}")
    for name, uses in table.items():
        found += [f"lib.rs: {name} does not use {other}" for other in uses if other not in used[name]]
    return found


if __name__ == "__main__":
    faults.end("the map", check(Path(sys.argv[1]) / "src"))
