#!/bin/sh
printf '%s\n' '[Unit]' DefaultDependencies=no Before=basic.target '[Service]' Type=oneshot \
  'ExecStart=/bin/sleep infinity' TimeoutStartSec=infinity '[Install]' RequiredBy=basic.target >/etc/systemd/system/hang.service
systemctl enable hang.service
