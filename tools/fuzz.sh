#!/usr/bin/env bash
# Runs every fuzz target for FUZZTIME (10s). Finds go to the package's testdata/fuzz.
# Usage: tools/fuzz.sh [PACKAGE-OR-TARGET-PATTERN]
set -euo pipefail
cd "$(dirname "$0")/.."
time=${FUZZTIME:-10s}
only=${1:-}
failed=0
while IFS=: read -r file target; do
	dir=./$(dirname "$file")
	[[ -z $only || "$dir $target" == *"$only"* ]] || continue
	echo "== $dir $target"
	# Minimising an interesting input may otherwise take all the time there is.
	go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 2s "$dir" || failed=1
done < <(git ls-files '*_test.go' | xargs grep -Ho '^func Fuzz[A-Za-z0-9_]*' | sed 's/:func /:/')
exit $failed
