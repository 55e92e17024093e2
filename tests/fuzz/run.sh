#!/bin/bash
# run.sh [TARGET...]: lets libFuzzer think out what comes in at the charm's doors, for TIME seconds (60) at each of the targets.
# It begins with corpus/ and what earlier runs have found, which is kept below target/fuzz/. An input that makes a target fail
# is kept there too: run.sh TARGET=FILE feeds that one again.
set -euo pipefail
cd "$(dirname "$0")/../.."
top=target/fuzz
targets=("$@")
((${#targets[@]} > 0)) || targets=(databag hook_tools journal openstack)

# What cargo-fuzz sets, without the sanitizers, for which a nightly compiler is needed: there is no unsafe code to watch.
passes=(-Cpasses=sancov-module)
for option in level=4 inline-8bit-counters pc-table trace-compares; do
    passes+=("-Cllvm-args=-sanitizer-coverage-$option")
done
host=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS="${RUSTFLAGS-} ${passes[*]} --cfg fuzzing" \
    cargo build --quiet --locked --package fuzz --profile fuzz --target "$host" --target-dir "$top"

# Each of them keeps one processor busy.
if ((${#targets[@]} > 1)); then
    printf '%s\n' "${targets[@]}" | xargs -P "$(nproc)" -n 1 tests/fuzz/run.sh
    exit
fi

input=${targets[0]#*=}
target=${targets[0]%%=*}
binary=$top/$host/fuzz/$target
if [[ $input != "$target" ]]; then
    "$binary" "$input"
    exit
fi
mkdir -p "$top/corpus/$target" "$top/artifacts/$target"
log=$top/$target.log
# One seed, so that two runs try the same for as long as the machine's time allows.
if ! "$binary" -seed=1 -max_total_time="${TIME:-60}" -timeout=20 -rss_limit_mb=2048 -max_len=16384 -print_final_stats=1 \
    -artifact_prefix="$top/artifacts/$target/" "$top/corpus/$target" "tests/fuzz/corpus/$target" >"$log" 2>&1; then
    grep -v '^#' "$log" | tail -n 60
    echo "$target failed; again with: tests/fuzz/run.sh $target=FILE, the file that is named above" >&2
    exit 1
fi
awk -v target="$target" '/^stat::number_of_executed_units/ {runs = $2} /cov: / {match($0, /cov: [0-9]+/); cov = substr($0, RSTART + 5, RLENGTH - 5)}
    END {print target ": " runs " inputs, " cov " edges reached, no failure"}' "$log"
