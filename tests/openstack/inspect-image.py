"""Searches for fixed strings; run by inspect-image.sh.

    inspect-image.py bytes TITLE FILE PATTERN-FILE..     in all bytes of a file, skipping its holes
    inspect-image.py files TITLE FOLDER PATTERN-FILE..   in each file of one file system: names, link targets, contents

Exit status: 0 nothing found, 1 something found, 2 no patterns.
"""
import os
import stat
import sys

BLOCK = 8 << 20


def read_patterns(files):
    """{bytes: where it comes from}"""
    patterns = {}
    for name in files:
        with open(name, "rb") as file:
            for number, line in enumerate(file, start=1):
                line = line.rstrip(b"\r\n")
                if line:
                    patterns.setdefault(line, f"{name}:{number}")
    return patterns


def shortened(pattern):
    text = pattern.decode(errors="backslashreplace")
    return text if len(text) <= 4 else f"{text[:4]}... ({len(pattern)} bytes)"


def extents(descriptor, size):
    """The parts of a sparse file that hold data."""
    position = 0
    while position < size:
        try:
            start = os.lseek(descriptor, position, os.SEEK_DATA)
        except OSError:  # only a hole is left
            return
        position = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, position


def count_in_file(path, patterns):
    """{pattern: count}; a string across the border of two blocks is counted once, one across a hole cannot exist"""
    counts = dict.fromkeys(patterns, 0)
    overlap = max(map(len, patterns)) - 1
    with open(path, "rb", buffering=0) as file:
        descriptor, size = file.fileno(), os.fstat(file.fileno()).st_size
        for start, end in extents(descriptor, size):
            tail = b""
            while start < end:
                block = os.pread(descriptor, min(BLOCK, end - start), start)
                if not block:
                    break
                start += len(block)
                data = tail + block
                for pattern in patterns:
                    # what ends within the tail was counted with the block before
                    at = data.find(pattern, max(len(tail) - len(pattern) + 1, 0))
                    while at >= 0:
                        counts[pattern] += 1
                        at = data.find(pattern, at + 1)
                tail = data[-overlap:] if overlap else b""
    return {pattern: count for pattern, count in counts.items() if count}


def search_bytes(title, path, patterns):
    counts = count_in_file(path, patterns)
    for pattern, count in counts.items():
        print(f"{title}: {count} x {shortened(pattern)} from {patterns[pattern]}")
    return bool(counts)


def search_files(title, root, patterns):
    found = False
    device = os.stat(root).st_dev

    def report(what, path, pattern, count=1):
        nonlocal found
        found = True
        print(f"{title}: {count} x {shortened(pattern)} from {patterns[pattern]} in {what} {path!r}")

    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if os.lstat(os.path.join(folder, name)).st_dev == device)
        for name in sorted(names + folders):
            path = os.path.join(folder, name)
            shown = path.removeprefix(root)
            status = os.lstat(path)
            for pattern in patterns:
                if pattern in os.fsencode(name):
                    report("the name", shown, pattern)
                if stat.S_ISLNK(status.st_mode) and pattern in os.fsencode(os.readlink(path)):
                    report("the link", shown, pattern)
            if stat.S_ISREG(status.st_mode) and status.st_size:
                for pattern, count in count_in_file(path, patterns).items():
                    report("the file", shown, pattern, count)
    return found


def main(verb, title, path, *files):
    patterns = read_patterns(files)
    if not patterns:
        print("inspect-image: the pattern files hold no pattern", file=sys.stderr)
        return 2
    return int({"bytes": search_bytes, "files": search_files}[verb](title, path, patterns))


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="backslashreplace")
    sys.exit(main(*sys.argv[1:]))
