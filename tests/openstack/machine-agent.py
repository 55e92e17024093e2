#!/usr/bin/python3
"""The far end of the test's Juju agent, for a charm on a machine of its own.

As `machine-agent` it serves on that machine, in a service like jujud's: each connection is a turn, a line of JSON with
argv, env and dir, which runs as a child of this process and is answered with how it ended.

As `dispatch`, in place of the charm's own on the near end, it lets the far one run the charm's executable of this path.
"""
import json
import os
import socket
import socketserver
import subprocess
import sys
import tempfile

ADDRESS = ("127.0.0.1", 17070)
LIMIT = 1 << 20


class Turn(socketserver.StreamRequestHandler):
    def handle(self):
        turn = json.loads(self.rfile.readline())
        # Not pipes: what a hook leaves behind may hold them for longer than it lives.
        with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
            output = {"stdin": subprocess.DEVNULL, "stdout": stdout, "stderr": stderr}
            code = subprocess.run(turn["argv"], env=turn["env"], cwd=turn["dir"], **output).returncode
            said = [os.pread(file.fileno(), LIMIT, 0).decode(errors="replace") for file in (stdout, stderr)]
        self.wfile.write(json.dumps([code, *said]).encode())


class Server(socketserver.TCPServer):
    allow_reuse_address = True


def dispatch():
    turn = {"argv": [os.path.abspath(sys.argv[0])], "env": dict(os.environ), "dir": os.getcwd()}
    try:
        with socket.create_connection(ADDRESS) as agent:
            agent.sendall(json.dumps(turn).encode() + b"\n")
            code, stdout, stderr = json.load(agent.makefile())
    except (OSError, ValueError) as error:
        sys.exit(f"the machine's agent is gone: {error}")
    sys.stdout.write(stdout)
    sys.stderr.write(stderr)
    # A signal's number is negative.
    sys.exit(code if code >= 0 else 128 - code)


if os.path.basename(sys.argv[0]) == "dispatch":
    dispatch()
with Server(ADDRESS, Turn) as server:
    server.serve_forever()
