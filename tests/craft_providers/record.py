"""Records what craft-providers' BuilddBase does to an instance: record.py CASES RECORD

For each case of CASES (JSON) the commands and files come in their order, and how it ended; nothing is run, the answers
are those of the case. The record has one line for each event, as tests/craft_providers/main.rs writes its own.
"""

import json
import os
import pathlib
import signal
import subprocess
import sys

from craft_providers import Executor, errors
from craft_providers.actions.snap_installer import Snap
from craft_providers.bases import BuilddBase, BuilddBaseAlias
from craft_providers.errors import BaseCompatibilityError, BaseConfigurationError

CONFIG = "/etc/craft-instance.conf"
# One case answers at once; whoever waits longer waits for what does not come.
LIMIT = 20


class Recorder(Executor):
    """An instance of which only the record is real."""

    def __init__(self, answers, files):
        self.answers = answers
        self.files = files
        self.events = []

    def execute_run(self, command, *, cwd=None, env=None, timeout=None, text=None, check=False, **further):
        words = [str(word) for word in command]
        self.events.append("run " + json.dumps(words, separators=(",", ":"), ensure_ascii=False))
        answer = next((a for a in self.answers if begins(words, a["begins"])), {})
        code, out, err = answer.get("code", 0), answer.get("stdout", ""), ""
        if not (text or further.get("encoding")):
            out, err = out.encode(), err.encode()
        if check and code:
            raise subprocess.CalledProcessError(code, words, out, err)
        return subprocess.CompletedProcess(words, code, out, err)

    def execute_popen(self, command, **_):
        raise NotImplementedError(command)

    def push_file_io(self, *, destination, content, file_mode, group="root", user="root"):
        data = content.read()
        self.files[str(destination)] = data
        text = json.dumps(data.decode(), ensure_ascii=False)
        self.events.append(f"push {destination} {user}:{group} {int(file_mode, 8):04o} {text}")

    def push_file(self, *, source, destination):
        raise NotImplementedError(source)

    def pull_file(self, *, source, destination):
        if str(source) not in self.files:
            raise FileNotFoundError(source)
        destination.write_bytes(self.files[str(source)])

    def mount(self, *, host_source, target):
        self.events.append(f"mount {host_source} {target}")

    def delete(self):
        raise NotImplementedError

    def exists(self):
        return True

    def is_running(self):
        return True


def begins(words, beginning):
    """Whether the words begin so; the last one may be cut short."""
    *whole, last = beginning
    return words[: len(whole)] == whole and len(words) > len(whole) and words[len(whole)].startswith(last)


def record(case, answers):
    parameters = dict(case.get("parameters", {}))
    parameters["alias"] = BuilddBaseAlias[parameters.get("alias", "noble").upper()]
    parameters["snaps"] = [Snap(**snap) for snap in parameters.get("snaps", [])]
    if "cache_path" in parameters:
        parameters["cache_path"] = pathlib.Path(parameters["cache_path"])
    files = {CONFIG: case["instance_config"].encode()} if "instance_config" in case else {}
    executor = Recorder(case.get("answers", []) + answers, files)
    # What it asks of its own environment is told in the case.
    own = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "no_proxy", "NO_PROXY")
    for name in own:
        os.environ.pop(name, None)
    signal.alarm(LIMIT)
    try:
        base = BuilddBase(**parameters)
        timeout = case.get("timeout", 3600)
        if case["operation"] == "setup":
            base.setup(executor=executor, timeout=timeout, mount_cache=case.get("mount_cache", True))
        elif case["operation"] == "warmup":
            base.warmup(executor=executor, timeout=timeout)
        else:
            base.wait_until_ready(executor)
        end = "done"
    except BaseCompatibilityError:
        end = "BaseCompatibilityError"
    except BaseConfigurationError:
        end = "BaseConfigurationError"
    except errors.ProviderError as error:
        end = type(error).__name__
    except Exception as error:
        end = type(error).__name__
    finally:
        signal.alarm(0)
    return executor.events + [f"end {end}"]


def main():
    told = json.loads(pathlib.Path(sys.argv[1]).read_text())
    recorded = {case["name"]: record(case, told["answers"]) for case in told["cases"]}
    pathlib.Path(sys.argv[2]).write_text(json.dumps(recorded, indent=1, ensure_ascii=False) + "\n")


main()
