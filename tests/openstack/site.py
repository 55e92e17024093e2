"""The servers that stand around the charm in the tests, as one tree of files, and the HTTP server for it. Run by site.sh.

    site.py keys  KEYS                            makes the signing keys that are missing
    site.py build SITE KEYS URL CODENAME=IMAGE..  makes the tree (only when something that goes in has changed)
    site.py serve SITE ADDRESS PORT ACCESS-LOG    serves it

The tree is the same each time for the same keys and images: dates, and the time of each signature, are fixed.
Only Python's standard library, gpg, gpgv and dpkg-deb are used.
"""
import contextlib
import email.utils
import gzip
import hashlib
import http.server
import io
import json
import lzma
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import urllib.parse

EPOCH = 1714057833  # 2024-04-25 15:10:33 UTC: the date of all that is made here, so that no guest's clock is before it
SCRIPTS = pathlib.Path(__file__).resolve().parent.parent / "scenario/scripts"  # an operator's, which the site serves too
RELEASES = {"focal": "20.04", "jammy": "22.04", "noble": "24.04", "resolute": "26.04"}

# ---------------------------------------------------------------- keys

KEYS = {  # name: the one it stands in for
    "cloudimage": "Stand-in for the cloud image signing key <cloud-images@testbed.invalid>",
    "archive": "Stand-in for the archive signing key <archive@testbed.invalid>",
}


@contextlib.contextmanager
def gpg_home():
    """A throw-away GNUPGHOME with a short path (its sockets need that), whose agent does not outlive it."""
    home = tempfile.mkdtemp(prefix="gpg-", dir="/tmp")
    try:
        yield home
    finally:
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False)
        shutil.rmtree(home, ignore_errors=True)


def gpg(home, *arguments, data=b""):
    command = ["gpg", "--homedir", home, "--batch", "--quiet", "--no-tty", "--pinentry-mode", "loopback", "--passphrase", "",
               "--faked-system-time", str(EPOCH), "--digest-algo", "SHA512", *arguments]
    result = subprocess.run(command, input=data, capture_output=True, check=False)
    if result.returncode != 0:
        sys.exit(f"{' '.join(command)}: {result.stderr.decode(errors='replace')}")
    return result.stdout  # not stderr, where it warns of the faked time


