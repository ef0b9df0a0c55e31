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
go test -json -race -p 2 -timeout 24m "$@" | "$summary/testsum"
status=("${PIPESTATUS[@]}")
[ "${status[0]}" -eq 0 ] && [ "${status[1]}" -eq 0 ]
