#!/usr/bin/python3
"""Follows what leads from one file of the repository to another: links.py FOLDER.

Links in all *.md files: the file must exist and, where the link has an anchor, the heading that GitHub gives that anchor.
Names of pages below docs/ in all other files: the page must exist, and its anchor, too. Links to the web are not followed.
"""

import os
import re
import sys
from pathlib import Path
from urllib.parse import unquote

import faults

# Made, or not ours.
LEFT_OUT = {".git", "target", "parts", "stage", "prime", "__pycache__"}
SUFFIXES = {".py", ".rs", ".sh", ".tf", ".toml", ".yaml", ".json", ""}
# Speaks of pages that do not exist, to show that this is found.
SELF_TEST = "self_test.py"

FENCE = re.compile(r"^( *)(```+|~~~+).*?^\1?\2 *$", re.MULTILINE | re.DOTALL)
INLINE_CODE = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)")
LINK = re.compile(r"\[[^\]]*\]\(\s*<?([^)\s>]+)>?[^)]*\)|^ {0,3}\[[^\]]+\]:\s+<?(\S+?)>?\s*$", re.MULTILINE)
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
PAGE = re.compile(r"\bdocs/[\w./-]+\.(?:md|json)(?:#[\w-]+)?")
WEB = re.compile(r"[a-z][a-z0-9+.-]*:")


def files(folder):
    """Every file of the repository."""
    for parent, folders, names in os.walk(folder):
        # Not entered at all: what is made is large.
        folders[:] = sorted(set(folders) - LEFT_OUT)
        yield from (Path(parent, name) for name in sorted(names))


def blank(text, pattern):
    """The text without what the pattern finds, its lines kept."""
    return pattern.sub(lambda match: re.sub(r"[^\n]", " ", match.group(0)), text)


def anchors(text):
    """The anchors that GitHub gives the headings of a page."""
    found, seen = set(), {}
    for title in HEADING.findall(blank(text, FENCE)):
        title = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", title)
        slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        count = seen.get(slug, 0)
        seen[slug] = count + 1
        found.add(f"{slug}-{count}" if count else slug)
    return found


def fault(folder, base, target):
    """What is wrong with a link, none when nothing is."""
    path, _, anchor = unquote(target).partition("#")
    file = base if not path else (folder / path[1:] if path.startswith("/") else base.parent / path)
    if not file.exists():
        return f"{target}: there is no such file"
    if anchor and file.suffix == ".md" and anchor not in anchors(file.read_text(encoding="utf-8")):
        return f"{target}: the page has no such heading"
    return None


def links(text):
    """The links of a page, each with its line."""
    text = blank(blank(text, FENCE), INLINE_CODE)
    for match in LINK.finditer(text):
        target = match.group(1) or match.group(2)
        if not WEB.match(target):
            yield text.count("\n", 0, match.start()) + 1, target


def pages(text):
    """The names of pages below docs/, each with its line."""
    for match in PAGE.finditer(text):
        yield text.count("\n", 0, match.start()) + 1, match.group(0)


def check(folder):
    """All faults, one line each."""
    for file in files(folder):
        if file.suffix == ".md":
            found, base = links, file
        elif file.suffix in SUFFIXES and file.name != SELF_TEST:
            found, base = pages, folder / "README.md"
        else:
            continue
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for line, target in found(text):
            if problem := fault(folder, base, target):
                yield f"{file.relative_to(folder)}:{line}: {problem}"


if __name__ == "__main__":
    faults.end("links", check(Path(sys.argv[1])))