def make_keys(keys):
    keys.mkdir(parents=True, exist_ok=True)
    for name, user in KEYS.items():
        secret, public = keys / f"{name}.secret.gpg", keys / f"{name}-keyring.gpg"
        if secret.exists() and public.exists():
            continue
        with gpg_home() as home:
            gpg(home, "--quick-gen-key", user, "rsa4096", "sign", "never")
            private = gpg(home, "--export-secret-keys")
            with open(os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(private)
            public.write_bytes(gpg(home, "--export"))


class Signer:
    def __init__(self, home, secret):
        self.home = home
        gpg(home, "--import", str(secret))

    def detached(self, data):
        return gpg(self.home, "--detach-sign", data=data)

    def armoured(self, data):
        return gpg(self.home, "--armor", "--detach-sign", data=data)

    def clear(self, data):
        return gpg(self.home, "--clear-sign", data=data)


# ---------------------------------------------------------------- cloud images


def sha256_file(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def make_cloud_images(folder, signer, images):
    for codename, image in images.items():
        here = folder / codename / "current"
        here.mkdir(parents=True)
        name = f"{codename}-server-cloudimg-amd64"
        try:
            os.link(image, here / f"{name}.img")
        except OSError:
            shutil.copyfile(image, here / f"{name}.img")
        manifest = pathlib.Path(f"{image}.manifest")
        (here / f"{name}.manifest").write_bytes(manifest.read_bytes() if manifest.exists() else b"")
        sums = "".join(f"{sha256_file(path)} *{path.name}\n" for path in sorted(here.iterdir()))
        (here / "SHA256SUMS").write_text(sums)
        (here / "SHA256SUMS.gpg").write_bytes(signer.detached(sums.encode()))


# ---------------------------------------------------------------- apt repository

# Stand-ins for the packages of a runner image: component, name, commands. They are newer than any real package, so that they
# are the ones installed; therefore there must be none for what an image has already and needs (tar).
PACKAGES = (
    ("main", "apt-utils", ()),
    ("main", "build-essential", ()),
    ("main", "fuse", ()),
    ("main", "jq", ("jq",)),
    ("main", "pkg-config", ("pkg-config",)),
    ("main", "python-is-python3", ()),
    ("main", "python3-dev", ()),
    ("main", "python3-setuptools", ()),
    ("main", "python3-wheel", ()),
    ("main", "snapd", ()),
    ("main", "socat", ("socat",)),
    ("main", "time", ("time",)),
    ("main", "unzip", ("unzip",)),
    ("main", "wget", ("wget",)),
    ("universe", "cargo", ("cargo",)),
    ("universe", "docker-buildx", ()),
    ("universe", "docker.io", ()),
    ("universe", "gh", ("gh",)),
    ("universe", "npm", ("npm",)),
    ("universe", "python3-pip", ("pip", "pip3")),
    ("universe", "rustc", ("rustc",)),
    ("universe", "shellcheck", ("shellcheck",)),
    ("universe", "yarn", ("yarn",)),
)
UPDATED = "jq"  # this one has a newer version in CODENAME-updates
COMPONENTS = ("main", "restricted", "universe", "multiverse")

COMMAND = """#!/bin/sh
# A stand-in: it knows its version.
case ${1:-} in
  --version | -V | -v | version) echo "@NAME@ @VERSION@ (stand-in)";;
  *) echo "@NAME@: this stand-in only answers --version" >&2; exit 64;;
esac
"""
NPM = """#!/bin/sh
# A stand-in that installs stand-ins: npm install --global NAME... makes /usr/local/bin/NAME, which knows its version.
case ${1:-} in
  --version | -v) echo "@VERSION@"; exit;;
  cache | config) exit 0;;
  install | i | add) shift;;
  *) echo "npm: this stand-in only answers --version, install --global, cache and config" >&2; exit 64;;
esac
global= names=
for word; do
  case $word in
    -g | --global | --location=global) global=1;;
    -*) ;;
    *) names="$names ${word%%@*}";;
  esac
done
[ -n "$global" ] && [ -n "$names" ] || { echo "npm: this stand-in only installs --global NAME..." >&2; exit 64; }
for name in $names; do
  printf '#!/bin/sh\\necho "1.22.22"\\n' >"/usr/local/bin/$name" && chmod 0755 "/usr/local/bin/$name" || exit 1
done
echo "added$names"
"""


def daemon(name, program, socket_group, answer):
    """The files of a package whose daemon, started with the system, gives one answer to each request on /run/NAME."""
    unit = name.partition(".")[0]
    return {
        "DEBIAN/postinst": f"""#!/bin/sh
set -e
[ "$1" = configure ] || exit 0
getent group {socket_group} >/dev/null || groupadd --system {socket_group}
systemctl enable --quiet {unit}.socket {unit}.service
[ ! -d /run/systemd/system ] || {{ systemctl daemon-reload; systemctl start {unit}.socket {unit}.service; }}
""",
        f"{program}": f"""#!/usr/bin/python3 -I
# A stand-in: on the socket that systemd hands over it answers, and does nothing.
import json, pathlib, socket
with socket.socket(fileno=3) as listener:
    while True:
        client, _ = listener.accept()
        with client:
            path = client.recv(65536).decode().split(" ")[1]
            body = ({answer}).encode()
            head = f"HTTP/1.1 200 OK\\r\\nContent-Length: {{len(body)}}\\r\\nConnection: close\\r\\n\\r\\n"
            client.sendall(head.encode() + body)
""",
        f"lib/systemd/system/{unit}.socket": f"""[Socket]
ListenStream=/run/{name}
SocketMode=0660
SocketGroup={socket_group}
[Install]
WantedBy=sockets.target
""",
        f"lib/systemd/system/{unit}.service": f"""[Unit]
Requires={unit}.socket
[Service]
ExecStart=/{program}
[Install]
WantedBy=multi-user.target
""",
    }


# Packages that are more than commands. As with the real ones, docker's socket is its group's, and both clients ask the daemon.
FILES = {
    "docker.io": {
        **daemon("docker.sock", "usr/sbin/dockerd", "docker", '"Server: @VERSION@ (stand-in)\\n"'),
        "usr/bin/docker": """#!/bin/sh
# A stand-in: it knows its version, and asks the daemon for its.
case ${1:-} in
  --version | -v) echo "docker @VERSION@ (stand-in)";;
  version)
    echo "Client: @VERSION@ (stand-in)"
    curl -fsS --max-time 120 --unix-socket /run/docker.sock http://docker/version && exit
    echo "docker: the daemon at /run/docker.sock does not answer" >&2; exit 1;;
  *) echo "docker: this stand-in only answers --version and version" >&2; exit 64;;
esac
""",
    },
    "snapd": {
        **daemon("snapd.socket", "usr/lib/snapd/snapd", "root", 'json.dumps({"result": {"name": path.split("/")[-1], '
                 '"revision": str(len(list(pathlib.Path("/var/lib/snapd/snaps").glob(path.split("/")[-1] + "_*"))))}})'),
        "var/lib/snapd/snap/README": "Snaps would be here.\n",
        "usr/bin/snap": """#!/bin/sh
# A stand-in with a store that has every snap: each install and refresh of NAME is a file NAME_TIME in /var/lib/snapd/snaps.
curl -fsS --max-time 120 --unix-socket /run/snapd.socket http://snapd/v2/snaps/none >/dev/null ||
  { echo "snap: the daemon at /run/snapd.socket does not answer" >&2; exit 1; }
snaps=/var/lib/snapd/snaps
mkdir -p $snaps
case "$*" in
  "wait system seed.loaded" | "refresh --hold" | "watch --last=auto-refresh?") ;;
  "set system proxy.http="* | "set system proxy.https="* | "unset system proxy.http" | "unset system proxy.https") ;;
  "install "*" --channel "* | "refresh "*" --channel "*) echo "$*" >"$snaps/$2_$(date +%s%N)";;
  "remove "*) rm -f "$snaps/$2"_*;;
  *) echo "snap: this stand-in does not know: $*" >&2; exit 64;;
esac
""",
    },
}


def make_deb(pool, component, name, version, commands):
    folder = pool / component / name[0] / name
    folder.mkdir(parents=True, exist_ok=True)
    deb = folder / f"{name}_{version}_amd64.deb"
    with tempfile.TemporaryDirectory() as scratch:
        root = pathlib.Path(scratch, name)

        def put(path, text, mode=0o644):
            file = root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            file.chmod(mode)

        put(f"usr/share/doc/{name}/stand-in", f"{name} {version}: a stand-in for tests, it does nothing.\n")
        for command in commands:
            template = NPM if command == "npm" else COMMAND
            put(f"usr/bin/{command}", template.replace("@NAME@", command).replace("@VERSION@", version), 0o755)
        if name == "docker-buildx":
            put("usr/libexec/docker/cli-plugins/docker-buildx",
                COMMAND.replace("@NAME@", name).replace("@VERSION@", version), 0o755)
        if name == "python-is-python3":
            (root / "usr/bin").mkdir()
            (root / "usr/bin/python").symlink_to("python3")
        for path, text in FILES.get(name, {}).items():
            is_program = path.startswith(("usr/", "DEBIAN/"))
            put(path, text.replace("@VERSION@", version), 0o755 if is_program else 0o644)
        control = (f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: Nobody <nobody@testbed.invalid>\n"
                   f"Section: {'' if component == 'main' else component + '/'}misc\nPriority: optional\n"
                   f"Description: stand-in for {name}\n For tests; it does nothing.\n")
        put("DEBIAN/control", control)
        for path in [root, *root.rglob("*")]:
            if path.is_dir():
                path.chmod(0o755)
        subprocess.run(["dpkg-deb", "--root-owner-group", "-Zxz", "--build", str(root), str(deb)], check=True,
                       stdout=subprocess.DEVNULL, env={**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH)})
    return component, control, deb


def make_apt_repository(folder, signer, codenames):
    pool = folder / "pool"
    originals = [make_deb(pool, component, name, "99~standin1", commands) for component, name, commands in PACKAGES]
    updates = [make_deb(pool, component, name, "99~standin2", commands) for component, name, commands in PACKAGES if name == UPDATED]
    for codename in codenames:
        for suffix, debs in (("", originals), ("-updates", updates), ("-security", [])):
            make_suite(folder, signer, codename, suffix, debs)


def make_suite(folder, signer, codename, suffix, debs):
    suite = folder / "dists" / (codename + suffix)
    for component in COMPONENTS:
        binary = suite / component / "binary-amd64"
        binary.mkdir(parents=True)
        packages = "".join(
            f"{control.split('Description:')[0]}Filename: {deb.relative_to(folder)}\nSize: {deb.stat().st_size}\n"
            f"SHA256: {sha256_file(deb)}\nDescription: {control.split('Description: ')[1]}\n"
            for where, control, deb in debs if where == component).encode()
        (binary / "Packages").write_bytes(packages)
        (binary / "Packages.gz").write_bytes(gzip.compress(packages, mtime=EPOCH))
        (binary / "Packages.xz").write_bytes(lzma.compress(packages))
    indexes = sorted(path for path in suite.rglob("*") if path.is_file())
    release = (f"Origin: Ubuntu\nLabel: Ubuntu\nSuite: {codename}{suffix}\nVersion: {RELEASES[codename]}\nCodename: {codename}\n"
               f"Date: {email.utils.formatdate(EPOCH, usegmt=True).replace('GMT', 'UTC')}\nArchitectures: amd64\n"
               f"Components: {' '.join(COMPONENTS)}\nDescription: Stand-in for Ubuntu {codename.capitalize()}\nSHA256:\n")
    release += "".join(f" {sha256_file(path)} {path.stat().st_size:16d} {path.relative_to(suite)}\n" for path in indexes)
    (suite / "Release").write_text(release)
    (suite / "Release.gpg").write_bytes(signer.armoured(release.encode()))
    (suite / "InRelease").write_bytes(signer.clear(release.encode()))


# ---------------------------------------------------------------- the runner, tools and GitHub's API

RUNNER_VERSION = "2.337.1"
GITHUB_TOKEN = "planted-github-token-3f9a"
REGISTRATION_TOKEN = "REGISTRATION-7c1e"
NOT_AS_ROOT = """
if [ "$(id -u)" = 0 ] && [ -z "${RUNNER_ALLOW_RUNASROOT:-}" ]; then echo "Must not run with sudo"; exit 1; fi
"""
RUNNER_FILES = {  # a stand-in; like the real one it refuses to be configured or run by root
    "run.sh": "#!/bin/bash" + NOT_AS_ROOT + """
here=$(dirname "$0")
if [ -e "$here/config.args" ]; then  # a runner that was configured tells with what
    cat "$here/config.args" "$here/.env" | env -u http_proxy python3 -c '
import sys, urllib.request
urllib.request.urlopen("@URL@/report/runner", sys.stdin.buffer.read(), timeout=120)'
fi
exec "$here/bin/Runner.Listener" run "$@"
""",
    "config.sh": "#!/bin/bash" + NOT_AS_ROOT + 'if [ $# -gt 0 ]; then printf \'%s\\n\' "$@"; fi >"$(dirname "$0")/config.args"\n',
    "env.sh": '#!/bin/bash\ncd "$(dirname "$0")" && echo "LANG=${LANG:-C.UTF-8}" >.env && echo "$PATH" >.path\n',
    "bin/Runner.Listener": f"""#!/bin/bash
case ${{1:-}} in
  --version) echo {RUNNER_VERSION};;
  run) shift; printf '%s\\n' "$@" >"$(dirname "$0")/../run.args"; echo "Listening for Jobs (stand-in)";;
  *) echo "Runner.Listener: this stand-in knows --version and run" >&2; exit 64;;
esac
""",
    "bin/installdependencies.sh": """#!/bin/bash
if [ "$(id -u)" != 0 ]; then echo "Need to run with sudo privilege"; exit 1; fi
echo "Finish Install Dependencies (stand-in)"
""",
}


def runner_tarball(platform, url):
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.GNU_FORMAT) as tar:

        def add(name, mode, kind, data=b""):
            info = tarfile.TarInfo(name)
            info.mode, info.type, info.size, info.mtime = mode, kind, len(data), EPOCH
            info.uid, info.gid, info.uname, info.gname = 1001, 127, "runner", "docker"  # as GitHub's builders leave it
            tar.addfile(info, io.BytesIO(data))

        add("./", 0o755, tarfile.DIRTYPE)
        add("./bin/", 0o755, tarfile.DIRTYPE)
        for name, text in sorted(RUNNER_FILES.items()):
            add(f"./{name}", 0o755, tarfile.REGTYPE, text.replace("@URL@", url).encode())
        add("./bin/platform", 0o644, tarfile.REGTYPE, f"{platform}\n".encode())
    return gzip.compress(raw.getvalue(), mtime=EPOCH)


