#!/usr/bin/env bash
# Runs every fuzz target for FUZZTIME (10s), beginning with the corpus that earlier runs
# found (tools/fuzz-corpus.tar.gz). Finds go to the package's testdata/fuzz.
# Usage: tools/fuzz.sh [PACKAGE-OR-TARGET-PATTERN]
#        tools/fuzz.sh --keep: packs the corpus of this machine for the next ones
set -euo pipefail
cd "$(dirname "$0")/.."
corpus=tools/fuzz-corpus.tar.gz
found=$(go env GOCACHE)/fuzz/countersign
if [ "${1:-}" = --keep ]; then
	tar -czf "$corpus" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$found" .
	ls -l "$corpus"
	exit
fi
mkdir -p "$found"
[ ! -e "$corpus" ] || tar -xzf "$corpus" -C "$found" --skip-old-files
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
