#!/bin/sh
# Writes tests/plan_table.txt anew for plans that were changed knowingly: one section for each build directory, with all
# that the processor has and with AVX2. Without arguments: build and build-onednn3 (.ci/run makes it), where they are there.
# usage: tests/plan_table.sh [BUILD_DIRECTORY...]
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
if [ $# = 0 ]; then
    for build in "$root/build" "$root/build-onednn3"; do
        [ ! -f "$build/build.ninja" ] || set -- "$@" "$build"
    done
fi
[ $# != 0 ] || { echo "$0: no build directory: name those that \`meson setup\` made" >&2; exit 1; }

written=
for build in "$@"; do
    ninja -C "$build" tests/test_plan_table >/dev/null || { echo "$0: $build does not build" >&2; exit 1; }
    for isa in "" AVX2; do
        out=$(CK_FORK=no OMP_WAIT_POLICY=passive GMODEL_WRITE_PLAN_TABLE=1 \
            env ${isa:+ONEDNN_MAX_CPU_ISA=$isa} "$build/tests/test_plan_table") || { echo "$out"; exit 1; }
        section=$(echo "$out" | sed -n 's/^wrote //p')
        written="$written$section
"
        echo "wrote $section"
    done
done
grep '^\[' "$root/tests/plan_table.txt" | while read -r section; do
    printf '%s' "$written" | grep -qxF "$section" ||
        echo "left as it was: $section; take it out when its plans changed and you have no such machine"
done