def make_runner(site, url):
    files = {f"actions-runner-{platform}-{RUNNER_VERSION}.tar.gz": runner_tarball(platform, url)
             for platform in ("linux-arm64", "linux-x64")}
    notes = ["## What's Changed", "* Everything (stand-in)", "", "## SHA-256 Checksums", "",
             "The SHA-256 checksums for the packages included in this build are shown below:", ""]
    for name, data in files.items():
        platform = "-".join(name.split("-")[2:4])
        digest = hashlib.sha256(data).hexdigest()
        notes.append(f"- {name} <!-- BEGIN SHA {platform} -->{digest}<!-- END SHA {platform} -->")
    make_release(site, url, "actions/runner", f"v{RUNNER_VERSION}", files, notes)
    # what GitHub offers to a repository: the runner application of each architecture
    offers = [{"os": "linux", "architecture": name.split("-")[3], "filename": name,
               "download_url": f"{url}/actions/runner/releases/download/v{RUNNER_VERSION}/{name}",
               "sha256_checksum": hashlib.sha256(data).hexdigest()} for name, data in files.items()]
    downloads = site / "api/repos/octo/engine/actions/runners/downloads"
    downloads.parent.mkdir(parents=True)
    downloads.write_text(json.dumps(offers))


TOOLS = (  # repository, tag, files: programs that know their version
    ("mikefarah/yq", "v4.54.1", ("yq_linux_amd64",)),
)


