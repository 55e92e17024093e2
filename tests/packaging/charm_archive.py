#!/usr/bin/python3
"""Checks a charm as it would be deployed: charm_archive.py ARCHIVE SOURCES [FOLDER].

ARCHIVE is the .charm, SOURCES the folder with charmcraft.yaml and the other yaml files it was made from, FOLDER the
unpacked charm that the archive must equal. With the name of the Python charm it must be able to take its place. Every fault
is one line; any fault fails the check.
"""

import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import faults
import takes_place
import yaml_files

# The C library of the Ubuntu release that the charm's base names.
GLIBC = {"22.04": (2, 35), "24.04": (2, 39), "26.04": (2, 43)}
MACHINE = {"amd64": "Advanced Micro Devices X86-64", "arm64": "AArch64"}
LOADER = {"amd64": "/lib64/ld-linux-x86-64.so.2", "arm64": "/lib/ld-linux-aarch64.so.1"}
PYTHON_CHARM = yaml_files.load(takes_place.RECORDED)["name"]
# Libraries that are in every Ubuntu, however small: those of the C library, and gcc's.
LIBRARIES = {"libc.so.6", "libm.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}


def modes(archive):
    """Path -> Unix mode of every file of the archive."""
    return {entry.filename: entry.external_attr >> 16 & 0o777 for entry in archive.infolist() if not entry.is_dir()}


def unpack(archive, folder):
    """Extracts with modes, which zipfile alone does not."""
    archive.extractall(folder)
    for name, mode in modes(archive).items():
        (folder / name).chmod(mode)


def check_modes(archive):
    for name, mode in sorted(modes(archive).items()):
        wanted = 0o755 if name == "dispatch" or name.startswith(("hooks/", "scripts/")) else 0o644
        if mode != wanted:
            yield f"{name}: mode {mode:o}, wants {wanted:o}"
    for entry in archive.infolist():
        if entry.filename.startswith("/") or ".." in Path(entry.filename).parts:
            yield f"{entry.filename}: leaves the charm's folder"


def check_contents(folder):
    """Nothing is missing, and nothing came along that is not the charm's."""
    wanted = {"LICENSE", "actions.yaml", "config.yaml", "dispatch", "hooks", "icon.svg", "manifest.yaml"}
    wanted |= {"metadata.yaml", "scripts", "share"}
    for name in sorted(wanted ^ {path.name for path in folder.iterdir()}):
        yield f"{name}: " + ("missing" if name in wanted else "not expected")


def check_manifest(folder, bases, charmcraft):
    manifest = yaml_files.load(folder / "manifest.yaml")
    architectures = [base.get("architectures") for base in manifest.get("bases", [])]
    named = [base.split("@") for base in bases] if architectures else []
    wanted = [{"name": system, "channel": channel, "architectures": architectures[0]} for system, channel in named]
    # An unquoted 24.04 would be read as a number, and differ.
    if not wanted or manifest["bases"] != wanted:
        yield f"manifest.yaml: bases {manifest.get('bases')}, wants {', '.join(bases)}"
    elif architectures[0] not in ([name] for name in charmcraft["platforms"]):
        yield f"manifest.yaml: architectures {architectures[0]}"


def check_same_sources(folder, sources):
    """What the charm declares is what the sources declare, in whatever order it is written."""
    for name in ["metadata.yaml", "config.yaml", "actions.yaml"]:
        packed, source = yaml_files.load(folder / name), yaml_files.load(sources / name)
        if name == "metadata.yaml" and packed["name"] == PYTHON_CHARM:
            source["name"] = PYTHON_CHARM
        if packed != source:
            keys = [key for key in packed.keys() | source.keys() if packed.get(key) != source.get(key)]
            yield f"{name}: differs from its source in {', '.join(sorted(keys))}"


def check_dispatch(folder):
    """The executable runs on the bases and the architecture that the manifest, found good, names."""
    bases = yaml_files.load(folder / "manifest.yaml")["bases"]
    base = min(bases, key=lambda base: GLIBC[base["channel"]])
    architecture = base["architectures"][0]
    dispatch = folder / "dispatch"
    if dispatch.read_bytes()[:4] != b"\x7fELF":
        yield "dispatch: not an ELF file"
        return
    text = readelf("--file-header", "--program-headers", "--dynamic", "--version-info", dispatch)
    if MACHINE[architecture] not in text:
        yield f"dispatch: not for {architecture}"
    for loader in re.findall(r"program interpreter: (.*)\]", text):
        if loader != LOADER[architecture]:
            yield f"dispatch: interpreter {loader}"
    for library in set(re.findall(r"\(NEEDED\).*\[(.*)\]", text)) - LIBRARIES:
        yield f"dispatch: needs {library}"
    versions = {tuple(map(int, found.split("."))) for found in re.findall(r"GLIBC_([0-9.]+)", text)}
    newest = max(versions, default=(0, 0))
    if newest > GLIBC[base["channel"]]:
        yield f"dispatch: needs glibc {newest[0]}.{newest[1]}, which {base['name']} {base['channel']} has not"


def readelf(*arguments):
    command = ["readelf", "--wide", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True, env={"LC_ALL": "C"}).stdout


def check_equal(archive, folder):
    """The folder and the archive hold the same files with the same bytes and modes."""
    packed = {name: (mode, archive.read(name)) for name, mode in modes(archive).items()}
    unpacked = {
        str(path.relative_to(folder)): (path.stat().st_mode & 0o777, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }
    for name in sorted(packed.keys() | unpacked.keys()):
        if packed.get(name) != unpacked.get(name):
            yield f"{name}: differs between the archive and {folder}"


def check(archive, sources, folder):
    charmcraft = yaml_files.load(sources / "charmcraft.yaml")
    with tempfile.TemporaryDirectory() as scratch:
        unpacked = Path(scratch)
        unpack(archive, unpacked)
        yield from check_modes(archive)
        yield from check_contents(unpacked)
        yield from yaml_files.check(unpacked)
        yield from check_same_sources(unpacked, sources)
        takes_its_place = yaml_files.load(unpacked / "metadata.yaml").get("name") == PYTHON_CHARM
        bases = ["ubuntu@22.04", charmcraft["base"]] if takes_its_place else [charmcraft["base"]]
        unfit = list(check_manifest(unpacked, bases, charmcraft))
        yield from unfit or check_dispatch(unpacked)
        if takes_its_place:
            yield from takes_place.check(unpacked)
    if folder:
        yield from check_equal(archive, folder)


def main():
    path, sources = Path(sys.argv[1]), Path(sys.argv[2])
    folder = Path(sys.argv[3]) if len(sys.argv) > 3 else None
    with zipfile.ZipFile(path) as archive:
        found = list(check(archive, sources, folder))
        files = len(modes(archive))
    faults.end(f"{path}: {files} files, {path.stat().st_size} bytes", found)


if __name__ == "__main__":
    main()
