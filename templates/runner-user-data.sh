#!/bin/bash
# Run by cloud-init once, at the first boot: makes the machine an ephemeral runner.
set -eu
umask 077
put() { # path owner mode content
    mkdir -p "${1%/*}"
    printf '%s' "$4" >"$1"
    chown "$2:$2" "${1%/*}" "$1"
    chmod "$3" "$1"
}
{% for file in files -%}
put {{ file.path }} {{ file.owner }} {{ file.mode }} {{ file.content }}
{% endfor -%}
systemctl daemon-reload
{% if behind_proxy -%}
! command -v docker >/dev/null || systemctl restart docker.service
{% endif -%}
cd {{ home }}
runuser -u {{ user }} -- env HOME={{ user_home }} ./config.sh --unattended --ephemeral --url {{ url }} \
    --token {{ token }} --name {{ name }} --labels {{ labels }}
{%- if group %} --runnergroup {{ group }}{% endif %}
# Not at later boots: an ephemeral runner does one job.
systemctl start --no-block actions-runner.service
