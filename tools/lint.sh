#!/usr/bin/env bash
# gofmt, go vet, builds for other systems, golangci-lint and govulncheck (with its database as a
# Go module, so that no other host is asked), and Redocly's linter for the descriptions of the REST
# API where npm is. The tools are built once into bin/tools, by the toolchain whose code they read.
set -euo pipefail
cd "$(dirname "$0")/.."
golangci=v2.15.0
vuln=v1.9.0
vulndb=v0.0.0-20261105234957-e22db6528018
redocly=2.77.0
bin=$PWD/bin/tools/$GOTOOLCHAIN
mkdir -p "$bin"

tool() { # NAME PACKAGE@VERSION
	local want=$bin/$1-${2##*@}
	if [ ! -x "$want" ]; then
		echo "lint: building $2" >&2
		GOBIN=$bin GOFLAGS=-mod=mod go install "$2"
		mv "$bin/$1" "$want"
	fi
	ln -sf "$(basename "$want")" "$bin/$1"
}

echo "== gofmt"
unformatted=$(git ls-files '*.go' | xargs gofmt -l)
[ -z "$unformatted" ] || { echo "not gofmt-ed: $unformatted"; exit 1; }
echo "== go vet"
go vet ./...
go vet -tags screenshots ./e2e
echo "== Windows, macOS, ARM"
for system in windows/amd64 darwin/arm64 linux/arm64; do
	CGO_ENABLED=0 GOOS=${system%/*} GOARCH=${system#*/} go build ./...
done
echo "== golangci-lint"
tool golangci-lint "github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$golangci"
"$bin/golangci-lint" run ./...
echo "== govulncheck"
tool govulncheck "golang.org/x/vuln/cmd/govulncheck@$vuln"
tool indexdb "golang.org/x/vulndb/cmd/indexdb@$vulndb"
if [ ! -d "$bin/vulndb-$vulndb" ]; then
	dir=$(go mod download -json "golang.org/x/vulndb@$vulndb" | sed -n 's/^\t"Dir": "\(.*\)",\{0,1\}$/\1/p')
	rm -rf "$bin/vulndb.new"
	"$bin/indexdb" -vulns "$dir/data/osv" -out "$bin/vulndb.new"
	mv "$bin/vulndb.new" "$bin/vulndb-$vulndb"
fi
"$bin/govulncheck" -db "file://$bin/vulndb-$vulndb" ./...
echo "== redocly"
if command -v npm >/dev/null; then
	dir=$PWD/bin/tools/redocly-$redocly
	[ -x "$dir/node_modules/.bin/redocly" ] || npm install --prefix "$dir" --no-audit --no-fund --ignore-scripts --silent "@redocly/cli@$redocly"
	REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true "$dir/node_modules/.bin/redocly" lint --extends recommended-strict docs/api/openapi.json docs/api/coordinator.json
else
	echo "lint: no npm here, so this is left out (the tests have a validator of their own: internal/adminapi/outside_test.go)"
fi
