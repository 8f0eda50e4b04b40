#!/bin/sh
# The shared library exports what runtime/gmodel.h declares, and nothing else: test_exports.sh LIBRARY HEADER
set -eu
exported=$(nm -D --defined-only "$1" | awk '$3 !~ /^(__bss_start|_edata|_end)$/ {print $3}' | sort)
declared=$(sed -n 's/^GM_API [^(]*[ *]\(gm_[a-z0-9_]*\)(.*/\1/p' "$2" | sort)
[ -n "$declared" ]
if [ "$exported" != "$declared" ]; then
    echo "exported but not declared:"
    echo "$exported" | while read -r name; do echo "$declared" | grep -qx "$name" || echo "  $name"; done
    echo "declared but not exported:"
    echo "$declared" | while read -r name; do echo "$exported" | grep -qx "$name" || echo "  $name"; done
    exit 1
fi
