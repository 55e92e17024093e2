#!/usr/bin/python3
"""The packaging checks' own test: each is shown a fault that it has to find. Runs on small made-up charms."""

import contextlib
import copy
import io
import os
import shutil
import subprocess
import tempfile
import unittest
import zipfile
from pathlib import Path

import alerts
import architecture
import charm_archive
import commands
import dependencies
import faults
import links
import listing
import reference
import sbom
import yaml_files

SOURCES = Path(__file__).resolve().parents[2]
ALLOWED = {"Apache-2.0", "MIT", "Unicode-3.0"}


class YamlFiles(unittest.TestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        for name in ["charmcraft.yaml", "metadata.yaml", "config.yaml", "actions.yaml"]:
            shutil.copy(SOURCES / name, self.folder)
        shutil.copytree(SOURCES / "hooks", self.folder / "hooks")

    def assert_found(self, fault):
        self.assertIn(fault, "\n".join(yaml_files.check(self.folder)))

    def append(self, name, text):
        with (self.folder / name).open("a", encoding="utf-8") as file:
            file.write(text)

    def test_accepts_the_project(self):
        self.assertEqual(yaml_files.check(self.folder), [])

    def test_finds_a_key_twice_in_one_file(self):
        self.append("metadata.yaml", "name: other\n")
        self.assert_found("twice: name")

    def test_finds_a_key_in_two_files(self):
        self.append("charmcraft.yaml", "summary: another\n")
        self.assert_found("summary: stands in")

    def test_finds_options_in_charmcraft_yaml(self):
        self.append("charmcraft.yaml", "config: {options: {}}\n")
        self.assert_found("config: stands in")

    def test_finds_an_option_without_description(self):
        self.append("config.yaml", "  bare:\n    type: string\n")
        self.assert_found("option bare: no description")

    def test_finds_a_default_of_another_type(self):
        self.append("config.yaml", "  bare:\n    type: int\n    default: '1'\n    description: x\n")
        self.assert_found("option bare: the default is no int")

    def test_finds_an_underscore_in_a_name(self):
        self.append("actions.yaml", "list_images:\n  description: x\n  additionalProperties: false\n")
        self.assert_found("action list_images: write it")

    def test_finds_a_key_that_juju_does_not_know_and_one_of_another_type(self):
        action = "bare:\n  description: x\n  additionalProperties: false\n"
        self.append("actions.yaml", action + "  paralel: true\n  parallel: 'yes'\n")
        self.assert_found("action bare: Juju knows no paralel")
        self.assert_found("action bare: parallel is no boolean")

    def test_finds_a_missing_hook_and_a_foreign_one(self):
        (self.folder / "hooks/start").rename(self.folder / "hooks/begin")
        self.assert_found("hooks/start: missing")
        self.assert_found("hooks/begin: no event has this name")

    def test_finds_a_hook_that_cannot_be_run(self):
        (self.folder / "hooks/start").chmod(0o644)
        self.assert_found("hooks/start: not executable")

    def test_finds_a_hook_that_tells_another_name(self):
        shutil.copy(self.folder / "hooks/stop", self.folder / "hooks/start")
        self.assert_found("hooks/start: does not name its event")

    def test_finds_what_is_not_yaml(self):
        self.append("actions.yaml", "\t- :")
        self.assert_found("actions.yaml: ")


class Archive(unittest.TestCase):
    """A charm around /bin/true, which is as good an executable as any."""

    def setUp(self):
        self.scratch = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.folder = self.scratch / "charm"
        self.folder.mkdir()
        for name in ["LICENSE", "icon.svg", "metadata.yaml", "config.yaml", "actions.yaml"]:
            shutil.copy(SOURCES / name, self.folder)
        for name in ["hooks", "scripts"]:
            shutil.copytree(SOURCES / name, self.folder / name)
        shutil.copy("/bin/true", self.folder / "dispatch")
        (self.folder / "share").mkdir()
        (self.folder / "share/dispatch.1").write_text("a manual page\n", encoding="utf-8")
        self.manifest("'24.04'", "amd64")

        for file in self.folder.rglob("*"):
            is_executable = file.is_dir() or file.name == "dispatch" or file.parent.name in ["hooks", "scripts"]
            file.chmod(0o755 if is_executable else 0o644)

    def manifest(self, channel, architecture):
        self.manifest_of([channel], architecture)

    def manifest_of(self, channels, architecture):
        bases = [f"- name: ubuntu\n  channel: {channel}\n  architectures: [{architecture}]\n" for channel in channels]
        text = "bases:\n" + "".join(bases)
        (self.folder / "manifest.yaml").write_text(text, encoding="utf-8")

    def faults(self):
        path = self.scratch / "a.charm"
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted(self.folder.rglob("*")):
                archive.write(file, file.relative_to(self.folder))
        with zipfile.ZipFile(path) as archive:
            return "\n".join(charm_archive.check(archive, SOURCES, None))

    def test_accepts_a_charm(self):
        self.assertEqual(self.faults(), "")

    def test_finds_a_dispatch_that_cannot_be_run(self):
        (self.folder / "dispatch").chmod(0o644)
        self.assertIn("dispatch: mode 644", self.faults())

    def test_finds_a_script_as_dispatch(self):
        (self.folder / "dispatch").write_text("#!/bin/sh\n", encoding="utf-8")
        self.assertIn("dispatch: not an ELF file", self.faults())

    def test_finds_an_executable_for_another_architecture(self):
        content = bytearray((self.folder / "dispatch").read_bytes())
        content[18:20] = b"\xb7\x00"  # e_machine: AArch64
        (self.folder / "dispatch").write_bytes(content)
        self.assertIn("dispatch: not for amd64", self.faults())

    def test_finds_a_c_library_that_is_too_new(self):
        known = copy.copy(charm_archive.GLIBC)
        self.addCleanup(charm_archive.GLIBC.update, known)
        charm_archive.GLIBC["24.04"] = (2, 0)
        self.assertIn("which ubuntu 24.04 has not", self.faults())

    def test_finds_a_missing_file_and_one_too_many(self):
        (self.folder / "LICENSE").rename(self.folder / "notes")
        self.assertIn("LICENSE: missing", self.faults())
        self.assertIn("notes: not expected", self.faults())

    def test_finds_a_channel_without_quotes(self):
        self.manifest("24.04", "amd64")
        self.assertIn("manifest.yaml: bases", self.faults())

    def test_finds_an_architecture_that_is_no_platform(self):
        self.manifest("'24.04'", "riscv64")
        self.assertIn("architectures ['riscv64']", self.faults())

    def test_finds_an_option_that_is_not_in_the_sources(self):
        with (self.folder / "config.yaml").open("a", encoding="utf-8") as file:
            file.write("  more:\n    type: string\n    description: x\n")
        self.assertIn("config.yaml: differs from its source in options", self.faults())


class TakesPlace(Archive):
    """The same under the name of the Python charm, whose place it takes."""

    def setUp(self):
        super().setUp()
        self.replace("metadata.yaml", "name: runner-image-builder\n", "name: github-runner-image-builder\n")
        self.manifest("'24.04'", "amd64")

    def manifest(self, channel, architecture):
        self.manifest_of(["'22.04'", channel], architecture)

    def replace(self, name, old, new):
        path = self.folder / name
        text = path.read_text(encoding="utf-8")
        self.assertIn(old, text)
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    def test_finds_a_c_library_that_is_too_new(self):
        known = copy.copy(charm_archive.GLIBC)
        self.addCleanup(charm_archive.GLIBC.update, known)
        charm_archive.GLIBC["22.04"] = (2, 0)
        self.assertIn("which ubuntu 22.04 has not", self.faults())

    def test_finds_that_the_base_of_the_deployment_is_missing(self):
        self.manifest_of(["'24.04'"], "amd64")
        self.assertIn("no base 22.04, on which the deployment is", self.faults())

    def test_finds_an_option_that_is_gone_and_one_of_another_type(self):
        self.replace("config.yaml", "  build-flavor:\n", "  builder-flavor:\n")
        self.replace("config.yaml", "  build-interval:\n    type: int\n", "  build-interval:\n    type: float\n")
        self.assertIn("option build-flavor is missing, and was string", self.faults())
        self.assertIn("option build-interval is float, and was int", self.faults())

    def test_finds_an_endpoint_of_another_interface_and_an_action_that_is_gone(self):
        self.replace("metadata.yaml", "github_runner_image_v0", "github_runner_image_v1")
        self.replace("actions.yaml", "\nrun:\n", "\nrun-now:\n")
        self.assertIn("provides no image of interface github_runner_image_v0", self.faults())
        self.assertIn("actions.yaml: no action run", self.faults())


class Dependencies(unittest.TestCase):
    def test_reads_licence_expressions(self):
        for expression, usable in [
            ("MIT", True),
            ("GPL-3.0", False),
            ("MIT OR GPL-3.0", True),
            ("GPL-3.0 OR MIT", True),
            ("MIT AND GPL-3.0", False),
            ("(GPL-3.0 OR MIT) AND Unicode-3.0", True),
            ("GPL-3.0 OR MIT AND Unicode-3.0", True),
            ("Apache-2.0 WITH LLVM-exception", True),
            ("", False),
        ]:
            with self.subTest(expression):
                self.assertEqual(dependencies.licences_of(expression, ALLOWED) is not None, usable)

    def test_finds_a_licence_that_is_not_allowed_and_one_that_nobody_needs(self):
        packages = [{"name": "a", "version": "1.0.0", "license": licence} for licence in ["MIT", "GPL-3.0", None]]
        faults = list(dependencies.check_licences(packages, {"MIT"}))
        self.assertEqual(faults, ["a 1.0.0: licence GPL-3.0", "a 1.0.0: licence not given"])
        notes = list(dependencies.unused_licences(packages, {"MIT", "ISC"}))
        self.assertEqual(notes, ["no crate needs the licence ISC"])

    def test_finds_two_versions_and_a_stale_exception(self):
        packages = [{"name": "a", "version": version} for version in ["1.0.0", "2.1.0"]]
        exception = {"skip": [{"crate": "a@1.0"}]}
        self.assertEqual(list(dependencies.check_versions(packages, {"skip": []})), ["a: versions 1.0.0, 2.1.0"])
        self.assertEqual(list(dependencies.check_versions(packages, exception)), [])
        self.assertEqual(list(dependencies.unused_skips(packages, exception)), [])
        notes = list(dependencies.unused_skips(packages[:1], exception))
        self.assertEqual(notes, ["nothing needs the exception for a@1.0"])

    def test_finds_who_uses_a_banned_crate(self):
        packages = [{"name": name, "version": "1.0.0", "uses": {"b"}} for name in ["a", "wrapper"]]
        rules = {"deny": [{"crate": "b", "reason": "why", "wrappers": ["wrapper"]}]}
        self.assertEqual(list(dependencies.check_bans(packages, rules)), ["a 1.0.0: uses b, banned: why"])

    def test_finds_a_wildcard_and_a_foreign_source(self):
        package = {"name": "a", "version": "1.0.0", "source": None, "dependencies": [{"name": "b", "req": "*"}]}
        self.assertEqual(list(dependencies.check_wildcards([package])), ["a 1.0.0: any version of b"])
        package["source"] = "git+https://there"
        faults = list(dependencies.check_sources([package], {"allow-registry": ["https://here"]}))
        self.assertEqual(faults, ["a 1.0.0: from git+https://there"])

    def test_finds_a_dependency_without_a_reason(self):
        uses = [{"name": "b", "rename": None}, {"name": "c-d", "rename": "c"}]
        package = {"name": "a", "source": None, "dependencies": uses}
        page = "\n## a\n\n| `b` | why |\n\n## other\n\n| `c` | why |\n"
        faults = list(dependencies.check_reasons([package], page))
        self.assertEqual(faults, ["docs/reference/dependencies.md: no reason for c of a"])

    def test_finds_a_rule_that_is_not_applied(self):
        rules = {"graph": {}, "licenses": {"confidence-threshold": 1}, "bans": {}, "sources": {}}
        self.assertIn("licenses.confidence-threshold is not known", next(dependencies.check_rules(rules)))


class Map(unittest.TestCase):
    """A small house of two folders, of which `charm` may use `host`."""

    LIB = "//! | folder | holds | uses |\n//! |---|---|---|\n"
    ROWS = "//! | `charm` | decisions | `host` |\n//! | `host` | the machine | nothing |\n"

    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.write("lib.rs", self.LIB + self.ROWS + "mod charm;\nmod host;\n")
        self.write("charm/mod.rs", "mod event;\nuse crate::host::Host;\n")
        self.write("charm/event.rs", "use super::Charm;\n")
        self.write("host/mod.rs", "//! Uses crate::charm in no way: \"crate::charm\".\npub struct Host;\n")

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def assert_found(self, fault):
        self.assertIn(fault, "\n".join(architecture.check(self.folder)))

    def test_accepts_the_project_and_the_small_house(self):
        self.assertEqual(architecture.check(SOURCES / "src"), [])
        self.assertEqual(architecture.check(self.folder), [])

    def test_finds_a_use_against_the_map(self):
        self.write("host/files.rs", "use std::fs;\nuse crate::{charm::Event, other};\n")
        self.assert_found("host/files.rs:2: host uses charm (crate::charm::Event)")

    def test_finds_a_path_against_the_map(self):
        self.write("host/files.rs", "fn name() -> String { super::super::charm::name() }\n")
        self.assert_found("host uses charm")

    def test_does_not_mind_what_tests_use(self):
        self.write("host/files.rs", "#[cfg(test)]\nmod tests {\n    use crate::charm::Event;\n}\n")
        self.assertEqual(architecture.check(self.folder), [])

    def test_finds_a_folder_without_a_row_and_a_row_without_a_folder(self):
        self.write("utils/mod.rs", "")
        self.write("lib.rs", self.LIB + self.ROWS + "//! | `web` | doors | nothing |\n")
        self.assert_found("utils/mod.rs: no row")
        self.assert_found("web stands in the map, and there is no such folder")

    def test_finds_a_circle(self):
        self.write("lib.rs", self.LIB + self.ROWS.replace("nothing", "`charm`"))
        self.assert_found("host uses charm, which stands above it: a circle")

    def test_finds_a_row_that_allows_what_nothing_uses(self):
        self.write("charm/mod.rs", "mod event;\n")
        self.assert_found("charm does not use host")

    def test_finds_a_file_that_is_too_long_and_a_folder_that_is_too_full(self):
        self.write("host/long.rs", "\n" * 401)
        for number in range(20):
            self.write(f"charm/event{number}.rs", "")
        self.assert_found("host/long.rs: 401 lines")
        self.assert_found("charm: 22 files")


class Pages(unittest.TestCase):
    """Two pages that lead to each other."""

    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.write("README.md", "# Front\n\n[there](docs/page.md#two-words-code)\n")
        self.write("docs/page.md", "# Page\n\n## Two words, `code`\n\n[back](../README.md#front)\n")

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def test_accepts_the_project_and_the_two_pages(self):
        self.assertEqual(list(links.check(SOURCES)), [])
        self.assertEqual(list(links.check(self.folder)), [])

    def test_finds_a_link_to_no_page_and_one_to_no_heading(self):
        self.write("README.md", "[a](docs/gone.md) [b](docs/page.md#gone)\n\n[c]: docs/lost.md\n")
        faults = "\n".join(links.check(self.folder))
        self.assertIn("README.md:1: docs/gone.md: there is no such file", faults)
        self.assertIn("README.md:1: docs/page.md#gone: the page has no such heading", faults)
        self.assertIn("README.md:3: docs/lost.md: there is no such file", faults)

    def test_finds_a_page_that_code_names_and_that_is_gone(self):
        self.write("rules.yaml", "runbook: docs/page.md#gone\nother: docs/gone.md\n")
        faults = "\n".join(links.check(self.folder))
        self.assertIn("rules.yaml:1: docs/page.md#gone", faults)
        self.assertIn("rules.yaml:2: docs/gone.md", faults)

    def test_does_not_follow_links_in_code_and_to_the_web(self):
        self.write("README.md", "# Front\n```\n[a](gone.md)\n```\n`[b](gone.md)` [c](https://example.com/gone.md)\n")
        self.assertEqual(list(links.check(self.folder)), [])

    def test_tells_headings_of_one_name_apart(self):
        self.assertEqual(links.anchors("# Files\n\n## Files\n"), {"files", "files-1"})


class Documents(unittest.TestCase):
    """A page about the charm's own words."""

    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        (self.folder / "src/cli").mkdir(parents=True)
        for name in ["config.yaml", "actions.yaml", "Makefile", "src/cli/arguments.rs"]:
            shutil.copy(SOURCES / name, self.folder / name)

    def test_accepts_the_project(self):
        self.assertEqual(list(commands.check(SOURCES)), [])
        self.assertEqual(list(reference.check(SOURCES)), [])

    def test_finds_commands_that_name_what_is_not_there(self):
        (self.folder / "README.md").write_text(
            "```sh\nmake rehears\njuju run app/leader run fource=true\njuju config app base-imag=noble \\\n"
            "    --reset paused,pausd\n```\n`juju run app/leader launch` and `sudo ./dispatch job`\n",
            encoding="utf-8",
        )
        faults = "\n".join(commands.check(self.folder))
        named = ["make rehears", "parameter fource", "option base-imag", "option pausd", "action launch", "dispatch job"]
        for word in named:
            self.assertIn(word, faults)
        self.assertIn("README.md:2:", faults)
        self.assertIn("README.md:7:", faults)

    def test_finds_a_reference_page_that_is_not_in_step(self):
        self.assertIn("docs/reference/options.md is not in step", "\n".join(reference.check(self.folder)))


class Listing(unittest.TestCase):
    """A copy of what a listing asks, in which something is then wrong."""

    NAMES = [".github", "docs", "terraform", "charmcraft.yaml", "metadata.yaml", "config.yaml", "actions.yaml"]
    NAMES += ["icon.svg", "LICENSE", "SECURITY.md", "CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "Makefile", "Cargo.toml", "Cargo.lock"]

    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        for name in self.NAMES:
            copy_of = shutil.copytree if (SOURCES / name).is_dir() else shutil.copy
            copy_of(SOURCES / name, self.folder / name)

    def replace(self, name, old, new):
        path = self.folder / name
        text = path.read_text(encoding="utf-8")
        self.assertIn(old, text)
        path.write_text(text.replace(old, new), encoding="utf-8")

    def assert_found(self, name, fault):
        faults = [text for criterion, is_fault, text in listing.check(self.folder) if is_fault and criterion == name]
        self.assertIn(fault, "\n".join(faults))

    def test_accepts_the_project(self):
        self.assertEqual([found for found in listing.check(SOURCES) if found[1]], [])

    def test_finds_an_endpoint_that_does_not_say_whether_it_is_optional(self):
        self.replace("metadata.yaml", "    limit: 1\n    optional: true\n", "    limit: 1\n")
        self.assert_found("optional endpoints", "cos-agent")

    def test_finds_an_icon_that_is_not_packed_and_one_of_another_size(self):
        self.replace("charmcraft.yaml", ", icon.svg]", "]")
        self.assert_found("icon", "does not stage icon.svg")
        self.replace("icon.svg", 'height="100"', 'height="90"')
        self.assert_found("icon", "not 100 by 100")

    def test_finds_a_page_to_which_the_index_does_not_lead(self):
        (self.folder / "docs/how-to/new.md").write_text("# New\n", encoding="utf-8")
        self.assert_found("documentation", "how-to/new.md")

    def test_finds_a_variable_of_terraform_that_is_not_used(self):
        self.replace("terraform/main.tf", "units       = var.units", "units       = 1")
        self.assert_found("Terraform module", "the variable units")

    def test_finds_an_exception_that_is_not_needed(self):
        (self.folder / "pyproject.toml").write_text("[project]\n", encoding="utf-8")
        self.assert_found("Python project", "remove its exception")


class Sbom(unittest.TestCase):
    LOCK = 'version = 4\n' + "".join(
        f'[[package]]\nname = "{name}"\nversion = "1.0.0"\nsource = "{sbom.CRATES_IO}"\nchecksum = "{name}"\n'
        for name in ["plain", "macro", "parser", "builder"]
    )
    NORMAL = [
        (0, ("runner-image-builder", "0.1.0"), False, "Apache-2.0"),
        (1, ("macro", "1.0.0"), True, "MIT"),
        (2, ("parser", "1.0.0"), False, "MIT/Apache-2.0"),
        (1, ("plain", "1.0.0"), False, "MIT"),
    ]
    ALL = [*NORMAL, (2, ("builder", "1.0.0"), False, "MIT")]

    def document(self):
        lock = sbom.locked(self.LOCK)
        return sbom.document("a.charm", "digest", "0.1.0", self.NORMAL, self.ALL, lock, [("rustc", "1")])

    def test_tells_what_is_compiled_in_from_what_only_builds(self):
        kinds = {}
        for relation in self.document()["relationships"]:
            ends = [relation[end].removeprefix("SPDXRef-") for end in ["spdxElementId", "relatedSpdxElement"]]
            kinds[tuple(ends)] = relation["relationshipType"]
        self.assertEqual(kinds["charm", "crate-plain-1.0.0"], "CONTAINS")
        for crate in ["macro", "parser", "builder"]:
            self.assertEqual(kinds[f"crate-{crate}-1.0.0", "charm"], "BUILD_DEPENDENCY_OF")
        self.assertEqual(kinds["tool-rustc", "charm"], "BUILD_TOOL_OF")

    def test_is_the_same_each_time_and_names_licences_as_spdx_does(self):
        self.assertEqual(self.document(), self.document())
        parser = next(package for package in self.document()["packages"] if package["name"] == "parser")
        self.assertEqual(parser["licenseDeclared"], "MIT OR Apache-2.0")
        self.assertEqual(parser["checksums"], [{"algorithm": "SHA256", "checksumValue": "parser"}])


class Alerts(unittest.TestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        for name in [alerts.RULES, alerts.PAGE]:
            (self.folder / name).parent.mkdir(parents=True)
            shutil.copy(SOURCES / name, self.folder / name)

    def change(self, before, after):
        page = self.folder / alerts.PAGE
        text = page.read_text(encoding="utf-8")
        self.assertIn(before, text)
        page.write_text(text.replace(before, after, 1), encoding="utf-8")
        return "\n".join(alerts.check(self.folder))

    def test_accepts_the_project(self):
        self.assertEqual(list(alerts.check(SOURCES)), [])

    def test_finds_an_alert_without_a_section_and_a_section_without_an_alert(self):
        found = self.change("## HostDown", "## HostGone")
        self.assertIn("no section HostDown", found)
        self.assertIn("the section HostGone", found)

    def test_finds_another_severity_and_a_section_without_advice(self):
        self.assertIn("does not begin with 'Critical: '", self.change("Critical: an image", "Warning: an image"))
        page = self.folder / alerts.PAGE
        page.write_text("# Alerts\n\n## HostDown\n\nWarning: it is down.\n", encoding="utf-8")
        self.assertIn("section HostDown does not say what to do", "\n".join(alerts.check(self.folder)))


class Faults(unittest.TestCase):
    def test_a_check_fails_by_any_fault_and_tells_each(self):
        for found, code, last in [([], 0, "x: no faults\n"), (["a", "b"], 1, "x: 2 faults\n")]:
            out, err = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), self.assertRaises(SystemExit) as end:
                faults.end("x", iter(found))
            self.assertEqual((int(end.exception.code), out.getvalue()), (code, last))
            self.assertEqual(err.getvalue(), "".join(f"{fault}\n" for fault in found))


class Advisories(unittest.TestCase):
    def test_says_at_its_end_that_nothing_was_checked(self):
        """Without cargo-deny; that is no failure."""
        script = Path(__file__).with_name("advisories.sh")
        with tempfile.TemporaryDirectory() as empty:
            run = subprocess.run(
                ["/bin/bash", script], env=os.environ | {"PATH": empty}, capture_output=True, text=True, check=True
            )
        self.assertIn("NOT CHECKED", run.stderr)
        self.assertIn("cargo install --locked cargo-deny", run.stderr)


if __name__ == "__main__":
    unittest.main()