def make_tools(site, url):
    for repository, tag, names in TOOLS:
        text = f"#!/bin/sh\n# A stand-in: it knows its version.\necho '{repository} version {tag}'\n"
        make_release(site, url, repository, tag, {name: text.encode() for name in names}, ["A stand-in"])


def make_release(site, url, repository, tag, files, notes):
    """A release on GitHub: its files, and what the API says of it."""
    folder = site / repository / "releases/download" / tag
    folder.mkdir(parents=True)
    api = f"{url}/api/repos/{repository}"
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(EPOCH))
    actor = {"login": "github-actions[bot]", "id": 41898282, "type": "Bot", "site_admin": False}
    assets = []
    for number, (name, data) in enumerate(files.items(), start=1001):
        (folder / name).write_bytes(data)
        assets.append({
            "url": f"{api}/releases/assets/{number}", "id": number, "node_id": f"RA_{number}", "name": name, "label": "",
            "uploader": actor, "content_type": "application/octet-stream", "state": "uploaded", "size": len(data),
            "digest": f"sha256:{hashlib.sha256(data).hexdigest()}", "download_count": 1, "created_at": when,
            "updated_at": when, "browser_download_url": f"{url}/{repository}/releases/download/{tag}/{name}"})
    release = {
        "url": f"{api}/releases/1", "assets_url": f"{api}/releases/1/assets",
        "upload_url": f"{api}/releases/1/assets{{?name,label}}", "html_url": f"{url}/{repository}/releases/tag/{tag}",
        "id": 1, "author": actor, "node_id": "RE_1", "tag_name": tag, "target_commitish": "main", "name": tag, "draft": False,
        "immutable": False, "prerelease": False, "created_at": when, "updated_at": when, "published_at": when, "assets": assets,
        "tarball_url": f"{api}/tarball/{tag}", "zipball_url": f"{api}/zipball/{tag}", "body": "\r\n".join(notes)}
    text = json.dumps(release, indent=2) + "\n"
    tags = site / f"api/repos/{repository}/releases/tags"
    tags.mkdir(parents=True)
    (tags / tag).write_text(text)
    (tags.parent / "latest").write_text(text)


