#!/bin/sh
# fuzz.sh - run every fuzz target for FUZZTIME, one after the other.
set -eu

: "${GO:=go}" "${FUZZTIME:=10s}"
grep -rl --include='*_test.go' '^func Fuzz' . | while IFS= read -r file; do
    sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file" | while IFS= read -r target; do
        echo "$(dirname "$file"): $target"
        "$GO" test -run '^$' -fuzz "^$target\$" -fuzztime "$FUZZTIME" "$(dirname "$file")"
    done
done
