#!/bin/bash
# Another script than setup.sh, which makes another image.
set -eu
touch /opt/another-script.ok
