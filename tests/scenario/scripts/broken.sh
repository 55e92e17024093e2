#!/bin/sh
echo "broken.sh: this script always fails" >&2
exit 3
