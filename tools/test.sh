#!/usr/bin/env bash
# Every test with the race detector. Ends with the tests that were skipped, by name and
# reason, and the sums. Usage: tools/test.sh [go test arguments, default ./...]
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- ./...
summary=$(mktemp -d)
trap 'rm -rf "$summary"' EXIT
go build -o "$summary/testsum" ./e2e/testsum
# Compiling, minutes long on a new machine, does not count against the tests' time.
go build ./internal/...
go build -race ./internal/...
# A package's tests run two packages at a time: some start databases and directories.
set +e
go test -json -race -p 2 -timeout 24m "$@" | tee "$summary/events" | "$summary/testsum"
status=("${PIPESTATUS[@]}")
[ "${status[0]}" -ne 0 ] || [ "${status[2]}" -ne 0 ] || exit 0

# Tests on many real processes depend on the machine's other work. If one or two of those are
# all that failed they run once more, and are named: what fails twice has failed. A data race
# or a panic is never excused.
if grep -q 'DATA RACE\|panic: ' "$summary/events"; then
	exit 1
fi
failed=$(sed -n 's/.*"Action":"fail","Package":"\([^"]*\)","Test":"\([^"\/]*\)".*/\1 \2/p' "$summary/events" | sort -u)
packages=$(sed -n 's/.*"Action":"fail","Package":"\([^"]*\)","Elapsed".*/\1/p' "$summary/events" | sort -u)
count=$(grep -c . <<<"$failed")
if [ "$packages" != countersign/e2e ] || [ "$count" -lt 1 ] || [ "$count" -gt 2 ] || grep -qv '^countersign/e2e ' <<<"$failed"; then
	exit 1
fi
names=$(cut -d' ' -f2 <<<"$failed" | paste -sd'|')
echo "== FAILED ONCE, run again: $names"
go test -race -count 1 -timeout 10m -run "^($names)\$" ./e2e || exit 1
echo "== passed when run again: $names (its first output is above)"