# ---------------------------------------------------------------- all of it


def build(site, keys, url, images):
    """Makes the tree beside the old one and swaps them, unless it would come out the same."""
    stamp = hashlib.sha256(pathlib.Path(__file__).read_bytes())
    stamp.update(url.encode())
    for script in sorted(SCRIPTS.iterdir()):
        stamp.update(script.name.encode() + script.read_bytes())
    for name in KEYS:
        stamp.update((keys / f"{name}-keyring.gpg").read_bytes())
    for codename, image in sorted(images.items()):
        status = os.stat(image)
        stamp.update(f"{codename} {image} {status.st_ino} {status.st_size} {status.st_mtime_ns}".encode())
    stamp_file = site.with_name(site.name + ".stamp")
    if site.is_dir() and stamp_file.exists() and stamp_file.read_text() == stamp.hexdigest():
        return
    stamp_file.unlink(missing_ok=True)
    new, old = site.with_name(site.name + ".new"), site.with_name(site.name + ".old")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    with gpg_home() as home:
        make_cloud_images(new / "cloud-images", Signer(home, keys / "cloudimage.secret.gpg"), images)
    with gpg_home() as home:
        make_apt_repository(new / "ubuntu", Signer(home, keys / "archive.secret.gpg"), images)
    make_runner(new, url)
    make_tools(new, url)
    shutil.copytree(SCRIPTS, new / "script")
    shutil.rmtree(old, ignore_errors=True)
    if site.exists():
        site.rename(old)
    new.rename(site)
    shutil.rmtree(old, ignore_errors=True)
    stamp_file.write_text(stamp.hexdigest())


