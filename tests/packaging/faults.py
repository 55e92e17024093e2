"""How a check ends: each fault is a line, and any of them fails it."""

import sys


def end(what, found):
    """Prints the faults that were found in `what`, and ends the program."""
    found = list(found)
    for fault in found:
        print(fault, file=sys.stderr)
    print(f"{what}: {len(found) or 'no'} faults")
    sys.exit(bool(found))
