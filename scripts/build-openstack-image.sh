#!/bin/bash
# Builds a runner image on this machine and uploads it to a cloud, by hand:
#   build-openstack-image.sh CLOUD PATH TARGET [OPTION=VALUE...] <file-with-a-github-token
# The words are those of `dispatch build-image`; see docs/how-to/operate.md.
exec "$(dirname "$(readlink -f "$0")")/../dispatch" build-image "$@"
