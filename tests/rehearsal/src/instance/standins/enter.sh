#!/bin/bash
# enter USER HOME COMMAND: what sshd does once somebody is logged in; the environment is already theirs.
. /.rehearsal/lib/common.sh
. /.rehearsal/lib/privilege.sh
cd "$2" 2> /dev/null || cd /
if [ -n "$3" ]; then become "$1" /bin/bash -c "$3"; else become "$1" /bin/bash -l; fi