# ---------------------------------------------------------------- server


class Handler(http.server.BaseHTTPRequestHandler):
    """Static files with ranges and conditional requests; below /api/ with GitHub's manners."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "testbed-site", ""
    timeout = 300
    site = None  # set by serve()
    log_file = None
    log_lock = threading.Lock()
    sent = 0

    def do_GET(self):
        self.answer(with_body=True)

    def do_HEAD(self):
        self.answer(with_body=False)

    def do_POST(self):
        self.answer(with_body=True, serve=self.take)

    def take(self, _with_body):
        """GitHub's registration tokens, for whoever has a token; and what machines report, kept beside the site."""
        body = self.rfile.read(min(int(self.headers.get("Content-Length", 0)), 1 << 16))
        if self.path.startswith("/api/") and self.path.endswith("/actions/runners/registration-token"):
            if self.headers.get("Authorization") != f"Bearer {GITHUB_TOKEN}":
                return self.reply(401, b'{"message": "Bad credentials"}', "application/json", True)
            token = {"token": REGISTRATION_TOKEN, "expires_at": "2099-01-01T00:00:00Z"}
            return self.reply(201, json.dumps(token).encode(), "application/json", True)
        if self.path == "/report/runner":
            pathlib.Path(self.site + ".report").write_bytes(body)
            return self.reply(204, b"", None, False)
        return self.reply(404, b"", None, False)

    def answer(self, with_body, serve=None):
        self.sent = 0
        try:
            self.status = (serve or self.serve_path)(with_body)
        except (OSError, ValueError) as error:  # the client went away, or sent nonsense
            self.status, self.close_connection = f"broken({type(error).__name__})", True
        finally:
            self.write_access_log()

    def serve_path(self, with_body):
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        in_api = path.startswith("/api/")
        if in_api and not self.headers.get("User-Agent"):
            return self.reply(403, b"Request forbidden by administrative rules. Please make sure your request has a "
                                   b"User-Agent header.\r\n", "text/html", with_body)
        file = pathlib.Path(self.site + path)
        if "\0" in path or ".." in file.parts or not file.is_file():
            if in_api:
                return self.reply(404, json.dumps({
                    "message": "Not Found", "documentation_url": "https://docs.github.com/rest", "status": "404"}).encode(),
                    "application/json; charset=utf-8", with_body)
            return self.reply(404, b"<html><head><title>404 Not Found</title></head><body>Not Found</body></html>\n",
                              "text/html", with_body)
        with open(file, "rb") as body:
            return self.serve_file(body, "application/json; charset=utf-8" if in_api else "application/octet-stream", with_body)

    def serve_file(self, body, kind, with_body):
        status = os.fstat(body.fileno())
        size, modified = status.st_size, int(status.st_mtime)
        headers = {"ETag": f'"{status.st_ino:x}-{size:x}-{status.st_mtime_ns:x}"',
                   "Last-Modified": email.utils.formatdate(modified, usegmt=True), "Accept-Ranges": "bytes"}
        if self.unchanged(headers["ETag"], modified):
            return self.reply(304, b"", None, with_body=False, headers=headers)
        start, end, code = 0, size, 200
        wanted = self.headers.get("Range", "")
        if wanted.startswith("bytes=") and "," not in wanted and self.headers.get("If-Range", headers["ETag"]) in headers.values():
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            if first:
                start, end = int(first), min(int(last) + 1 if last else size, size)
            else:
                start = max(size - int(last), 0)
            if start >= end:
                return self.reply(416, b"", None, with_body, headers={"Content-Range": f"bytes */{size}"})
            headers["Content-Range"], code = f"bytes {start}-{end - 1}/{size}", 206
        self.send_response_only(code)
        self.send_headers({**headers, "Content-Type": kind, "Content-Length": str(end - start)})
        if with_body and end > start:
            try:
                self.connection.sendfile(body, start, end - start)
            finally:
                self.sent = body.tell() - start
        return code

    def unchanged(self, etag, modified):
        if "If-None-Match" in self.headers:
            return etag in self.headers["If-None-Match"]
        since = email.utils.parsedate_to_datetime(self.headers["If-Modified-Since"]) if "If-Modified-Since" in self.headers else None
        return since is not None and modified <= since.timestamp()

    def reply(self, code, body, kind, with_body, headers=()):
        self.send_response_only(code)
        self.send_headers({**dict(headers), **({"Content-Type": kind} if kind else {}),
                           **({} if code == 304 else {"Content-Length": str(len(body))})})
        if with_body:
            self.wfile.write(body)
            self.sent = len(body)
        return code

    def send_headers(self, headers):
        for name, value in {"Server": self.server_version, "Date": self.date_time_string(), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.flush()

    def write_access_log(self):
        """One line a request: when, who, what, status, bytes sent, range, whether it carried credentials, user agent."""
        line = '{} {} "{}" {} {} range={} authorization={} "{}"\n'.format(
            time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), self.client_address[0], self.requestline, self.status, self.sent,
            self.headers.get("Range", "-"), "yes" if self.headers.get("Authorization") else "no", self.headers.get("User-Agent", "-"))
        with self.log_lock:
            self.log_file.write(line)
            self.log_file.flush()

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def serve(site, address, port, access_log):
    Handler.site = str(site)
    Handler.log_file = open(access_log, "a", encoding="utf-8", errors="backslashreplace")
    socket.setdefaulttimeout(Handler.timeout)
    Server((address, port), Handler).serve_forever()


def main(verb, *rest):
    if verb == "keys":
        make_keys(pathlib.Path(rest[0]))
    elif verb == "build":
        site, keys, url, *images = rest
        build(pathlib.Path(site), pathlib.Path(keys), url, dict(pair.split("=", 1) for pair in images))
    elif verb == "serve":
        serve(pathlib.Path(rest[0]), rest[1], int(rest[2]), rest[3])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    os.umask(0o022)
    main(*sys.argv[1:])
