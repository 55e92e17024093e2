#!/bin/bash
# Tries the alert rules on made-up series: promtool test rules. The rules are those of every application.
set -euo pipefail
cd "$(dirname "$0")/../.."

scratch=target/alerts
mkdir -p "$scratch"
sed -e 's/{%%juju_topology%%, /{/g' -e 's/{%%juju_topology%%}/{}/g' observability/alert_rules.yaml >"$scratch/rules.yaml"
cp tests/alerts/*.yaml "$scratch/"
promtool check rules "$scratch/rules.yaml"
promtool test rules "$scratch/cases.yaml"
