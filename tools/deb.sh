#!/usr/bin/env bash
# Builds dist/countersign_VERSION_ARCH.deb. Usage: tools/deb.sh VERSION
set -euo pipefail
cd "$(dirname "$0")/.."
nfpm=v2.45.2
bin=$PWD/bin/tools/$GOTOOLCHAIN
mkdir -p "$bin" dist
if [ ! -x "$bin/nfpm-$nfpm" ]; then
	echo "deb: building nfpm $nfpm" >&2
	GOBIN=$bin GOFLAGS=-mod=mod go install "github.com/goreleaser/nfpm/v2/cmd/nfpm@$nfpm"
	mv "$bin/nfpm" "$bin/nfpm-$nfpm"
fi

# Debian's versions begin with a digit: v1.2.0-3-gabc is 1.2.0+3.gabc, abc is 0.0.0+abc.
version=${1:-dev}
version=${version#v}
case $version in [0-9]*.*) ;; *) version=0.0.0+$version ;; esac
DEB_VERSION=$(sed 's/-\([0-9]*\)-g/+\1.g/; s/-/./g' <<<"$version")
DEB_ARCH=$(go env GOARCH)
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || echo 1767225600)
export DEB_VERSION DEB_ARCH SOURCE_DATE_EPOCH
CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=${1:-dev}" -o bin/countersign ./cmd/countersign
rm -f dist/*.deb
"$bin/nfpm-$nfpm" package --config packaging/nfpm.yaml --packager deb --target dist/
ls -l dist/*.deb
