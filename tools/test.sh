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
go test -json -race -p 2 -timeout 24m "$@" | "$summary/testsum" -late "$summary/late"
status=("${PIPESTATUS[@]}")
[ "${status[0]}" -eq 0 ] && [ "${status[1]}" -eq 0 ] && exit 0
[ -s "$summary/late" ] || exit 1
# A machine that is busy with something else can make a wait run out. That test is run once
# more, alone; a wrong answer, a race or a third such test is final (docs/decisions/0030).
names=$(sed 's/.*"Tests":\["\(.*\)"\].*/\1/; s/","/|/g' "$summary/late")
echo "once more, alone, because a wait ran out and nothing else was wrong: $names"
go test -json -race -count 1 -parallel 1 -timeout 10m -run "^($names)\$" ./e2e | "$summary/testsum" -after "$summary/late"
status=("${PIPESTATUS[@]}")
[ "${status[0]}" -eq 0 ] && [ "${status[1]}" -eq 0 ]
